"""What embedding refuses, and that it leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.command import command
from yanmo.errors import DataError, UsageError, YanmoError
from yanmo.vocab.base import load_base
from yanmo.vocab.embed import EmbedOptions, embed_checkpoint

from .grown_models import grow_tokenizer, write_model

HEAD = "lm_head.weight"
Change = Callable[[dict[str, torch.Tensor]], Any]


@pytest.fixture(scope="module")
def pair(english_spm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return english_spm, grow_tokenizer(english_spm, tmp_path_factory.mktemp("grown") / "tokenizer")


@pytest.fixture(scope="module")
def whole(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    return write_model(folder, load_base(pair[0]).size)


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def refused(pair: tuple[Path, Path], tmp_path: Path) -> Callable[..., None]:
    """Asserts that a checkpoint is refused with some words, and that nothing is left of it."""

    def check(model: Path, *words: str, kind: type[YanmoError] = DataError,
              pair: tuple[Path, Path] = pair, **options: Any) -> None:  # fmt: skip
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(kind) as caught:
            embed_checkpoint(model, *pair, tmp_path / "out", EmbedOptions(**options))
        for word in words:
            assert word in str(caught.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    return check


def change_config(model: Path, **changes: Any) -> None:
    file = model / "config.json"
    table = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in table.items() if v != "gone"}))


def change_weights(model: Path, change: Change) -> None:
    file = model / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def test_a_torn_file(model: Path, refused: Any) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(model, "model.safetensors", "header describes", "fetch or write it again")


def test_sizes_that_do_not_match(model: Path, refused: Any) -> None:
    change_config(model, vocab_size=77)
    refused(model, "says 77 tokens", "rows")


def test_fewer_rows_than_entries(pair: tuple[Path, Path], tmp_path: Path, refused: Any) -> None:
    refused(write_model(tmp_path / "small", 100), "has 100 rows", "is not its tokenizer")


def test_many_more_rows_than_entries(pair: tuple[Path, Path], tmp_path: Path, refused: Any) -> None:
    size = load_base(pair[0]).size
    large = write_model(tmp_path / "large", size + 40)
    refused(large, f"{size + 40} rows", "--max-padding", max_padding=39)


def test_another_tokenizer_than_the_checkpoint_brings(
    model: Path, english_bytes: Path, refused: Any
) -> None:
    for path in english_bytes.iterdir():
        shutil.copyfile(path, model / path.name)
    refused(model, "the checkpoint's own tokenizer", "Give the tokenizer of the checkpoint")


def test_a_checkpoint_that_was_grown_already(
    model: Path, pair: tuple[Path, Path], tmp_path: Path, refused: Any
) -> None:
    once = tmp_path / "once"
    embed_checkpoint(model, *pair, once, EmbedOptions())
    refused(once, "Was it grown already?")


def test_swapped_and_equal_tokenizers(
    model: Path, pair: tuple[Path, Path], tmp_path: Path, refused: Any
) -> None:
    grown_model = write_model(tmp_path / "other", load_base(pair[1]).size)
    refused(grown_model, "Are they swapped?", kind=UsageError, pair=pair[::-1])
    refused(model, "nothing new", kind=UsageError, pair=(pair[0], pair[0]))


def test_a_tokenizer_that_did_not_grow_from_the_base(
    model: Path, pair: tuple[Path, Path], byte_folder: Path, refused: Any
) -> None:
    refused(model, "It did not grow from", "id 0 is", pair=(pair[0], byte_folder))


def test_tied_says_the_configuration_and_the_head_differs(model: Path, refused: Any) -> None:
    change_config(model, tie_word_embeddings=True)
    refused(model, "they differ", "Set tie_word_embeddings to false")


@pytest.mark.parametrize("said", [False, "gone"])
def test_untied_says_the_configuration_and_there_is_no_head(
    said: Any, model: Path, refused: Any
) -> None:
    change_config(model, tie_word_embeddings=said)
    change_weights(model, lambda weights: weights.pop(HEAD))
    refused(model, "and there is none", "Set tie_word_embeddings to true")


def test_a_tied_head_that_is_stored_twice_is_left_out(
    pair: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    change_config(model, tie_word_embeddings=True)
    twin = "model.embed_tokens.weight"
    change_weights(model, lambda weights: weights.update({HEAD: weights[twin].clone()}))
    report = embed_checkpoint(model, *pair, tmp_path / "out", EmbedOptions())
    assert report["tied"]
    assert any("stored twice" in note for note in report["notes"])
    assert HEAD not in load_file(tmp_path / "out" / "model.safetensors")


def test_a_further_head_is_asked_about(
    pair: tuple[Path, Path], model: Path, tmp_path: Path, refused: Any
) -> None:
    name = "medusa.0.weight"
    size = load_base(pair[0]).size
    change_weights(model, lambda weights: weights.update({name: torch.randn(size, 4)}))
    refused(model, f"'{name}' has a row for every token too", "--also", "--leave")
    refused(model, "no such tensor", "Did you mean", kind=UsageError, also=("medusa.0.weigth",))
    for how, rows in (({"also": (name,)}, None), ({"leave": (name,)}, size)):
        report = embed_checkpoint(model, *pair, tmp_path / "out", EmbedOptions(**how))
        found = load_file(tmp_path / "out" / "model.safetensors")[name]
        assert len(found) == (rows or report["rows"])


def test_a_bias_of_the_head_grows_too(pair: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    size = load_base(pair[0]).size
    bias = torch.arange(size, dtype=torch.float32)
    change_weights(model, lambda weights: weights.update({"lm_head.bias": bias}))
    report = embed_checkpoint(model, *pair, tmp_path / "out", EmbedOptions())
    grown = load_file(tmp_path / "out" / "model.safetensors")["lm_head.bias"]
    assert torch.equal(grown[:size], bias)
    assert grown.shape == (report["rows"],)
    assert (grown[size:] > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_of_the_base_that_is_not_finite(value: float, model: Path, refused: Any) -> None:
    change_weights(model, lambda weights: weights[HEAD].__setitem__((7, 3), value))
    refused(model, "a row of the base is not finite, got 7", HEAD)


def test_an_id_that_the_model_uses_already(
    pair: tuple[Path, Path], tmp_path: Path, refused: Any
) -> None:
    size = load_base(pair[0]).size
    padded = write_model(tmp_path / "padded", size + 1, pad_token_id=size)
    refused(padded, f"pad_token_id {size}", "which the base tokenizer lacks")


def test_an_index_of_another_checkpoint(
    pair: tuple[Path, Path], tmp_path: Path, refused: Any
) -> None:
    folder = write_model(tmp_path / "sharded", load_base(pair[0]).size, shard="8KB")
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    moved = next(iter(index["weight_map"]))
    index["weight_map"][moved] = sorted(set(index["weight_map"].values()))[-1]
    file.write_text(json.dumps(index))
    refused(folder, "Index and files are not of one checkpoint", moved)
    index["weight_map"]["x"] = "../../etc/passwd"
    file.write_text(json.dumps(index))
    refused(folder, "outside the folder")
    sorted(folder.glob("*.safetensors"))[0].unlink()
    index["weight_map"].pop("x")
    file.write_text(json.dumps(index))
    refused(folder, "cannot open the weights")


def test_no_weights_or_two_sorts(model: Path, refused: Any) -> None:
    (model / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    refused(model, "both model.safetensors and an index")
    (model / "model.safetensors.index.json").unlink()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused(model, "Pickled weights are not opened")
    (model / "config.json").unlink()
    refused(model, "no checkpoint", kind=UsageError)


def test_folders_of_others_are_not_replaced(
    pair: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "mine", model, tmp_path):
        with pytest.raises(UsageError, match=r"--out"):
            embed_checkpoint(model, *pair, out, EmbedOptions())
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    assert (model / "config.json").is_file()
    for _ in range(2):  # its own it replaces
        embed_checkpoint(model, *pair, tmp_path / "out", EmbedOptions())


def test_a_full_disk_is_foreseen(
    model: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(model)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    refused(model, "are needed, 1 are free", kind=YanmoError)


def test_a_disk_that_fills_up_leaves_nothing(
    pair: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    """The limit of a file's size is met in the middle of the embedding."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from yanmo.cli import main; main()"
    )
    arguments = ["vocab", "embed", model, *pair, "--out", tmp_path / "out", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write the checkpoint (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("a b\n", "not a pair of ids"), ("5\t5\n6\t5\n", "two old ids"), ("5\t999999\n", "must lie"),
     ("5\t6\n", "did not grow from"), ("5\t5\n5\t6\n", "two new ids"), ("", "no pairs")],
)  # fmt: skip
def test_tables_of_ids(text: str, words: str, model: Path, refused: Any, tmp_path: Path) -> None:
    table = tmp_path / "remap.tsv"
    table.write_text(f"0\t0\n{text}" if text else text)
    refused(model, words, remap=str(table))


def test_the_command_says_what_is_wrong(
    pair: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    ended = command("vocab", "embed", model, pair[0], tmp_path / "nothing", "--out", tmp_path / "o")
    assert ended.code == 2
    assert "no such tokenizer" in ended.err
    ended = command("vocab", "embed", model, *pair, "--out", tmp_path / "o", "--set", "nrom=1")
    assert ended.code == 2
    assert "Did you mean 'norm'?" in ended.err
