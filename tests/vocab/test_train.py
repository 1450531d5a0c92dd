"""Training: what goes in is used, what comes out loads everywhere and gives one set of ids."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.files import sha256_file
from yanmo.recipe import load
from yanmo.vocab.cli import group
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.train import TrainOptions, train_tokenizer

PROBES = [
    "",
    " ",
    "  两个空格 和 词 ",
    "研墨先于落笔 2016 年",
    "Hello  world\n\n\tindent\r\n",
    "１２３ ½ ٣ 零〇",
    "😀👨‍👩‍👧 naïve café ﬁ",
    "，：（）“”…——",
    "𠀀𪚥 rare",
    "<0x0A> <unk> ",
    "a\u0000b",
    "=====    ----",
]
KINDS = ("spm-bpe", "spm-unigram", "byte-bpe")
any_text = st.text(st.characters(codec="utf-8", exclude_characters="\u2581"), max_size=60)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "documents.jsonl"
    records = [json.dumps({"text": "\n".join(texts[k : k + 5])}) for k in range(0, 200, 5)]
    path.write_text("\n".join(records), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def folders(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("trained")
    for kind in KINDS:
        options = TrainOptions(size=400, kind=kind, special=("<|user|>",), shrink=True)
        train_tokenizer([corpus], root / kind, options)
    return {kind: root / kind for kind in KINDS}


@cache
def _engines(folder: Path) -> dict[str, Any]:
    from transformers import AutoTokenizer

    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(str(folder))
    engines = {
        "ours": lambda text: load_tokenizer(folder).encode(text).tolist(),
        "tokenizers": lambda text: fast.encode(text, add_special_tokens=False).ids,
        "auto": lambda text: auto(text, add_special_tokens=False)["input_ids"],
    }
    model = folder / "tokenizer.model"
    if model.exists():
        engines["sentencepiece"] = sentencepiece.SentencePieceProcessor(
            model_file=str(model)
        ).encode
    return engines


@pytest.mark.parametrize("kind", KINDS)
def test_all_libraries_agree_on_probes(kind: str, folders: dict[str, Path]) -> None:
    engines = _engines(folders[kind])
    for text in PROBES:
        if "<unk>" in text:
            continue
        ids = {name: encode(text) for name, encode in engines.items()}
        assert len(set(map(tuple, ids.values()))) == 1, (text, ids)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=any_text, kind=st.sampled_from(KINDS))
def test_all_libraries_agree_on_any_text(text: str, kind: str, folders: dict[str, Path]) -> None:
    engines = _engines(folders[kind])
    del_ours = {name: encode(text) for name, encode in engines.items() if name != "ours"}
    assert len(set(map(tuple, del_ours.values()))) == 1, (text, del_ours)


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_in_transformers(kind: str, folders: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(str(folders[kind]))
    for text in PROBES:
        ids = auto(text, add_special_tokens=False)["input_ids"]
        assert auto.decode(ids) == text, text
    assert (auto.bos_token, auto.eos_token) == ("<s>", "</s>")
    assert (auto.unk_token_id, auto.bos_token_id, auto.eos_token_id, auto.pad_token_id) == (
        0,
        1,
        2,
        3,
    )
    assert auto("研墨")["input_ids"][0] == 1
    assert "<|user|>" in auto.all_special_tokens
    assert auto("<|user|>研", add_special_tokens=False)["input_ids"][
        0
    ] == auto.convert_tokens_to_ids("<|user|>")


@pytest.mark.parametrize("kind", KINDS)
def test_digits_stand_alone_and_nothing_is_unknown(kind: str, folders: dict[str, Path]) -> None:
    loaded = load_tokenizer(folders[kind])
    pieces = [loaded.id_to_piece(index) or "" for index in range(loaded.vocab_size)]
    assert not [p for p in pieces if sum(c.isdigit() for c in p) > 1 and not p.startswith("<0x")]
    assert loaded.unk_id not in loaded.encode("龘龘 ☃ \U0001f9ff").tolist()


def test_report_and_provenance(folders: dict[str, Path], corpus: Path) -> None:
    for kind in KINDS:
        report = json.loads((folders[kind] / "report.json").read_text(encoding="utf-8"))
        origin = json.loads((folders[kind] / "yanmo.json").read_text(encoding="utf-8"))
        assert report["size"] == load_tokenizer(folders[kind]).vocab_size
        assert sum(report["pieces"].values()) == report["size"]
        assert report["agreement"]["equal"] == report["agreement"]["texts"] > 0
        assert origin["inputs"][0]["sha256"] == sha256_file(corpus)
        for name, digest in origin["files"].items():
            assert sha256_file(folders[kind] / name) == digest


def test_used_bytes_are_input_bytes(tmp_path: Path) -> None:
    """One document of one line, far longer than sentencepiece's limit, newest words at its end."""
    rare = "饕餮纹鼎"
    text = "研墨先于落笔，磨得越细。" * 4000 + f"{rare}。" * 300
    path = tmp_path / "long.txt"
    path.write_text(text, encoding="utf-8")
    options = TrainOptions(size=330, character_coverage=1.0, shrink=True)
    report = train_tokenizer([path], tmp_path / "out", options)
    assert report["text"]["bytes_used"] == report["text"]["bytes_read"] == len(text.encode())
    assert report["text"]["lines_cut"] == 1
    # Had the line been skipped or cut off, its last words could not have become a piece.
    assert load_tokenizer(tmp_path / "out").piece_to_id(rare) is not None


