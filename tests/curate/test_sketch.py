"""Shingles against a plain Python reading of the definition, signatures against datasketch."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate import sketch, sketch_tables

MASK = (1 << 64) - 1
HANZI_AND_KIN = (
    (0x3005, 0x3007), (0x3031, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF),
    (0x1780, 0x17FF), (0xA960, 0xA97F),
)  # fmt: skip


def tokens_of(text: str) -> list[str]:
    """The definition of a token, read out in plain Python."""
    tokens: list[str] = []
    run = ""
    for char in text:
        forms = [unicodedata.normalize("NFKC", char).lower(), char.lower(), char]
        folded = next(form for form in forms if len(form) == 1) if char < "\U00020000" else char
        category = unicodedata.category(folded)
        if unicodedata.category(char) in ("Cn", "Co", "Cc", "Cs") and ord(char) < 0x20000:
            category = "Zs"
        selector = "︀" <= char <= "️" or 0xE0100 <= ord(char) <= 0xE01EF
        if selector or (category == "Cf" and ord(char) < 0x20000):
            continue
        single = any(low <= ord(folded) <= high for low, high in HANZI_AND_KIN)
        if single and (category[0] in "LNM" or ord(char) >= 0x20000):
            tokens += [run, folded]
            run = ""
        elif category[0] in "LNM" and ord(char) < 0x20000:
            run += folded
        else:
            tokens.append(run)
            run = ""
    return [token for token in [*tokens, run] if token]


def mix64(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def shingles_of(text: str, k: int) -> list[int]:
    """Shingle hashes by the formula of the module's docstring."""
    hashes = []
    for token in tokens_of(text):
        value = 1
        for char in token:
            value = (value * int(sketch.TOKEN_BASE) + ord(char)) & MASK
        hashes.append(mix64(value))
    groups = [hashes[i : i + k] for i in range(max(len(hashes) - k + 1, 1))] if hashes else []
    found = []
    for group in groups:
        total = 0
        for value in group:
            total = (total * int(sketch.SHINGLE_BASE) + value) & MASK
        found.append(mix64(total) >> 32)
    return found


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def shingles(text: str, k: int = 5) -> list[int]:
    hashes, bounds, _ = sketch.shingles(column(text), k=k)
    assert bounds.tolist() == [0, len(hashes)]
    found: list[int] = hashes.tolist()
    return found


chinese = st.text(
    st.sampled_from("研墨之前先磨一池水，。！？ abcZ09Ａ１①é々かカ한ﾊ\u200b\ufe0f\u0301𠀀😀\n")
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(chinese | st.text(), max_size=4), k=st.integers(1, 7))
@example(texts=["第3章 Hello, world！"], k=2)
@example(texts=["\U000e0100葛\U000e0100飾區\U0002f800"], k=2)
def test_shingles_are_those_of_the_definition(texts: list[str], k: int) -> None:
    hashes, bounds, tokens = sketch.shingles(column(*texts), k=k)
    found = [hashes[low:high].tolist() for low, high in pairwise(bounds.tolist())]
    assert found == [shingles_of(text, k) for text in texts]
    assert tokens.tolist() == [len(tokens_of(text)) for text in texts]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("研墨Ａｂ１", "研墨ab1"),  # width and case
        ("研，墨。", "研 墨"),  # punctuation and space only separate
        ("研\u200b墨", "研墨"),  # zero width
        ("葛\ufe00飾", "葛飾"),  # variation selector
        ("ｶﾅ", "カナ"),  # half-width kana
        ("e\u0301t", "e\u0301 T"[:2] + "t"),
        ("⼀二", "一二"),  # a radical is its hanzi
    ],
)
def test_what_does_not_change_a_shingle(one: str, other: str) -> None:
    assert shingles(one) == shingles(other) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [("第3章", "第4章"), ("iphone 15", "iphone15"), ("研墨", "墨研"), ("price 10", "price 01")],
)
def test_what_does_change_a_shingle(one: str, other: str) -> None:
    assert shingles(one) != shingles(other)


def test_counts_of_tokens_a_reader_can_check() -> None:
    texts = column("研墨", "Hello, World 2024!", "我有3个iPhone15。", "かな한글", "…！？ 😀", "")
    _, bounds, tokens = sketch.shingles(texts, k=5)
    assert tokens.tolist() == [2, 3, 5, 4, 0, 0]
    # Fewer than five tokens are one shingle; none is none.
    assert np.diff(bounds).tolist() == [1, 1, 1, 1, 0, 0]


def test_shingle_hashes_do_not_collide_more_than_chance() -> None:
    # 300 000 distinct runs of five: 10.5 of 4.5e10 pairs share one of 2^32 values by chance.
    text = " ".join(f"{i:x}" for i in range(300_004))
    hashes = shingles(text)
    assert len(hashes) == 300_000
    assert 0 < 300_000 - len(set(hashes)) < 30


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(chinese, min_size=1, max_size=4),
    count=st.sampled_from([1, 7, 112, 128]),
    seed=st.integers(0, 2**31 - 1),
)
def test_signatures_equal_datasketch_bit_for_bit(texts: list[str], count: int, seed: int) -> None:
    found, tokens = sketch.signatures(column(*texts), k=3, count=count, seed=seed)
    for row, text, n in zip(found, texts, tokens, strict=True):
        oracle = MinHash(num_perm=count, seed=seed, scheme="affine32", hashfunc=int)
        oracle.update_batch(shingles_of(text, 3))
        assert row.tolist() == oracle.hashvalues.tolist()
        assert n == len(tokens_of(text))


