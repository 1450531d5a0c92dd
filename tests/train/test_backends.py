"""Which attention a run takes, what cannot run here, and GPU backends as far as a CPU goes."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import RecipeError
from yanmo.train import backends, loop
from yanmo.train.attention import attention, documents_from_lengths
from yanmo.train.backends import Picked, check_compiler, pick, tried, unfit
from yanmo.train.config import ModelConfig
from yanmo.train.journal import read_journal
from yanmo.train.model import Llama, build
from yanmo.train.pretrain import pretrain

from .whole_runs import TWENTY, recipe_of

Tiny = Callable[..., ModelConfig]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
HAS_GPU = torch.cuda.is_available()


def test_a_cpu_takes_sdpa(tiny: Tiny) -> None:
    assert pick("auto", tiny(), CPU, "float32") == Picked("sdpa", {})
    assert pick("eager", tiny(), CPU, "float32").name == "eager"


@pytest.mark.parametrize("name", ["varlen", "flex"])
def test_what_needs_a_gpu_is_refused_before_training(
    name: str, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=rf"'{name}' cannot run here.*CUDA.*run\.attention=auto"):
        pretrain(recipe_of("run.device=cpu", f"run.attention={name}"), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_mistyped_backend_is_refused(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match="flex"):
        recipe_of("run.attention=flx")
    with pytest.raises(RecipeError, match=r"did you mean.*varlen|varlen"):
        pick("varlan", tiny(), CPU, "float32")


def test_a_gpu_takes_the_first_that_passes_a_trial(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"varlen": "a trial failed"}
    monkeypatch.setattr(backends, "tried", lambda name, *_: broken.get(name))
    assert pick("auto", tiny(), CUDA, "bfloat16") == Picked("flex", broken)
    found = pick("auto", tiny(position="alibi"), CUDA, "bfloat16")
    assert found.name == "flex"
    assert "bias" in found.passed["varlen"]
    assert "bfloat16" in (unfit("varlen", tiny(), CUDA, "float32") or "")
    with pytest.raises(RecipeError, match="a trial failed"):
        pick("varlen", tiny(), CUDA, "bfloat16")


def test_a_trial_finds_what_computes_wrongly(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried("sdpa", tiny(), CPU, "float32") is None
    assert tried("sdpa", tiny(position="alibi"), CPU, "bfloat16") is None
    right = attention

    def leaky(*args: torch.Tensor, backend: str, **kwargs: torch.Tensor) -> torch.Tensor:
        documents = args[3] if backend == "eager" else None
        return right(*args[:3], documents, backend="eager", **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(backends, "attention", leaky)
    assert "other results" in (tried("sdpa", tiny(), CPU, "float32") or "")
    # On a CPU flex has no backward pass, and the trial says so instead of the first step.
    monkeypatch.setattr(backends, "attention", right)
    assert "a trial failed" in (tried("flex", tiny(), CPU, "float32") or "")


def test_the_first_line_of_the_log_names_it(straight: Path) -> None:
    first = read_journal(straight)[0]
    assert first["attention"] == "sdpa"
    assert first["compile"] == "off"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=90), min_size=1, max_size=3))
def test_ends_of_documents_have_few_shapes(rows: list[list[int]]) -> None:
    room = max(sum(row) for row in rows)
    lengths = [[*row, room - sum(row)] if sum(row) < room else row for row in rows]
    documents = documents_from_lengths(lengths)
    flat = [n for row in lengths for n in row]
    ends = documents.cumulative
    assert ends.dtype == torch.int32
    assert (ends.diff()[: len(flat)]).tolist() == flat
    assert set(ends[len(flat) :].tolist()) == {len(rows) * room}
    places = len(ends) - 1
    assert places >= 64
    assert places & (places - 1) == 0
    assert places < 2 * len(flat) or places == 64
    assert documents.longest == max(flat)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("alibi", [False, True])
@pytest.mark.parametrize("keys", [4, 2, 1])
def test_flex_agrees_with_the_definition_on_a_cpu(keys: int, alibi: bool) -> None:
    from yanmo.train.alibi import alibi_slopes

    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 150, n, 16, generator=generator) for n in (4, keys, keys))
    documents = documents_from_lengths([[3, 140, 7], [150]])
    slopes = alibi_slopes(4) if alibi else None
    with torch.no_grad():
        ours = attention(q, k, v, documents, backend="flex", slopes=slopes)
        plain = attention(q, k, v, documents, backend="eager", slopes=slopes)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("keys", [4, 2])
@pytest.mark.parametrize(
    ("name", "precision", "position"),
    [("varlen", "bfloat16", "rope"), ("flex", "bfloat16", "rope"), ("flex", "float32", "rope"),
     ("flex", "float32", "alibi"), ("sdpa", "float32", "rope"), ("sdpa", "bfloat16", "alibi")],
)  # fmt: skip
def test_packed_equals_alone_on_a_gpu(
    name: str, precision: str, position: str, keys: int, tiny: Tiny
) -> None:
    """Logits and every gradient of packed documents, against the definition on each alone."""
    config = tiny(num_key_value_heads=keys, head_dim=32, position=position)
    assert pick(name, config, CUDA, precision).name == name
    lengths = [70, 1, 120, 65]
    generator = torch.Generator().manual_seed(1)
    tokens, labels = (torch.randint(0, 61, (1, 256), generator=generator).cuda() for _ in range(2))
    packed, alone = (build(config, seed=0).cuda() for _ in range(2))
    packed.backend, alone.backend = name, "eager"
    documents = documents_from_lengths([lengths]).to(CUDA)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = packed.logits(tokens, documents)
        packed(tokens, labels, documents).total.backward()
    expected = []
    for piece, answer in zip(tokens.split(lengths, 1), labels.split(lengths, 1), strict=True):
        expected.append(alone.logits(piece))
        alone(piece, answer).total.backward()
    slack = 0.05 if precision == "bfloat16" else 1e-4
    whole = torch.cat(expected, 1)
    assert (logits.float() - whole).abs().max() < slack * whole.abs().max()
    for a, b in zip(packed.parameters(), alone.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert (a.grad - b.grad).abs().max() < slack * b.grad.abs().max()


def test_compiling_without_a_compiler_is_refused(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match=r"C\+\+ compiler.*run\.compile=off"):
        pretrain(recipe_of("run.device=cpu", "run.compile=blocks"), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
def test_traced_layers_train_alike_and_are_traced_once(
    shards: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run without a compiler behind the tracing; batches differ in the lengths of documents."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    traced = functools.partialmethod(Llama.compile_blocks, backend="eager")
    monkeypatch.setattr(Llama, "compile_blocks", traced)
    graphs = []
    step = loop.Trainer._step

    def counted(self: loop.Trainer, *args: Any, **kwargs: Any) -> Any:
        done = step(self, *args, **kwargs)
        graphs.append(counters["stats"]["unique_graphs"])
        return done

    monkeypatch.setattr(loop.Trainer, "_step", counted)
    recipe = recipe_of(*TWENTY, "run.compile=blocks")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    logs = [read_journal(path) for path in (straight, tmp_path / "run")]
    losses = [[e["loss"] for e in log if e["kind"] == "train"] for log in logs]
    assert len(losses[0]) == 20
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert logs[1][0]["compile"] == "blocks"
    assert graphs[-1] == graphs[0] > 0
    torch._dynamo.reset()


@pytest.mark.slow
def test_compiled_layers_give_the_same_gradients() -> None:
    try:
        check_compiler(CPU)
    except RecipeError as error:
        pytest.skip(str(error))
    script = Path(__file__).with_name("compiled_layers.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