@pytest.mark.parametrize("kind", [*KINDS, "wordpiece"])
def test_same_bytes_twice(kind: str, corpus: Path, tmp_path: Path) -> None:
    """Two processes with different hash seeds, so that no set or map order can hide."""
    code = (
        "import sys; from pathlib import Path;"
        "from yanmo.vocab.train import TrainOptions, train_tokenizer;"
        "train_tokenizer([Path(sys.argv[1])], Path(sys.argv[2]),"
        "TrainOptions(size=400, kind=sys.argv[3], shrink=True))"
    )
    hashes = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        command = [sys.executable, "-c", code, str(corpus), str(out), kind]
        environment = {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed, "PATH": ""}
        subprocess.run(command, check=True, env=environment)
        hashes.append({path.name: sha256_file(path) for path in sorted(out.iterdir())})
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_entries(kind: str, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not support 5000 entries, only") as caught:
        train_tokenizer([corpus], tmp_path / "a", TrainOptions(size=5000, kind=kind))
    assert not (tmp_path / "a").exists()
    largest = int(str(caught.value).split("only ")[1].split(".")[0].split(",")[0])
    report = train_tokenizer([corpus], tmp_path / "b", TrainOptions(size=largest, kind=kind))
    assert report["size"] == largest
    shrunk = TrainOptions(size=5000, kind=kind, shrink=True)
    assert train_tokenizer([corpus], tmp_path / "c", shrunk)["size"] == largest


def test_required_characters_get_pieces(corpus: Path, tmp_path: Path) -> None:
    options = TrainOptions(size=4600, required_chars="gb2312-1", shrink=True)
    train_tokenizer([corpus], tmp_path / "out", options)
    loaded = load_tokenizer(tmp_path / "out")
    assert loaded.piece_to_id("啊") is not None
    assert loaded.piece_to_id("座") is not None
    with pytest.raises(UsageError, match="do not hold") as caught:
        train_tokenizer([corpus], tmp_path / "b", TrainOptions(size=400, required_chars="gb2312-1"))
    assert "size" in str(caught.value)


def test_wordpiece(corpus: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    train_tokenizer(
        [corpus], tmp_path / "out", TrainOptions(size=350, kind="wordpiece", shrink=True)
    )
    auto = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    loaded = load_tokenizer(tmp_path / "out")
    text = "研墨 before 2016"
    assert loaded.encode(text).tolist() == auto(text, add_special_tokens=False)["input_ids"]
    assert (auto.unk_token, auto.pad_token_id, auto.mask_token) == ("[UNK]", 0, "[MASK]")
    from_list = load_tokenizer(tmp_path / "out" / "vocab.txt")
    assert from_list.encode(text).tolist() == loaded.encode(text).tolist()


def test_dummy_prefix_as_llama_has_it(corpus: Path, tmp_path: Path) -> None:
    train_tokenizer([corpus], tmp_path, TrainOptions(size=400, dummy_prefix=True, shrink=True))
    loaded = load_tokenizer(tmp_path)
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for text in PROBES[:-2]:
        assert loaded.encode(text).tolist() == oracle.encode(text)
        assert loaded.decode(loaded.encode(text)) == text
    assert (loaded.id_to_piece(int(loaded.encode("研墨")[0])) or "").startswith("\u2581")


def test_han_words_of_byte_level(folders: dict[str, Path]) -> None:
    """No learned token glues punctuation or Latin letters to a hanzi."""
    from yanmo.vocab.charsets import is_han
    from yanmo.vocab.surfaces import surfaces_of

    for surface in surfaces_of(load_tokenizer(folders["byte-bpe"])):
        text = surface.decode("utf-8", errors="ignore")
        if any(is_han(c) for c in text):
            assert is_han(text), text


def test_errors_are_the_users_language(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n", encoding="utf-8")
    for kind in KINDS:
        with pytest.raises(DataError, match="no text to train on"):
            train_tokenizer([empty], tmp_path / "out", TrainOptions(size=400, kind=kind))
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "好"}\n{"txt": 1}\n', encoding="utf-8")
    for kind in KINDS:
        with pytest.raises(DataError, match="no text in field") as caught:
            train_tokenizer([bad], tmp_path / "out", TrainOptions(size=400, kind=kind))
        assert "bad.jsonl:2" in str(caught.value)
    with pytest.raises(RecipeError, match="required"):
        load(TrainOptions)
    with pytest.raises(RecipeError, match="already there"):
        TrainOptions(size=400, special=("<s>",))


def test_command(corpus: Path, tmp_path: Path) -> None:
    arguments = ["train", str(corpus), "--out", str(tmp_path / "t"), "--size", "390", "--json"]
    result = CliRunner().invoke(group, [*arguments, "--set", "kind=byte-bpe"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["size"], printed["kind"]) == (390, "byte-bpe")
    assert load_tokenizer(tmp_path / "t").vocab_size == 390