def test_long_documents_equal_datasketch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    texts = ["".join(map(chr, generator.integers(0x4E00, 0x9FA6, n))) for n in (5000, 3, 2052, 37)]
    found, _ = sketch.signatures(column(*texts), k=5, count=112, seed=1)
    for row, text in zip(found, texts, strict=True):
        oracle = MinHash(num_perm=112, seed=1, scheme="affine32", hashfunc=int)
        oracle.update_batch(shingles(text))
        assert row.tolist() == oracle.hashvalues.tolist()
        assert sketch.as_minhash(row, seed=1).jaccard(oracle) == 1.0
    monkeypatch.setattr(sketch, "_CHUNK_BYTES", 10)
    again, _ = sketch.signatures(column(*texts), k=5, count=112, seed=1)
    assert (again == found).all()


def test_slices_and_both_string_types_give_the_same() -> None:
    texts = ["前", "研墨之前先磨一池水", "", "the quick brown fox jumps"]
    whole, _ = sketch.signatures(column(*texts), k=5, count=16, seed=1)
    for kind in (pa.string(), pa.large_string()):
        part, _ = sketch.signatures(pa.array(texts, kind).slice(1, 2), k=5, count=16, seed=1)
        assert (part == whole[1:3]).all()
    none, tokens = sketch.signatures(column(), k=5, count=16, seed=1)
    assert none.shape == (0, 16)
    assert len(tokens) == 0


def test_bytes_that_are_not_utf8_are_not_read_past_their_end() -> None:
    data = b"\xe7\xa0" + "研墨".encode() + b"\xff\xf0\x9f\x98" + b"\xc3"
    offsets = np.array([0, 2, 8, 12, 13], np.int64)
    broken = pa.LargeStringArray.from_buffers(4, pa.py_buffer(offsets), pa.py_buffer(data))
    hashes, bounds, tokens = sketch.shingles(broken, k=5)
    assert tokens[1] == 2
    assert hashes[bounds[1] : bounds[2]].tolist() == shingles("研墨")
    assert tokens[[0, 2, 3]].tolist() == [0, 0, 0]


def test_estimates_are_as_good_as_the_theory_says() -> None:
    # Pairs of documents that share a known part of their shingles, 60 independent pairs each.
    generator = np.random.default_rng(11)
    for shared in (100, 300, 400):
        texts = []
        for _ in range(60):
            words = generator.integers(0, 1 << 62, 1004 - shared).tolist()
            head, a, b = words[: shared + 4], words[shared + 4 : 504], words[504:]
            texts += [" ".join(map(str, head + a)), " ".join(map(str, head + b))]
        values, _ = sketch.signatures(column(*texts), k=5, count=112, seed=1)
        hashes, bounds, _ = sketch.shingles(column(*texts), k=5)
        sets = [hashes[low:high] for low, high in pairwise(bounds.tolist())]
        exact = sketch.exact_jaccard(sets[0], sets[1])
        assert exact == pytest.approx(shared / (1000 - shared), abs=0.02)
        estimates = (values[0::2] == values[1::2]).mean(axis=1)
        error = (exact * (1 - exact) / 112 / 60) ** 0.5
        assert abs(estimates.mean() - exact) < 4 * error


def test_bands_agree_exactly_where_all_their_rows_do() -> None:
    values = np.random.default_rng(1).integers(0, 1 << 32, (3, 112), dtype=np.uint32)
    values[1] = values[0]
    values[1, 8] += 1  # one value of the second band
    hashes = sketch.band_hashes(values, bands=14)
    assert hashes.shape == (14, 3)
    assert (hashes[:, 0] == hashes[:, 1]).tolist() == [b != 1 for b in range(14)]
    assert not (hashes[:, 0] == hashes[:, 2]).any()


def test_exact_jaccard_of_sets() -> None:
    one, other = np.array([1, 1, 2, 3], np.uint32), np.array([2, 3, 4], np.uint32)
    assert sketch.exact_jaccard(one, other) == 0.5
    assert sketch.exact_jaccard(one[:0], other[:0]) == 0.0


def test_kept_tables_are_what_would_be_made() -> None:
    kept = sketch_tables.kept_characters()
    if kept is None:
        pytest.skip(f"they were made for another Unicode than {unicodedata.unidata_version}")
    assert (kept == sketch.fold_characters()).all()
    assert kept.dtype == np.uint32


def test_kept_permutations_are_those_of_datasketch() -> None:
    oracle = MinHash(num_perm=112, seed=1, scheme="affine32").permutations
    a, b = sketch.permutations(sketch_tables.COUNT, sketch_tables.SEED)
    assert np.array_equal([a, b], oracle)
    assert sketch_tables.kept_permutations(112, 2) is None
    assert sketch_tables.kept_permutations(64, 1) is None
    other = MinHash(num_perm=64, seed=2, scheme="affine32").permutations
    assert np.array_equal(sketch.permutations(64, 2), other)
