"""Growing checkpoints, against transformers and torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.command import command
from yanmo.files import sha256_file
from yanmo.vocab.base import Base, load_base
from yanmo.vocab.embed import EmbedOptions, embed_checkpoint
from yanmo.vocab.subtokens import spell

from .grown_models import grow_tokenizer, write_model

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module", params=["spm", "bytes"])
def pair(
    request: pytest.FixtureRequest, english_spm: Path, english_bytes: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:  # fmt: skip
    """A base and what grew from it."""
    base = english_spm if request.param == "spm" else english_bytes
    out = tmp_path_factory.mktemp("grown") / "tokenizer"
    return base, grow_tokenizer(base, out)


@pytest.fixture(scope="module")
def spm_pair(english_spm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("grown-spm") / "tokenizer"
    return english_spm, grow_tokenizer(english_spm, out)


@pytest.fixture
def embed(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Makes a checkpoint of some shape and grows it."""

    def make(pair: tuple[Path, Path], *, padding: int = 0, options: dict[str, Any] | None = None,
             **shape: Any) -> tuple[Path, dict[str, Any]]:  # fmt: skip
        model = tmp_path / "model"
        if not model.exists():
            write_model(model, load_base(pair[0]).size + padding, **shape)
        out = tmp_path / "out"
        report = embed_checkpoint(model, *pair, out, EmbedOptions(**(options or {})))
        return out, report

    return make


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return torch.as_tensor(model(torch.tensor([ids])).logits)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["5GB", "8KB"])
def test_logits_of_base_text_over_old_columns_stay(
    tied: bool, shard: str, pair: tuple[Path, Path], embed: Any, tmp_path: Path
) -> None:
    out, report = embed(pair, tied=tied, shard=shard)
    base = load_base(pair[0])
    ids = [5, 17, base.size - 1, 3, 100]
    before, after = logits(tmp_path / "model", ids), logits(out, ids)
    assert after.shape[-1] == report["rows"]
    assert report["rows"] % 64 == 0
    assert (before - after[..., : base.size]).abs().max() <= 1e-5
    assert len(list(out.glob("*.safetensors"))) == len(
        list((tmp_path / "model").glob("*.safetensors"))
    )
    assert report["tied"] is tied


