"""`train plan` against the allocator's own events, and against sums by hand."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.command import command
from yanmo import recipe as recipes
from yanmo.errors import DataError, UsageError
from yanmo.train.attention import documents_from_lengths
from yanmo.train.config import ModelConfig
from yanmo.train.data import Batch
from yanmo.train.distributed import World
from yanmo.train.model import build, parameter_count
from yanmo.train.optim import Optimizers
from yanmo.train.plan import activations, largest_micro, memory, weights
from yanmo.train.plan_report import GIB, Asked, make_plan, read_shape
from yanmo.train.recipe import Pretrain
from yanmo.train.setup import choose_trainable
from yanmo.train.step import accumulate

SHAPE = ModelConfig(
    vocab_size=6000, hidden_size=192, intermediate_size=512, num_hidden_layers=4,
    num_attention_heads=6, num_key_value_heads=2, head_dim=32,
)  # fmt: skip
SMALL = ("data.sequence_tokens=256", "data.batch_tokens=2048", "run.micro_sequences=4")


def recipe(*overrides: str) -> Pretrain:
    return recipes.load(Pretrain, None, (*SMALL, *overrides))


def peak_of_steps(config: ModelConfig, settings: Pretrain) -> int:
    """Most bytes that torch's allocator held in two steps, by the profiler's record of it."""
    tokens = torch.zeros(4, 256, dtype=torch.int64)
    labels = torch.arange(1024).view(4, 256) % config.vocab_size
    documents = documents_from_lengths([[256]] * 4)
    batch = Batch(tokens, labels, documents, 1024, np.arange(1024))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        model = build(config, seed=0)
        choose_trainable(model, settings)
        model.recompute = settings.run.recompute
        optimizers = Optimizers(model.named_parameters(), settings.optimizer)
        for _ in range(2):
            accumulate(model, [batch] * (settings.batch_sequences // 4), World(tokens.device),
                       precision=settings.precision)  # fmt: skip
            optimizers.clip(optimizers.norm())
            optimizers.step(1e-3)
    held, peak = 0, 0
    events = found.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize(
    ("overrides", "shape"),
    [
        ((), {}),
        (("data.batch_tokens=1024",), {}),
        (("precision=bfloat16",), {}),
        (("run.recompute=true",), {}),
        (("lora.rank=8",), {}),
        (("optimizer.kind=muon",), {}),
        ((), {"tie_word_embeddings": True}),
        ((), {"vocab_size": 40_000}),
        (("trainable.only_new_rows=true", "trainable.new_rows_from=4000"), {}),
        (("data.batch_tokens=1024",), {"model_type": "qwen3", "qk_norm": True}),
    ],
    ids=["two micro-batches", "one", "bfloat16", "recompute", "lora", "muon", "tied", "large "
         "vocabulary", "new rows", "qwen3"],
)  # fmt: skip
def test_the_peak_is_within_a_tenth_of_the_allocators(
    overrides: tuple[str, ...], shape: dict[str, object]
) -> None:
    settings, config = recipe(*overrides), dataclasses.replace(SHAPE, **shape)  # type: ignore[arg-type]
    planned = memory(config, settings, micro_sequences=4)["total"]
    assert planned == pytest.approx(peak_of_steps(config, settings), rel=0.1)


def test_saved_activations_are_those_of_a_real_pass() -> None:
    """The same hooks, on tensors that hold something, without extrapolation from two layers."""
    settings = recipe()
    model = build(SHAPE, seed=0)
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    seen: dict[int, int] = {}
    kept = []

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        model.hidden(torch.zeros(3, 256, dtype=torch.int64), documents_from_lengths([[256]] * 3))
    counted = activations(SHAPE, settings)
    assert counted.per_sequence * 3 + counted.fixed == pytest.approx(sum(seen.values()), rel=1e-3)


def test_weights_by_hand() -> None:
    layer = 192 * (192 + 64 + 64 + 192) + 3 * 192 * 512 + 2 * 192
    total = 2 * 6000 * 192 + 4 * layer + 192
    plain = weights(SHAPE, recipe())
    assert (plain.all, plain.trained, plain.optimizer) == (4 * total, 4 * total, 8 * total)
    assert plain.head == 4 * 6000 * 192
    assert plain.tied == 0
    assert parameter_count(SHAPE)["total"] == total
    muon = weights(SHAPE, recipe("optimizer.kind=muon"))
    matrices = 4 * (layer - 2 * 192)
    assert muon.optimizer == 4 * matrices + 8 * (total - matrices)
    lora = weights(SHAPE, recipe("lora.rank=8"), bits=4)
    pairs = 4 * 8 * (4 * 192 + 2 * 192 + 2 * 64 + 3 * 192 + 3 * 512)
    assert lora.trained == 4 * pairs
    assert lora.all == pytest.approx(
        matrices * 4.127 / 8 + 2 * (total - matrices) + 4 * pairs, rel=1e-6
    )


def test_the_largest_micro_batch_is_the_last_that_fits() -> None:
    settings = recipe("data.batch_tokens=16384")
    need = [memory(SHAPE, settings, micro_sequences=n)["total"] for n in (7, 8)]
    counted = weights(SHAPE, settings), activations(SHAPE, settings)
    assert largest_micro(SHAPE, settings, need[1], counted) == 8
    assert largest_micro(SHAPE, settings, need[1] - 1, counted) == 7
    assert largest_micro(SHAPE, settings, 1e6, counted) == 0


def test_shards_divide_what_they_share() -> None:
    settings = recipe("run.parallel=shard", "data.batch_tokens=8192")
    one, four = (memory(SHAPE, settings, micro_sequences=4, processes=n) for n in (1, 4))
    assert four["optimizer"] == one["optimizer"] / 4
    assert four["weights"] == one["weights"] / 4
    assert four["activations"] == one["activations"]


def test_hours_by_hand(tmp_path: Path) -> None:
    settings = recipe("tokens=1000000000")
    found = make_plan(Path("124m"), settings, Asked(mfu=0.5, peak=10, processes=2))
    expected = found.cost["flops_per_token"] * 1e9 / (10e12 * 0.5 * 2) / 3600
    assert found.hours == pytest.approx(expected)
    (tmp_path / "config.json").write_text(json.dumps(SHAPE.to_hf()), "utf-8")
    small = make_plan(tmp_path, settings, Asked(limit_gb=1.0))
    assert small.fits
    assert small.limit == (GIB, "cuda")
    assert small.hours is None


def test_other_decoders_are_read_by_their_sizes(tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50_257}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(gpt2), "utf-8")
    config, notes = read_shape(path, recipe())
    assert parameter_count(config)["total"] == pytest.approx(124e6, rel=0.01)  # its positions aside
    assert "gpt2" in notes[0]
    path.write_text('{"model_type": "gpt2", "n_embd": 8}', "utf-8")
    with pytest.raises(DataError, match="no whole number above zero in 'num_hidden_layers'"):
        read_shape(path, recipe())
    with pytest.raises(UsageError, match="124m"):
        read_shape(Path("124"), recipe())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "a mixture of experts"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 256}, "a mixture of experts"),
        ({"model_type": "bert"}, "model_type is not known here, got 'bert'"),
        ({"model_type": "vit"}, "model_type is not known here, got 'vit'"),
    ],
)
def test_what_is_no_dense_decoder_is_not_taken_for_one(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    """Mixtral's sizes as those of a Llama would be a sixth of its weights."""
    table = {**SHAPE.to_hf(), **changes}
    (tmp_path / "config.json").write_text(json.dumps(table), "utf-8")
    with pytest.raises(UsageError, match=said):
        read_shape(tmp_path, recipe())


