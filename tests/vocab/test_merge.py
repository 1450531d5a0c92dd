"""Merging: the famous recipe byte for byte, and the right one proven."""

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from click.testing import CliRunner

from yanmo.errors import UsageError
from yanmo.files import sha256_file
from yanmo.vocab.base import load_base
from yanmo.vocab.charsets import is_han
from yanmo.vocab.cli import group
from yanmo.vocab.derive import Deriver, safe_prefix
from yanmo.vocab.lines import first_lines
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.merge import MergeOptions, merge_ranked, merge_tokenizers, place, read_pieces

TEXT = "数据质量决定模型质量。北京的长城。机器学习模型。我们一起学习机器学习。国家图书馆在北京。"
WORDS = [
    "研墨先",
    "研墨",
    "先于",
    "北京的长城",
    "长城",
    "research",
    "２０",
    "模型，",
    "▁研",
    "研墨",
]


def test_zero_is_the_published_loop(
    english_spm: Path, chinese_unigram: Path, tmp_path: Path
) -> None:
    pytest.importorskip("google.protobuf", reason="protobuf is not a dependency of yanmo")
    from sentencepiece import sentencepiece_model_pb2

    pb2: Any = sentencepiece_model_pb2
    base, new = pb2.ModelProto(), pb2.ModelProto()
    base.ParseFromString(english_spm.read_bytes())
    new.ParseFromString(chinese_unigram.read_bytes())
    have = {piece.piece for piece in base.pieces}
    for piece in new.pieces:
        if piece.piece not in have:
            added = pb2.ModelProto().SentencePiece()
            added.piece, added.score = piece.piece, 0
            base.pieces.append(added)
    options = MergeOptions(scores="zero")
    report = merge_tokenizers(english_spm, chinese_unigram, tmp_path / "out", options)
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == base.SerializeToString()
    assert report["size"] == len(base.pieces) == report["base_size"] + report["added"]
    broken = {c["name"] for c in report["verification"]["checks"] if not c["passed"]}
    assert {"merge graph sound", "text outside Han runs unchanged"} <= broken


def test_ranked_is_proven(english_spm: Path, chinese_unigram: Path, tmp_path: Path) -> None:
    report = merge_tokenizers(english_spm, chinese_unigram, tmp_path, MergeOptions())
    assert report["verification"]["passed"]
    assert report["added"] > 30
    loaded, base = load_tokenizer(tmp_path), load_tokenizer(english_spm)
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    new = [oracle.id_to_piece(k) for k in range(base.vocab_size, oracle.get_piece_size())]
    assert all(is_han(piece) for piece in new)
    scores = [oracle.get_score(k) for k in range(base.vocab_size, oracle.get_piece_size())]
    assert scores == sorted(set(scores), reverse=True)
    assert loaded.encode(TEXT).size < base.encode(TEXT).size
    assert loaded.encode(TEXT).tolist() == oracle.encode(TEXT)
    english = "People create features in 2016 and 1999.  def main(x):\n\treturn 1"
    assert loaded.encode(english).tolist() == base.encode(english).tolist()


@pytest.mark.parametrize("kind", ["spm", "byte"])
def test_words_get_their_parents(
    kind: str, english_spm: Path, byte_folder: Path, tmp_path: Path
) -> None:
    base = load_base(english_spm if kind == "spm" else byte_folder)
    merged = merge_ranked(base, WORDS, MergeOptions())
    assert set(merged.dropped) <= {"already there", "not Han alone", "no two parts make it"}
    assert set(merged.dropped["not Han alone"]) == {"research", "２０", "模型，", "▁研"}
    made = [token.surface.decode(errors="replace") for token in merged.tokens]
    known = {surface.decode(errors="replace") for surface in base.surfaces()}
    # Three words meet merges of the byte-level base across characters.
    refused = merged.dropped.get("no two parts make it", [])
    assert len(refused) <= (0 if kind == "spm" else 3)
    for word in ("研墨先", "研墨", "先于", "北京的长城", "长城"):
        assert word in made or word in known or word in refused
    dropping = merge_ranked(base, WORDS, MergeOptions(underivable="drop"))
    assert len(dropping.tokens) < len(merged.tokens)
    assert all(token.why in ("word", "character", "prefix") for token in dropping.tokens)


