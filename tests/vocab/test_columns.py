"""The fast encoder gives the ids of the tokenizer's own library, or says why it does not run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.vocab import columns, convert
from yanmo.vocab.bpe_merge import new_cache
from yanmo.vocab.columns import ColumnEncoder, Proof
from yanmo.vocab.load import Differs, load_tokenizer
from yanmo.vocab.spm import PieceType, dump_model, parse_model
from yanmo.vocab.spm_json import spm_document

SPECIAL = [
    "</s>", "<s>", "<|endoftext|>", "<tool>", "<0x0A>", "▁", "'s", "'S", "'ſ", "'LL", "'re", " \n",
    "\r\n\r\n",
    "   ", "\t", "\u3000", "\u00a0", "\u2028", "\x85", "\x00", "\ufeff", "👩‍👩‍👧", "❤️",
    "e\u0301", "가", "\u1100\u1161", "𠀀", "\U0010ffff", "\ue000", "१२३", "①", "Ⅷ", "ﬆ", "ß",
    "123456",
    "a" * 90, " " * 90, "数据" * 60, "的" * 3,
    "\u064b\u0650", "क्ष", "\u0344", "数据质量决定模型质量",
    "北京", "create people", "features", "，", "。\n", " 数", "é", "天\u0300",
]  # fmt: skip
text = st.lists(
    st.one_of(st.sampled_from(SPECIAL), st.text(st.characters(codec="utf-8"), max_size=6)),
    max_size=12,
).map("".join)
quick = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def byte_variant(folder: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(document)
    out.mkdir()
    (out / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return out


def with_pattern(
    pattern: str, *, nfc: bool, whole: bool = False
) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        made = convert.byte_level_json(
            vocab=document["model"]["vocab"], merges=document["model"]["merges"],
            family=convert.Family("x", pattern, {}, nfc=nfc), ignore_merges=whole,
        )  # fmt: skip
        document |= {n: made[n] for n in ("normalizer", "pre_tokenizer")}
        document["model"]["ignore_merges"] = whole
        size = len(document["model"]["vocab"])
        token = convert.added_token("<tool>", size, special=False)
        document["added_tokens"].append(token)
        if whole:  # words that no merge gives
            spelled = [convert.to_alphabet(w.encode()) for w in ("研模量", "xyzzy", "龘", " 数")]
            new = {s: size + 1 + k for k, s in enumerate(spelled)}
            document["model"]["vocab"] |= new

    return change


def with_large_ids(document: dict[str, Any]) -> None:
    """Ids on both sides of 2^18: beyond it they do not fit into a slot of the cache."""
    with_pattern(convert.CL100K_PATTERN, nfc=False)(document)
    vocab = document["model"]["vocab"]
    document["model"]["vocab"] = {t: i if i < 256 else i * 2 + (1 << 18) for t, i in vocab.items()}
    document["added_tokens"] = []


@pytest.fixture(scope="session")
def encoders(
    tmp_path_factory: pytest.TempPathFactory, spm_file: Path, byte_folder: Path
) -> dict[str, ColumnEncoder]:
    out = tmp_path_factory.mktemp("variants")
    model = parse_model(spm_file.read_bytes())
    # As in the famous recipe: the later half of the pieces all have the score 0.
    tied = tuple(
        p if p.type is not PieceType.NORMAL or k % 2 else type(p)(p.text, 0.0)
        for k, p in enumerate(model.pieces)
    )
    (out / "tied.model").write_bytes(dump_model(model.with_pieces(tied)))
    (out / "json").mkdir()
    document = json.dumps(spm_document(model))
    (out / "json" / "tokenizer.json").write_text(document, encoding="utf-8")
    paths = {
        "sentencepiece": spm_file,
        "sentencepiece, ties": out / "tied.model",
        "sentencepiece as json": out / "json",
        "gpt2": byte_folder,
        "cl100k": byte_variant(
            byte_folder, out / "cl", with_pattern(convert.CL100K_PATTERN, nfc=False)
        ),
        "qwen": byte_variant(
            byte_folder, out / "qwen", with_pattern(convert.QWEN_PATTERN, nfc=True)
        ),
        "whole words": byte_variant(
            byte_folder, out / "w", with_pattern(convert.CL100K_PATTERN, nfc=False, whole=True)
        ),
        "large ids": byte_variant(byte_folder, out / "large", with_large_ids),
    }  # fmt: skip
    return {name: ColumnEncoder(load_tokenizer(path)) for name, path in paths.items()}


NAMES = ["sentencepiece", "sentencepiece, ties", "sentencepiece as json", "gpt2", "cl100k", "qwen",
         "whole words", "large ids"]  # fmt: skip


def check(encoder: ColumnEncoder, texts: list[str]) -> None:
    assert encoder.why_not is None
    mine, at = encoder._fast(pa.array(texts, pa.large_string()))
    for k, (one, expected) in enumerate(
        zip(texts, encoder.tokenizer.encode_batch(texts), strict=True)
    ):
        assert mine[at[k] : at[k + 1]].tolist() == expected.tolist(), one


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_the_library(name: str, encoders: dict[str, ColumnEncoder]) -> None:
    @quick
    @given(texts=st.lists(text, min_size=1, max_size=6))
    def run(texts: list[str]) -> None:
        check(encoders[name], texts)

    run()


@pytest.mark.parametrize("name", NAMES)
def test_every_written_text(
    name: str, encoders: dict[str, ColumnEncoder], texts: list[str]
) -> None:
    written = [*SPECIAL, *texts, "".join(SPECIAL), "", "研模量", " xyzzy", "xyzzy", "龘 数"]
    check(encoders[name], written)
    check(encoders[name], written)  # out of the cache


def test_a_full_cache_is_emptied(
    encoders: dict[str, ColumnEncoder], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = encoders["gpt2"]._kernels
    monkeypatch.setattr(kernels, "cache", new_cache(64, 2048))
    check(encoders["gpt2"], [*texts, *SPECIAL])
    assert kernels.cache.used[0] <= 33


def test_slices_nulls_and_nothing(encoders: dict[str, ColumnEncoder]) -> None:
    column = pa.array(["数据", "people", None, "北京"], pa.string()).slice(1)
    for encoder in encoders.values():
        ids, at = encoder._fast(column)
        expected = encoder.tokenizer.encode_batch(["people", "", "北京"])
        assert ids.tolist() == np.concatenate(expected).tolist()
        assert np.diff(at).tolist() == [len(array) for array in expected]
        assert encoder._fast(pa.array([], pa.string()))[1].tolist() == [0]


def test_texts_that_only_the_library_can_take_go_there(encoders: dict[str, ColumnEncoder]) -> None:
    encoder = encoders["qwen"]
    encoder.start()
    check(encoder, ["plain", "e\u0301", "a <tool> b", "'ſ", "❤️"])
    assert encoder.proof.handed_texts == 3


def test_what_was_compared_is_counted_and_nothing_else(
    encoders: dict[str, ColumnEncoder],
) -> None:
    encoder = encoders["qwen"]
    encoder.start()
    encoder.encode(pa.array(["plain", "e\u0301"]))
    assert (encoder.proof.sampled_texts, encoder.proof.handed_texts) == (1, 1)
    assert encoder.proof.sampled_bytes == len("plain")


def test_kernels_that_could_not_be_compared_are_not_used(
    encoders: dict[str, ColumnEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows of the sample hold what only the library takes; one text does not."""
    encoder = encoders["qwen"]
    encoder.start()
    monkeypatch.setattr(columns, "_sample", lambda texts: ["e\u0301"])
    monkeypatch.setattr(encoder, "_fast", None)
    ids, _ = encoder.encode(pa.array(["plain", "e\u0301"]))
    expected = encoder.tokenizer.encode_batch(["plain", "e\u0301"])
    assert ids.tolist() == np.concatenate(expected).tolist()
    assert encoder.proof == Proof(0, 0, 2)


