"""The door: every format gives the ids of the library that owns it."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file
from yanmo.vocab import convert
from yanmo.vocab.load import Tokenizer, load_tokenizer, sniff_format

TEXTS = ["", " 前有空格", "数据 2016\n\tEND", "😀 <s> </s> <|endoftext|>", "𠀀〇 naïve"]
text_strategy = st.text(st.characters(codec="utf-8"), max_size=40)
quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_spm_ids_are_those_of_sentencepiece(spm_file: Path) -> None:
    loaded = load_tokenizer(spm_file)
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(spm_file))
    assert loaded.kind == "spm-bpe"
    assert (loaded.bos_id, loaded.eos_id, loaded.unk_id, loaded.pad_id) == (1, 2, 0, None)
    assert loaded.vocab_size == 420
    assert loaded.sha256 == sha256_file(spm_file)
    arrays = loaded.encode_batch(TEXTS)
    assert all(array.dtype == np.uint32 for array in arrays)
    assert [array.tolist() for array in arrays] == [oracle.encode(t) for t in TEXTS]


def test_json_ids_are_those_of_tokenizers(byte_folder: Path) -> None:
    loaded = load_tokenizer(byte_folder)
    oracle = tokenizers.Tokenizer.from_file(str(byte_folder / "tokenizer.json"))
    assert loaded.kind == "byte-bpe"
    assert (loaded.bos_id, loaded.eos_id) == (None, oracle.token_to_id("<|endoftext|>"))
    plain = [text for text in TEXTS if "<|" not in text]
    expected = [oracle.encode(t, add_special_tokens=False).ids for t in plain]
    assert [array.tolist() for array in loaded.encode_batch(plain)] == expected


def test_literal_special_tokens_stay_text(byte_folder: Path, spm_file: Path) -> None:
    for loaded, text in (
        (load_tokenizer(byte_folder), "a<|endoftext|>b"),
        (load_tokenizer(spm_file), "a</s>b"),
    ):
        ids = loaded.encode(text)
        assert loaded.eos_id not in ids.tolist()
        assert loaded.decode(ids) == text


def test_decode_shows_or_skips_special_tokens(byte_folder: Path, spm_file: Path) -> None:
    for loaded, name in (
        (load_tokenizer(byte_folder), "<|endoftext|>"),
        (load_tokenizer(spm_file), "</s>"),
    ):
        assert loaded.eos_id is not None
        ids = [*loaded.encode("数据").tolist(), loaded.eos_id]
        assert loaded.decode(ids) == "数据"
        assert loaded.decode(ids, skip_special=False) == "数据" + name


@quick
@given(text=text_strategy)
def test_round_trip_of_any_text(text: str, spm_file: Path, byte_folder: Path) -> None:
    byte_level = _loaded(byte_folder)
    assert byte_level.decode(byte_level.encode(text)) == text
    pieces = _loaded(spm_file)
    # Inherent to SentencePiece: U+2581 is its space.
    assert pieces.decode(pieces.encode(text)) == text.replace("▁", " ")


_cache: dict[Path, Tokenizer] = {}


def _loaded(path: Path) -> Tokenizer:
    return _cache.setdefault(path, load_tokenizer(path))


def test_lone_surrogate_is_a_data_error(spm_file: Path, byte_folder: Path) -> None:
    for path in (spm_file, byte_folder):
        with pytest.raises(DataError, match="surrogate"):
            load_tokenizer(path).encode_batch(["ok", "bad \ud800"])


def test_pieces_and_ids_are_inverse(spm_file: Path, byte_folder: Path) -> None:
    for path in (spm_file, byte_folder):
        loaded = load_tokenizer(path)
        for index in range(loaded.vocab_size):
            piece = loaded.id_to_piece(index)
            assert piece is not None
            assert loaded.piece_to_id(piece) == index
        assert loaded.id_to_piece(loaded.vocab_size) is None
        assert loaded.piece_to_id("never-a-piece") is None


def test_truncation_in_the_file_does_not_cut(byte_folder: Path, tmp_path: Path) -> None:
    fast = tokenizers.Tokenizer.from_file(str(byte_folder / "tokenizer.json"))
    fast.enable_truncation(4)
    fast.enable_padding(length=8)
    fast.save(str(tmp_path / "tokenizer.json"))
    text = "数据质量决定模型质量"
    assert np.array_equal(
        load_tokenizer(tmp_path).encode(text), load_tokenizer(byte_folder).encode(text)
    )


def test_rank_file_follows_the_rank_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the definition itself, lowest rank first, leftmost first, whole words at once."""
    words = ["ab", "abc", "cd", "bcd", "你", "你好", "aa", "aaa"]
    ranks = {bytes([b]): b for b in range(256)}
    for word in words:
        for end in range(2, len(word.encode()) + 1):
            ranks.setdefault(word.encode()[:end], len(ranks))
    ranks[b"xyz"] = len(ranks)  # no two parts make it: only a whole word gives it
    lines = [base64.b64encode(t) + b" " + str(r).encode() + b"\n" for t, r in ranks.items()]
    file = tmp_path / "small.tiktoken"
    file.write_bytes(b"".join(lines))
    with pytest.raises(UsageError, match="unknown tiktoken family"):
        load_tokenizer(file)
    family = convert.Family("small", convert.GPT2_PATTERN, {"<|endoftext|>": len(ranks)})
    monkeypatch.setitem(convert.FAMILIES, len(ranks), family)
    loaded = load_tokenizer(file)
    assert loaded.eos_id == len(ranks)
    for text in ("abcd", "aaaa", "你好你", "bcdab", "xyz", "xyza", "aaabcd"):
        token = text.encode()
        expected = (
            [ranks[token]]
            if token in ranks
            else [ranks[part] for part in convert.bpe_parts(ranks, token, len(ranks))]
        )
        assert loaded.encode(text).tolist() == expected, text