def test_byte_level_base(byte_folder: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("图书馆\t12\n国家图书馆\n饕餮\n𠀀墨\n", encoding="utf-8")
    report = merge_tokenizers(byte_folder, words, tmp_path / "out", MergeOptions())
    assert report["verification"]["passed"]
    loaded = load_tokenizer(tmp_path / "out")
    base = load_tokenizer(byte_folder)
    # Its bytes meet base merges across characters, so that no whole-character parts make it.
    assert report["dropped"] == {"no two parts make it": 1}
    for word in ("图书馆", "饕餮", "𠀀墨"):
        ids = loaded.encode(word)
        assert ids.size == 1
        assert ids[0] >= base.vocab_size
        assert loaded.decode(ids) == word
    assert loaded.eos_id == base.eos_id
    assert report["added_by_reason"]["prefix"] >= 1


def test_special_tokens_behind_the_vocabulary_stay(byte_folder: Path, tmp_path: Path) -> None:
    """Llama-3 and Qwen number their special tokens behind all entries; new ones come after."""
    document = json.loads((byte_folder / "tokenizer.json").read_text(encoding="utf-8"))
    end = document["model"]["vocab"].pop("<|endoftext|>")
    shifted = {piece: index - (index > end) for piece, index in document["model"]["vocab"].items()}
    document["model"]["vocab"] = shifted
    document["added_tokens"][0]["id"] = len(shifted)
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    words = tmp_path / "words.txt"
    words.write_text("图书馆\n饕餮", encoding="utf-8")
    report = merge_tokenizers(folder, words, tmp_path / "out", MergeOptions())
    loaded = load_tokenizer(tmp_path / "out")
    assert loaded.eos_id == len(shifted) == load_tokenizer(folder).eos_id
    (new,) = loaded.encode("饕餮").tolist()
    assert len(shifted) < new <= len(shifted) + report["added"]


def test_order_of_the_list_is_kept_where_it_can_be(english_spm: Path) -> None:
    tokens, left = place(
        Deriver(load_base(english_spm)), ["的一", "一是", "的一是", "是的", "墨"], repair=False
    )
    assert [token.surface.decode() for token in tokens] == ["墨", "的一", "一是", "的一是", "是的"]
    assert left == []


def test_a_word_waits_for_its_parts(english_spm: Path) -> None:
    words = ["的一是的", "的一", "是的"]
    tokens, left = place(Deriver(load_base(english_spm)), words, repair=False)
    assert [token.surface.decode() for token in tokens] == ["的一", "是的", "的一是的"]
    tokens, left = place(Deriver(load_base(english_spm)), ["的一是的"], repair=False)
    assert (tokens, left) == ([], ["的一是的"])


def test_failed_derivation_adds_nothing(byte_folder: Path) -> None:
    deriver = Deriver(load_base(byte_folder))
    before = deriver.parts("饕餮".encode())
    assert deriver.derive("饕餮", repair=False, why="word") is None
    assert deriver.parts("饕餮".encode()) == before


def test_prefixes_that_only_hanzi_have() -> None:
    safe = [b"\xe4\xb8", b"\xe9\xbe", b"\xf0\xa0", b"\xf0\xa0\x80", b"\xe3\x90"]
    unsafe = [b"\xe3\x80", b"\xe4\xb7", b"\xf0\x9f", b"\xe4", b"\xb8\xad", b"\xed\xa0", b"a"]
    assert all(safe_prefix(prefix) for prefix in safe)
    assert not any(safe_prefix(prefix) for prefix in unsafe)


def test_pieces_of_any_tokenizer(
    spm_file: Path, byte_folder: Path, tmp_path: Path, real_words: list[str]
) -> None:
    assert "数据" in read_pieces(spm_file)
    assert "<s>" not in read_pieces(spm_file)
    found = read_pieces(byte_folder)
    assert " the" in found
    assert "<|endoftext|>" not in found
    (tmp_path / "words.txt").write_text("\n".join(real_words), encoding="utf-8")
    assert read_pieces(tmp_path / "words.txt") == real_words


@pytest.fixture
def real_words() -> list[str]:
    return ["研墨", "落笔"]


def test_limit_and_length(english_spm: Path, tmp_path: Path) -> None:
    base = load_base(english_spm)
    whole = merge_ranked(base, WORDS, MergeOptions())
    part = merge_ranked(base, WORDS, MergeOptions(limit=5))
    assert part.tokens == whole.tokens[:5]
    short = merge_ranked(base, WORDS, MergeOptions(max_chars=2))
    assert set(short.dropped["longer than 2 characters"]) == {"研墨先", "北京的长城"}


def test_zero_needs_two_models(byte_folder: Path, spm_file: Path, tmp_path: Path) -> None:
    for base, new in ((byte_folder, spm_file), (spm_file, byte_folder)):
        with pytest.raises(UsageError, match="two SentencePiece models"):
            merge_tokenizers(base, new, tmp_path / "x", MergeOptions(scores="zero"))
    with pytest.raises(UsageError, match="vocabularies can grow"):
        merge_tokenizers(tmp_path_unigram(tmp_path), spm_file, tmp_path / "x", MergeOptions())


def tmp_path_unigram(tmp_path: Path) -> Path:
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "研"]
    (tmp_path / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "vocab.txt"


def test_added_tokens_of_the_base_keep_their_ids(english_spm: Path, tmp_path: Path) -> None:
    """A chat model: tokenizer.json adds tokens behind the pieces of tokenizer.model."""
    from yanmo.vocab.convert import added_token

    base = load_base(english_spm)
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(english_spm.read_bytes())
    document = {**base.document}
    extra = [added_token("<|user|>", base.size), added_token("<|end|>", base.size + 1)]
    document["added_tokens"] = [*document["added_tokens"], *extra]
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    words = tmp_path / "words.txt"
    words.write_text("研墨", encoding="utf-8")
    report = merge_tokenizers(folder, words, tmp_path / "out", MergeOptions())
    assert report["verification"]["passed"]
    loaded = load_tokenizer(tmp_path / "out")
    assert loaded.piece_to_id("<|user|>") == base.size
    assert loaded.piece_to_id("<|end|>") == base.size + 1
    assert (loaded.piece_to_id("研墨") or 0) > base.size + 1


def test_commands(english_spm: Path, chinese_unigram: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    arguments = ["merge", str(english_spm), str(chinese_unigram), "--out", out, "--json"]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["size"] == printed["base_size"] + printed["added"]
    result = CliRunner().invoke(group, ["verify", str(english_spm), out, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"]
    zero = str(tmp_path / "zero")
    arguments = ["merge", str(english_spm), str(chinese_unigram), "--out", zero]
    assert CliRunner().invoke(group, [*arguments, "--scores", "zero"]).exit_code == 0
    result = CliRunner().invoke(group, ["verify", str(english_spm), zero])
    assert result.exit_code == 1
    assert "FAILED" in result.output


@pytest.mark.realdata
def test_the_published_merge(real_tokenizers: Path, tmp_path: Path) -> None:
    llama, chinese = real_tokenizers / "llama", real_tokenizers / "chinese-llama"
    report = merge_tokenizers(llama, chinese, tmp_path, MergeOptions(scores="zero"))
    assert (report["base_size"], report["added"], report["size"]) == (32000, 17953, 49953)
    model = tmp_path / "tokenizer.model"
    assert model.stat().st_size == 757_958
    assert sha256_file(model).startswith("e2676d4ca29ca175")
    broken = {c["name"]: c["broken"] for c in report["verification"]["checks"]}
    # Dead new pieces and lost base pieces, as counted independently with sentencepiece.
    assert broken["every new entry reachable"] == 345
    assert broken["no base entry lost"] == 194


@pytest.mark.realdata
def test_the_ranked_merge_on_real_lines(
    real_tokenizers: Path, realdata: Path, tmp_path: Path
) -> None:
    llama, chinese = real_tokenizers / "llama", real_tokenizers / "chinese-llama"
    lines = first_lines(sorted((realdata / "text").glob("*.zst")), 6000)
    report = merge_tokenizers(llama, chinese, tmp_path, MergeOptions(), texts=lines)
    assert report["added"] > 17_000
    assert report["verification"]["passed"]
    assert all(check["broken"] == 0 for check in report["verification"]["checks"])