def test_nothing_else_changes_and_the_result_loads(
    pair: tuple[Path, Path], embed: Any, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    from yanmo.train.folder import load_model
    from yanmo.train.grow import Grow, base_vocabulary

    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model", load_base(pair[0]).size)
    (tmp_path / "model" / "LICENSE").write_text("free\n")
    out, report = embed(pair)
    old, new = tensors(tmp_path / "model"), tensors(out)
    assert old.keys() == new.keys()
    size = report["base_size"]
    for name, tensor in old.items():
        grown = new[name][:size] if name in (EMBEDDING, HEAD) else new[name]
        assert torch.equal(tensor, grown), name
    assert len(torch.unique(new[EMBEDDING][size : report["size"]], dim=0)) == report["added"]
    assert json.loads((out / "config.json").read_text())["vocab_size"] == report["rows"]
    assert (out / "LICENSE").read_text() == "free\n"
    same = [path / "generation_config.json" for path in (tmp_path / "model", out)]
    assert same[0].read_bytes() == same[1].read_bytes()
    auto = AutoTokenizer.from_pretrained(str(out))
    assert len(auto("北京", add_special_tokens=False)["input_ids"]) <= 2
    assert load_model(out).config.vocab_size == report["rows"]
    assert base_vocabulary(Grow(), out) == size


def spelled(pair: tuple[Path, Path], word: str) -> tuple[int, list[int]]:
    """Id of a word in the grown vocabulary, and what the base spelled it with."""
    base, grown = load_base(pair[0]), load_base(pair[1])
    index = [surface.decode("utf-8", "replace") for surface in grown.surfaces()].index(word)
    return index, spell(base, grown, [index])[0]


def test_parts_have_no_dummy_prefix_and_no_bos(spm_pair: tuple[Path, Path]) -> None:
    base = load_base(spm_pair[0])
    _, parts = spelled(spm_pair, "的人")
    pieces = [base.pieces[index] for index in parts]
    assert pieces == ["的", "<0xE4>", "<0xBA>", "<0xBA>"]


@pytest.mark.parametrize("heavier", ["first", "last"])
def test_rows_are_the_means_that_the_page_says(
    heavier: str, spm_pair: tuple[Path, Path], embed: Any, tmp_path: Path
) -> None:
    for init in ("mean", "weighted"):
        options = {"init": init, "heavier": heavier, "norm": "none", "decay": 0.25}
        out, _ = embed(spm_pair, options=options)
        index, parts = spelled(spm_pair, "北京")
        old, new = tensors(tmp_path / "model"), tensors(out)
        weights = torch.tensor([0.25**k for k in range(len(parts))], dtype=torch.float64)
        weights = torch.ones_like(weights) if init == "mean" else weights
        weights = weights.flip(0) if heavier == "last" else weights
        for name in (EMBEDDING, HEAD):
            rows = old[name][parts].double()
            wanted = (weights[:, None] * rows).sum(0) / weights.sum()
            torch.testing.assert_close(new[name][index].double(), wanted, atol=1e-7, rtol=1e-5)


def test_auto_weighs_the_end_for_the_embedding_and_the_start_for_the_head(
    spm_pair: tuple[Path, Path], embed: Any
) -> None:
    _, report = embed(spm_pair, options={"init": "weighted"})
    assert report["matrices"][EMBEDDING]["heavier"] == "last"
    assert report["matrices"][HEAD]["heavier"] == "first"


def test_auto_weighs_the_start_of_a_tied_matrix(spm_pair: tuple[Path, Path], embed: Any) -> None:
    _, report = embed(spm_pair, tied=True)
    assert report["options"]["init"] == "weighted"
    assert report["matrices"][EMBEDDING]["heavier"] == "first"


def test_equal_multisets_get_rows_of_their_own(spm_pair: tuple[Path, Path], embed: Any) -> None:
    """的人 and 人的 are the same pieces in another order."""
    found = {}
    for init in ("mean", "weighted"):
        out, report = embed(spm_pair, options={"init": init}, dtype="bfloat16")
        rows = tensors(out)[EMBEDDING][report["base_size"] : report["size"]].float()
        assert len(torch.unique(rows, dim=0)) == report["added"]
        found[init] = report["matrices"][EMBEDDING]["equal_rows_with_noise"]
        assert report["parts"]["same_multiset"] >= 2
    assert found["mean"] >= 2
    assert found["weighted"] == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("norm", ["median", "clip", "none"])
def test_lengths(dtype: str, norm: str, spm_pair: tuple[Path, Path], embed: Any) -> None:
    out, report = embed(spm_pair, options={"norm": norm}, dtype=dtype, tied=True)
    matrix = tensors(out)[EMBEDDING]
    assert matrix.dtype == getattr(torch, dtype)
    size = report["base_size"]
    norms = matrix.double().norm(dim=1).numpy()
    base, new = norms[:size], norms[size : report["size"]]
    low, middle, high = np.percentile(base, [1, 50, 99])
    if norm == "median":
        assert np.abs(new / middle - 1).max() < 0.005
    if norm == "clip":
        assert new.min() >= 0.995 * low
        assert new.max() <= 1.005 * high
    said = report["matrices"][EMBEDDING]
    assert said["outside"] == ((new < low * 0.995) | (new > high * 1.005)).sum()
    assert report["checks"]["lengths within the base's 1st to 99th percentile"] == (
        said["outside"] == 0
    )


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_random_rows_have_mean_and_covariance_of_the_base(covariance: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from yanmo.vocab.new_rows import Maker, Method, measure
    from yanmo.vocab.subtokens import Plan
    from yanmo.vocab.tensor_file import Rows, read_header

    generator = torch.Generator().manual_seed(3)
    mix = torch.tensor([[1.0, 0, 0], [0.8, 0.5, 0], [0, -0.4, 2]])
    base = torch.randn(3000, 3, generator=generator) @ mix.T + torch.tensor([1.0, -2, 0])
    save_file({"e": base}, tmp_path / "e.safetensors")
    rows = Rows(read_header(tmp_path / "e.safetensors")[0]["e"])
    count = 40_000
    none = np.zeros(0, np.int64)
    plan = Plan(none, np.arange(count), none, np.zeros(count, np.int64))
    made = {}
    for seed in (0, 0, 1):
        method = Method("random", "last", 0.5, covariance, "none", seed)
        again = np.concatenate(list(Maker(rows, measure(rows, 3000), plan, method).chunks()))
        assert seed not in made or np.array_equal(made[seed], again)
        made[seed] = again
    assert not np.array_equal(made[0], made[1])
    wanted = np.cov(base.double().numpy().T)
    wanted = wanted if covariance == "full" else np.diag(np.diag(wanted))
    assert np.abs(np.cov(made[0].T.astype(float)) - wanted).max() < 0.1
    assert np.abs(made[0].mean(0) - base.mean(0).numpy()).max() < 0.05


def test_new_ids_may_fall_into_padding(pair: tuple[Path, Path], embed: Any, tmp_path: Path) -> None:
    out, report = embed(pair, padding=100, options={"multiple": 1})
    size = report["base_size"]
    assert report["rows"] == report["base_rows"] == size + 100
    old, new = tensors(tmp_path / "model")[EMBEDDING], tensors(out)[EMBEDDING]
    assert torch.equal(old[:size], new[:size])
    assert not torch.equal(old[size : report["size"]], new[size : report["size"]])
    assert torch.equal(old[report["size"] :], new[report["size"] :])
    assert "100 rows of the checkpoint are padding" in report["notes"]


def test_new_padding_is_the_mean_and_takes_no_more_than_its_share(
    spm_pair: tuple[Path, Path], embed: Any
) -> None:
    """By Jensen's inequality a row of means is not likelier than the average base token."""
    out, report = embed(spm_pair, options={"multiple": 256}, tied=True)
    matrix = tensors(out)[EMBEDDING]
    size, rows = report["base_size"], report["rows"]
    assert torch.allclose(
        matrix[report["size"] :], matrix[:size].mean(0).expand(rows - report["size"], -1), atol=1e-7
    )
    scores = logits(out, [7, 8, 9])[0].double().exp()
    assert (scores[:, -1] <= scores[:, :size].mean(1) * (1 + 1e-6)).all()


def test_same_bytes_twice(spm_pair: tuple[Path, Path], embed: Any) -> None:
    seen = []
    for _ in range(2):
        out, _ = embed(spm_pair, options={"init": "random"}, shard="8KB")
        seen.append({path.name: sha256_file(path) for path in sorted(out.iterdir())})
    assert seen[0] == seen[1]
    listed = json.loads((out / "manifest.json").read_text())["parts"]
    assert {part["path"]: part["sha256"] for part in listed} == {
        name: digest for name, digest in seen[0].items() if name != "manifest.json"
    }


def test_a_bare_grown_model_becomes_a_whole_folder(spm_pair: tuple[Path, Path], embed: Any) -> None:
    out, report = embed((spm_pair[0], spm_pair[1] / "tokenizer.model"))
    note = json.loads((out / "yanmo.json").read_text())
    assert note["base"]["size"] == report["base_size"]
    assert load_base(out).pieces == load_base(spm_pair[1]).pieces
    assert (out / "tokenizer.json").is_file()


def remapped(grown: Base) -> dict[int, int]:
    """A table that leaves out every tenth entry above id 300 and closes up."""
    kept = [i for i in range(grown.size) if i < 300 or i % 10]
    return {old: new for new, old in enumerate(kept)}


def test_rows_move_by_a_table(spm_pair: tuple[Path, Path], tmp_path: Path) -> None:
    from yanmo.vocab.spm import dump_model

    base = load_base(spm_pair[1])
    table = remapped(base)
    assert base.model is not None
    pruned = base.model.with_pieces(tuple(base.model.pieces[old] for old in table))
    file = tmp_path / "pruned.model"
    file.write_bytes(dump_model(pruned))
    rows = "\n".join(f"{old}\t{new}\t\x85\u2028\r;\t3" for old, new in table.items())
    text = f"old_id\tnew_id\ttoken\tcount\n{rows}\n310\t\tx\t0\n"
    (tmp_path / "remap.tsv").write_bytes(text.encode())
    model = write_model(tmp_path / "model", base.size)
    options = EmbedOptions(remap=str(tmp_path / "remap.tsv"))
    report = embed_checkpoint(model, spm_pair[1], file, tmp_path / "out", options)
    assert (report["added"], report["size"]) == (0, len(table))
    old, new = tensors(model), tensors(tmp_path / "out")
    for name in (EMBEDDING, HEAD):
        assert torch.equal(old[name][list(table)], new[name][: len(table)])


def test_command(spm_pair: tuple[Path, Path], tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", load_base(spm_pair[0]).size)
    arguments = ("vocab", "embed", model, *spm_pair, "--out", tmp_path / "out")
    ended = command(*arguments, "--init", "mean", "--multiple", "128", "--json", "-q")
    assert ended.code == 0, ended.err
    report = ended.json()
    assert report["options"]["init"] == "mean"
    assert report["rows"] % 128 == 0
    assert report["size"] == report["base_size"] + report["added"]
    shown = command(*arguments, "-q")
    assert "Lengths of rows" in shown.out
    assert "no two new rows are equal" in shown.out


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["stories15m", "minimind2-small"])
def test_real_models_keep_their_logits(name: str, realdata: Path, tmp_path: Path) -> None:
    model = realdata / "models" / name
    grown = grow_tokenizer(model, tmp_path / "tokenizer")
    report = embed_checkpoint(model, model, grown, tmp_path / "out", EmbedOptions())
    ids = [1, *range(300, 340), report["base_size"] - 1]
    before, after = logits(model, ids), logits(tmp_path / "out", ids)
    assert (before - after[..., : report["base_size"]]).abs().max() <= 1e-5
    assert report["tied"]