def test_special_tokens_keep_their_ids_behind_a_hole(byte_folder: Path, tmp_path: Path) -> None:
    """`tokenizers` alone numbers added tokens from the size of the vocabulary on."""
    document = json.loads((byte_folder / "tokenizer.json").read_text(encoding="utf-8"))
    del document["model"]["vocab"]["<|endoftext|>"]
    document["added_tokens"][0]["id"] = 7777
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    oracle = tokenizers.Tokenizer.from_str(json.dumps(document))
    assert oracle.token_to_id("<|endoftext|>") != 7777
    loaded = load_tokenizer(tmp_path)
    assert (loaded.eos_id, loaded.vocab_size) == (7777, 7778)
    assert loaded.decode([7777], skip_special=False) == "<|endoftext|>"


def test_wordpiece_with_crlf(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "ink", "##s", "grind"]
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(pieces).encode() + b"\r\n")
    loaded = load_tokenizer(tmp_path)
    assert (loaded.kind, loaded.vocab_size) == ("wordpiece", 10)
    assert (loaded.bos_id, loaded.eos_id, loaded.pad_id, loaded.unk_id) == (2, 3, 0, 1)
    assert loaded.encode("你好 Inks grind 龍").tolist() == [5, 6, 7, 8, 9, 1]


def test_vocab_json_and_merges(byte_folder: Path, tmp_path: Path) -> None:
    document = json.loads((byte_folder / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(document["model"]["vocab"]))
    lines = [" ".join(pair) for pair in document["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    loaded, oracle = load_tokenizer(tmp_path), load_tokenizer(byte_folder)
    for text in TEXTS:
        assert loaded.encode(text).tolist() == oracle.encode(text).tolist()


def test_formats_are_told_by_content(spm_file: Path, byte_folder: Path, tmp_path: Path) -> None:
    assert sniff_format(spm_file) == "spm"
    assert sniff_format(byte_folder / "tokenizer.json") == "json"
    ranks = tmp_path / "tokenizer.model"
    ranks.write_bytes(b"IQ== 0\nIg== 1\n")
    assert sniff_format(ranks) == "tiktoken"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "not a tokenizer file"),
        (b"\x0a\xff\xff\xff\xff\x0fabc", "sentencepiece cannot read it"),
        (b"{}", "not a tokenizer.json"),
        (b'{"model": 7', "not JSON"),
        (b'{"model": {"type": "BPE"}}', "tokenizers cannot read it"),
    ],
)
def test_damaged_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_tokenizer(file)
    assert str(file) in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such tokenizer"):
        load_tokenizer(tmp_path / "missing")
    with pytest.raises(UsageError, match="no tokenizer in the folder"):
        load_tokenizer(tmp_path)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("vectors", "folder"),
    [
        ("gpt-2", "gpt2"),
        ("llama-bpe", "llama3"),
        ("qwen2", "qwen2.5"),
        ("qwen2", "qwen"),
        ("llama-spm", "llama"),
    ],
)
def test_published_vectors(vectors: str, folder: str, real_tokenizers: Path) -> None:
    """llama.cpp's test texts and the ids that the original tokenizers gave them."""
    stem = real_tokenizers / "llama.cpp-vectors" / f"ggml-vocab-{vectors}.gguf"
    inputs = Path(f"{stem}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    outputs = Path(f"{stem}.out").read_text().split("\n")
    loaded = load_tokenizer(real_tokenizers / folder)
    pairs = list(zip(inputs, outputs, strict=True))
    assert len(pairs) == 47
    for text, ids in pairs:
        assert loaded.encode(text).tolist() == [int(i) for i in ids.split()], text
