"""`yanmo vocab view` as a user types it: which arguments are tokenizers, which text is shown."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command import command
from yanmo.errors import DataError, UsageError
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.view import build, page_data
from yanmo.vocab.view_command import read_text, split_arguments
from yanmo.vocab.view_page import view_page
from yanmo.vocab.view_words import WORDS


def test_two_folders_of_one_name_are_told_apart(english_spm: Path, tmp_path: Path) -> None:
    for side in ("old", "new"):
        (tmp_path / side / "zh").mkdir(parents=True)
        shutil.copy(english_spm, tmp_path / side / "zh" / "tokenizer.model")
    paths = [tmp_path / side / "zh" for side in ("old", "new")]
    panels = build([load_tokenizer(path) for path in paths], "abc", base=0)
    assert [panel.name for panel in panels] == ["old/zh", "new/zh"]
    data = page_data(panels, 0, WORDS)
    assert [panel["name"] for panel in data["panels"]] == ["old/zh", "new/zh"]
    html = view_page(panels, base=0)
    assert ">old/zh</td>" in html
    assert "new/zh: 0 tokens saved" in html
    done = command("vocab", "view", *paths, "a text", "--out", tmp_path / "a.html", "--json")
    assert [t["name"] for t in done.json()["tokenizers"]] == ["old/zh", "new/zh"]


def test_of_documents_no_more_is_read_than_shown(tmp_path: Path) -> None:
    texts = ["数据", None, "", "ab", "cd" * 50]
    pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet")
    joined = "\n".join(text for text in texts if text is not None)
    for limit in (1, 4, 6, 1000):
        assert read_text([], tmp_path / "x.parquet", limit) == (joined[:limit], len(joined))
    assert read_text(["a", "b"], None, 2) == ("a\n", 3)
    with pytest.raises(UsageError, match=r"none\.txt: no such file or folder"):
        read_text([], tmp_path / "none.txt", 5)


def test_the_command(byte_folder: Path, english_spm: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = command(
        "vocab", "view", byte_folder, english_spm, "数据 data", "二", "--out", out, "--json"
    )
    assert done.code == 0, done.err
    assert done.json()["chars"] == len("数据 data\n二")
    assert [t["tokens"] for t in done.json()["tokenizers"]] == [
        len(load_tokenizer(path).encode("数据 data\n二")) for path in (byte_folder, english_spm)
    ]
    again = command("vocab", "view", byte_folder, "--text", "-", "--base", english_spm,
                    "--limit", 3, "--out", out, stdin="数据质量".encode())  # fmt: skip
    assert again.code == 0, again.err
    assert "Cut: the first 3 of 4 characters" in again.out
    assert "Cut: only the first 3 of 4 characters" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{byte}x", "text", "--out", "a.html"], "no such tokenizer"),
        (["{byte}", "no/such/model", "--out", "a.html"], "no such tokenizer"),
        (["{byte}", "--out", "a.html"], "no text"),
        (["{byte}", "text", "--text", "{byte}/tokenizer.json", "--out", "a.html"], "two texts"),
        (["{byte}", "text", "--out", "page"], "--out must be a page"),
        (["{byte}", "", "--out", "a.html"], "the text is empty"),
    ],
)
def test_wrong_use_says_what_to_do(byte_folder: Path, arguments: list[str], said: str) -> None:
    done = command("vocab", "view", *(a.format(byte=byte_folder) for a in arguments))
    assert done.code in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_text_is_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"a\xff\xfe")
    done = command("vocab", "view", path, "text", "--out", tmp_path / "a.html")
    assert done.code == 1
    assert "not a WordPiece vocabulary: not UTF-8" in done.err


def test_a_mistyped_tokenizer_is_not_taken_for_text(byte_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'tokenizer\.json'"):
        split_arguments((str(byte_folder), str(byte_folder / "tokenizer.jsn")))
    with pytest.raises(DataError, match="surrogate"):
        build([load_tokenizer(byte_folder)], "a\ud800")