def test_operations_without_tokens_are_not_zero() -> None:
    found = make_plan(Path("nano"), recipe(), Asked(limit_gb=1.0)).table()
    assert (found["tokens"], found["flops"], found["hardware_flops"]) == (None, None, None)
    known = make_plan(Path("nano"), recipe("tokens=1000", "run.recompute=true"), Asked()).table()
    assert known["flops"] == 1000 * known["flops_per_token"]
    assert known["hardware_flops"] == pytest.approx(known["flops"] * 4 / 3)


def test_frozen_weights_are_told_of() -> None:
    for overrides, told in (((), False), (("lora.rank=2",), True)):
        notes = make_plan(Path("nano"), recipe(*overrides), Asked(limit_gb=1.0)).notes
        assert any("frozen matrices" in note for note in notes) is told


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SHAPE.to_hf()), "utf-8")
    done = command("train", "plan", tmp_path, "--json", "--memory", "8", "--micro", "2")
    assert done.code == 0, done.err
    found = done.json()
    assert found["micro_sequences"] == 2
    assert found["fits"] is True
    assert sum(v for k, v in found["bytes"].items() if k != "total") == found["bytes"]["total"]
    text = command("train", "plan", tmp_path).out
    assert "activations" in text
    assert "FLOP a token" in text
    wrong = command("train", "plan", tmp_path, "--bits", "4")
    assert wrong.code == 2
    assert "lora.rank" in wrong.err