REAL = [
    "llama", "chinese-llama-2", "chinese-llama", "qwen2.5", "llama3", "gpt2", "minimind", "qwen",
]  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_documents_get_the_ids_of_the_library(name: str, realdata: Path) -> None:
    """Whole documents of every source, Chinese and English, up to 150 kB of each."""
    encoder = ColumnEncoder(load_tokenizer(realdata / "tokenizers" / name))
    if name == "chinese-llama":  # a unigram model: the library's
        assert "unigram" in str(encoder.why_not)
        return
    documents: list[str] = []
    for path in sorted((realdata / "text").glob("*.jsonl.zst")):
        size = 0
        with zstandard.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                documents.append(json.loads(line)["text"])
                size += len(documents[-1].encode())
                if size > 150_000:
                    break
    assert sum(map(len, documents)) > 1_000_000
    encoder.start()
    for start in range(0, len(documents), 200):
        check(encoder, documents[start : start + 200])
    assert encoder.proof.handed_texts < len(documents) / 4


def test_the_characters_that_fold_into_a_contraction(root: Path) -> None:
    """Only the long s does, beside the letters themselves: it is handed over."""
    regex = tokenizers.Regex("(?i:[strevmld])")
    split = tokenizers.pre_tokenizers.Split(regex, "removed")
    every = [chr(c) for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]
    kept = set("".join(piece for piece, _ in split.pre_tokenize_str("".join(every))))
    assert [c for c in every if c not in kept] == ["ſ"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True,
                            "trim_offsets": True}}, "pre-tokeniser"),
    ],
)  # fmt: skip
def test_other_tokenizers_are_left_to_their_library(
    change: dict[str, Any], why: str, byte_folder: Path, tmp_path: Path
) -> None:
    folder = byte_variant(byte_folder, tmp_path / "x", lambda document: document.update(change))
    encoder = ColumnEncoder(load_tokenizer(folder))
    assert why in str(encoder.why_not)
    ids, _ = encoder.encode(pa.array(["Grind THE ink"]))
    assert ids.tolist() == encoder.tokenizer.encode("Grind THE ink").tolist()
    assert encoder.told()["engine"] == "tokenizers"
    assert why in encoder.told()["why"]


def test_other_ids_are_noticed(
    encoders: dict[str, ColumnEncoder], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders["gpt2"]
    encoder.encode(pa.array(texts))
    assert encoder.proof.sampled_bytes > 0
    right = columns.encode

    def wrong(*arguments: Any) -> Any:
        ids, at = right(*arguments)
        ids[-1:] ^= 1
        return ids, at

    monkeypatch.setattr(columns, "encode", wrong)
    with pytest.raises(Differs, match="other ids"):
        encoder.encode(pa.array(texts))
    assert encoder.told(Differs("other ids"))["engine"] == "tokenizers"
