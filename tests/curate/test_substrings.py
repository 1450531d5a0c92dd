"""Repeated stretches against brute force; in one shard and over pairs of shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate import span_cut, spans, substrings
from yanmo.curate.span_steps import shards

from .duplicate_parts import document_table, step, write_parts

BY_ID = {"keep": "source-priority", "source_priority": []}


def slow_marks(texts: list[bytes], least: int) -> list[list[bool]]:
    """Bytes in a stretch of ``least`` that stands in an earlier text, or earlier in this one."""
    marks = [[False] * len(t) for t in texts]
    for d, text in enumerate(texts):
        for at in range(len(text) - least + 1):
            piece = text[at : at + least]
            before = any(piece in other for other in texts[:d])
            if before or piece in text[:at]:
                marks[d][at : at + least] = [True] * least
    return marks


def joined(texts: list[bytes]) -> tuple[Any, Any]:
    return (np.frombuffer(b"".join(texts), np.uint8).copy(),
            np.cumsum([0, *map(len, texts)], dtype=np.int64))  # fmt: skip


FEW = st.lists(st.lists(st.sampled_from([b"a", b"b", b"ab", b"abc", "汉".encode()]), max_size=40)
               .map(b"".join), min_size=1, max_size=5)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(FEW, st.integers(2, 9))
@example([b"aaaaaaaaaaaa"], 3)
@example([b"abcabcabcabcabcabc", b"abcabcabc"], 5)
@example([b"xxabcdefghyy", b"abcdefgh", b"zzabcdefghyyq"], 4)
def test_exactly_the_bytes_of_brute_force(texts: list[bytes], least: int) -> None:
    text, bounds = joined(texts)
    starts, ends, sources = substrings.find_repeats(text, bounds, least, 1 << 20)
    found = np.zeros(len(text), bool)
    for start, end, source in zip(starts.tolist(), ends.tolist(), sources.tolist(), strict=True):
        assert end - start >= least
        assert source < start
        assert text[start:end].tobytes() == text[source : source + end - start].tobytes()
        found[start:end] = True
    assert found.tolist() == [mark for marks in slow_marks(texts, least) for mark in marks]


@settings(max_examples=100, deadline=None)
@given(FEW, st.integers(2, 9))
def test_few_tries_find_nothing_that_is_not_there(texts: list[bytes], least: int) -> None:
    text, bounds = joined(texts)
    starts, ends, sources = substrings.find_repeats(text, bounds, least, 1)
    for start, end, source in zip(starts.tolist(), ends.tolist(), sources.tolist(), strict=True):
        assert text[start:end].tobytes() == text[source : source + end - start].tobytes()


def found_in(work: Path, parts: list[Path], groups: list[list[int]], least: int) -> list[Path]:
    """The folders of `cut-spans`, with the repeats of some groups of parts."""
    members = [step(work / f"own-{n}", spans.owners_part, [part], {"keep": ""})[0]
               / "members.parquet" for n, part in enumerate(parts)]  # fmt: skip
    rank, _ = step(work / "rank", spans.rank_owners, members, BY_ID)
    ranks = [rank / f"rank-{n:05d}.npy" for n in range(len(parts))]
    files: list[list[Path]] = [[] for _ in parts]
    for k, group in enumerate(groups):
        inputs = [files_[n] for files_ in (parts, ranks, members) for n in group]
        made, _ = step(work / f"repeats-{k}", substrings.repeats_shard, inputs,
                       {"min_bytes": least})  # fmt: skip
        for place, n in enumerate(group):
            files[n].append(made / f"found-{place:05d}.parquet")
    return [step(work / f"cut-{n}", span_cut.cut_spans, [part, *files[n]],
                 {"kinds": [["substrings", "remove", len(files[n])]], "min_chars": None,
                  "keep_dropped": "text", "sample_fraction": 1.0})[0]
            for n, part in enumerate(parts)]  # fmt: skip


def some_texts(count: int) -> list[str]:
    """Texts with pieces of a pool in them, cut at any character."""
    random = np.random.default_rng(7)
    hanzi = "".join(chr(0x4E00 + c) for c in random.integers(0, 5000, 3000))
    texts = []
    for _ in range(count):
        pieces = []
        for _ in range(random.integers(1, 5)):
            at, length = random.integers(0, 2800), random.integers(5, 90)
            pieces.append(hanzi[at : at + length])
            pieces.append("".join(chr(0x61 + c) for c in random.integers(0, 26, 12)))
        texts.append("".join(pieces))
    return texts


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[0, 1], [0, 2], [1, 2]]])
def test_texts_without_their_repeats(tmp_path: Path, groups: list[list[int]]) -> None:
    texts = some_texts(24)
    # The order of the parts is not the keep order: ids run backwards.
    ids = [f"{len(texts) - n:04d}" for n in range(len(texts))]
    parts = write_parts(tmp_path / "in", [document_table(texts[n : n + 8], ids[n : n + 8])
                                          for n in (0, 8, 16)])  # fmt: skip
    folders = found_in(tmp_path, parts, groups, least=60)
    kept = {r["id"]: r["text"] for f in folders
            for r in pq.read_table(f / "kept.parquet").to_pylist()}  # fmt: skip
    order = sorted(range(len(texts)), key=lambda n: ids[n])
    marks = slow_marks([texts[n].encode() for n in order], 60)
    cut = 0
    for n, mark in zip(order, marks, strict=True):
        text, at, left = texts[n], 0, ""
        # A character stays if any stretch holds it in part only: its bytes are not all marked.
        for char in text:
            size = len(char.encode())
            left += "" if all(mark[at : at + size]) else char
            at += size
        assert kept.get(ids[n], "") == left
        cut += len(text) - len(left)
    assert cut > 100
    rows = [r for f in folders for r in pq.read_table(f / "lines.parquet").to_pylist()]
    by_id = dict(zip(ids, texts, strict=True))
    for row in rows:
        assert row["text"] == by_id[row["id"]][row["start"] : row["end"]]
        assert row["text"] in by_id[row["first_id"]]
        assert row["first_id"] <= row["id"]


def test_white_space_is_no_text(tmp_path: Path) -> None:
    padding = "| a |" + " " * 300 + "| b |"
    parts = write_parts(tmp_path / "in", [document_table([padding, padding + "末"], ["1", "2"])])
    folder = found_in(tmp_path, parts, [[0]], least=100)[0]
    assert pq.read_table(folder / "lines.parquet").num_rows == 0


def test_shards_are_runs_of_parts() -> None:
    assert shards([5, 5, 5, 20, 1, 1], 10) == [[0, 1], [2], [3], [4, 5]]
    assert shards([], 10) == []
