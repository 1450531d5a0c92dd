"""Duplicate lines, paragraphs and sentences: against a slow version, and as tasks over parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate import span_cut, spans
from yanmo.curate.span_cut import cut
from yanmo.curate.span_options import FOLDS, KINDS, TOO_SHORT
from yanmo.curate.utf8 import decode, text_buffer

from . import slow_spans
from .duplicate_parts import POLICY, document_table, step, write_parts

PIECES = ["天下大势。", "分久必合！", "他说：“好。”", "……", "Mr. Li came.", "Go! ", "3.14",
          "e.g. it", "\n", "\n\n", " ", "\u3000", "？", "\u200b", "A.", "1. ", "ＡＢ", "𠀀", "的",
          "x", "end. Next ", "\n \t\n", "「嗯」", "...", "wait... what"]  # fmt: skip
UNITS = ["lines", "paragraphs", "sentences"]
TEXT = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text(max_size=30))


def unit_rows(texts: list[str], **parameters: Any) -> list[tuple[int, int, int, tuple[int, int]]]:
    column = pa.array(texts, pa.large_string())
    units, keys, _ = spans.find_units(*decode(*text_buffer(column)), parameters)
    return [(*row, tuple(key)) for row, key in zip(units.tolist(), keys.tolist(), strict=True)]


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), st.sampled_from(UNITS), st.sampled_from(FOLDS))
def test_units_are_those_of_the_slow_version(texts: list[str], kind: str, fold: str) -> None:
    found = unit_rows(texts, kind=kind, fold=fold, min_chars=0, window=2)
    wanted = [(row, *span, key) for row, text in enumerate(texts)
              for span, key in slow_spans.units(text, kind, fold, 2)]  # fmt: skip
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    # Equal hashes where, and only where, the folded texts are equal.
    assert len({row[3] for row in found}) == len({row[3] for row in wanted})
    assert len({(a[3], b[3]) for a, b in zip(found, wanted, strict=True)}) == len(
        {row[3] for row in wanted}
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("他说：“走吧。”我们就走了！真的？", ["他说：“走吧。”", "我们就走了！", "真的？"]),
        ("我……不知道。好", ["我……", "不知道。", "好"]),
        ("圆周率是3.14，版本v2.0.1。网址a.com/?q=1不断",
         ["圆周率是3.14，版本v2.0.1。", "网址a.com/?q=1不断"]),
        ("Dr. Wu lives in the U.S. today. He is 60.",
         ["Dr. Wu lives in the U.S. today.", "He is 60."]),
        ("J. K. Smith wrote it! \"Did he?\" Yes.", ["J. K. Smith wrote it!", '"Did he?"', "Yes."]),
        ("1. 打开文件。\n2. 关闭.然后保存", ["1. 打开文件。", "2. 关闭.", "然后保存"]),
        ("Wait... what? e.g. this etc. and so on.",
         ["Wait...", "what?", "e.g. this etc. and so on."]),
        ("。。。\n好。", ["好。"]),
        ("见Fig. 3。𠀀Mr. Li came.", ["见Fig. 3。", "𠀀Mr. Li came."]),
    ],
)  # fmt: skip
def test_sentences_by_hand(text: str, wanted: list[str]) -> None:
    rows = unit_rows([text], kind="sentences", fold="exact", min_chars=0, window=1)
    assert [text[a:b] for _, a, b, _ in rows] == wanted


@settings(max_examples=200, deadline=None)
@given(TEXT, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=4))
@example("a \n b\n\n  c", [(4, 1)])
def test_cut_is_the_slow_cut(text: str, places: list[tuple[int, int]]) -> None:
    chosen = [(a, min(a + n, len(text))) for a, n in places if a < len(text)]
    units = np.array([(1, a, b) for a, b in chosen], np.int64).reshape(-1, 3)
    column = pa.array(["前。", text, "後"], pa.large_string())
    done = cut(column.slice(0, 3), [(2, units)])
    got = done.text.to_pylist()
    assert got == ["前。", slow_spans.cut(text, chosen), "後"]
    assert done.n_chars.tolist() == [len(t) for t in got]
    assert done.taken[1].tolist() == [0, 0, len(text) - len(got[1]), 0]
    assert not done.taken[[0, 2]].any()


def run_tasks(work: Path, parts: list[Path], kinds: dict[str, dict[str, Any]], *, ranges: int = 1,
              policy: dict[str, Any] = POLICY, **options: Any) -> list[Path]:  # fmt: skip
    """All span tasks over parts; the folders of the last one."""
    members = [step(work / f"own-{n}", spans.owners_part, [part], {"keep": ""})[0] for n, part in
               enumerate(parts)]  # fmt: skip
    members = [folder / "members.parquet" for folder in members]
    rank, _ = step(work / "rank", spans.rank_owners, members, policy)
    ranks = [rank / f"rank-{n:05d}.npy" for n in range(len(parts))]
    found: dict[str, list[Path]] = {}
    for kind, wanted in kinds.items():
        unit = {"kind": kind, "fold": "folded", "min_chars": 1, "window": 3, **wanted}
        made = [step(work / f"u-{kind}-{n}", spans.units_part, [part], unit)[0] / "units.npy"
                for n, part in enumerate(parts)]  # fmt: skip
        inputs = [*made, *ranks, *members]
        known = {"min_documents": 1, "within": True, "keep_first": True, "ranges": ranges, **wanted}
        found[kind] = [step(work / f"e-{kind}-{n}", spans.equal_units, inputs,
                            {**known, "range": n})[0] for n in range(ranges)]  # fmt: skip
    parameters = {"kinds": [[k, wanted.get("action", "remove"), ranges]
                            for k, wanted in kinds.items()],
                  "min_chars": None, "keep_dropped": "text", "sample_fraction": 1.0,
                  **options}  # fmt: skip
    return [step(work / f"cut-{n}", span_cut.cut_spans,
                 [part, *(f / f"found-{n:05d}.parquet" for folders in found.values()
                          for f in folders)], parameters)[0]
            for n, part in enumerate(parts)]  # fmt: skip


def as_parts(folder: Path, texts: list[str], size: int = 2) -> list[Path]:
    """Parts of documents whose keep order (by id) is that of the list."""
    ids = [f"{n:04d}" for n in range(len(texts))]
    tables = [document_table(texts[n : n + size], ids[n : n + size])
              for n in range(0, len(texts), size)]  # fmt: skip
    return write_parts(folder, tables)


SENTENCE = st.sampled_from(
    ["天下大势。", "分久必合。", "合久必分。", "Ａbc。", "abc。", "\n", "\n\n"]
)
DOCUMENTS = st.lists(st.lists(SENTENCE, max_size=9).map("".join), min_size=1, max_size=5)
BY_ID = {"keep": "source-priority", "source_priority": []}


@pytest.mark.parametrize("kind", UNITS)
@settings(max_examples=15, deadline=None)
@given(texts=DOCUMENTS, within=st.booleans(), documents=st.integers(1, 3))
@example(texts=["天下大势。" * 7], within=True, documents=1)
def test_tasks_find_what_the_slow_version_finds(
    tmp_path_factory: pytest.TempPathFactory, kind: str, texts: list[str], within: bool,
    documents: int,
) -> None:  # fmt: skip
    work = tmp_path_factory.mktemp("spans")
    wanted = {"min_documents": documents, "within": within, "min_chars": 3}
    folders = run_tasks(work, as_parts(work / "in", texts), {kind: wanted}, ranges=2, policy=BY_ID)
    rows = [r for f in folders for r in pq.read_table(f / "lines.parquet").to_pylist()]
    found = {(int(r["id"]), r["start"], r["end"], int(r["first_id"])) for r in rows}
    slow = slow_spans.duplicates(texts, kind, "folded", least=3, documents=documents, within=within)
    assert found == slow
    assert all(r["text"] == texts[int(r["id"])][r["start"] : r["end"]] for r in rows)
    kept = {int(r["id"]): r["text"] for f in folders
            for r in pq.read_table(f / "kept.parquet").to_pylist()}  # fmt: skip
    for number, text in enumerate(texts):
        cuts = [(a, b) for n, a, b, _ in slow if n == number]
        left = slow_spans.cut(text, cuts) if cuts else text
        assert kept.get(number, "") == left or (not cuts and kept[number] == text)
    # Whatever was cut out still stands somewhere.
    left_over = {slow_spans.fold(t[a:b], "folded") for t in kept.values()
                 for a, b in slow_spans.CUTTERS["sentences"](t)}  # fmt: skip
    gone = {slow_spans.fold(texts[n][a:b], "folded") for n, start, end, _ in slow
            for a, b in slow_spans.CUTTERS["sentences"](texts[n])
            if a >= start and b <= end}  # fmt: skip
    assert gone <= left_over


def test_too_little_left_is_a_rule_of_the_funnel(tmp_path: Path) -> None:
    common = "这一行在好几个文件里都有，一字不差。"
    texts = [common + "\n甲有自己的一大段话，够长了。", common + "\n乙短。", common]
    parts = as_parts(tmp_path / "in", texts)
    kinds = {"lines": {"min_documents": 2, "within": False}}
    folders = run_tasks(tmp_path, parts, kinds, min_chars=5, policy=BY_ID)
    gone = [r for f in folders for r in pq.read_table(f / "dropped.parquet").to_pylist()]
    assert [(r["id"], r["rule"], r["value"], r["threshold"]) for r in gone] == [
        ("0001", TOO_SHORT, 3.0, 5.0), ("0002", TOO_SHORT, 0.0, 5.0)]  # fmt: skip
    assert [r["text"] for r in gone] == texts[1:]  # whole, as it was before


def test_report_cuts_nothing_and_lists_all(tmp_path: Path) -> None:
    texts = ["同样的一行文字，三处都有。\n甲。", "同样的一行文字，三处都有。\n乙。"]
    kinds = {"lines": {"action": "report", "min_documents": 2, "within": False}}
    folder = run_tasks(tmp_path, as_parts(tmp_path / "in", texts), kinds, policy=BY_ID)[0]
    assert sorted(p.name for p in folder.iterdir()) == ["lines.parquet"]
    rows = pq.read_table(folder / "lines.parquet").to_pylist()
    assert [(r["id"], r["first_id"], r["documents"], r["text"]) for r in rows] == [
        ("0001", "0000", 2, "同样的一行文字，三处都有。")]  # fmt: skip


def test_first_is_by_the_keep_order_and_ranges_change_nothing(tmp_path: Path) -> None:
    line = "这一行两篇都有，该留在较长的一篇里。"
    texts = [line + "\n短。", line + "\n这一篇长得多，所以留下它的那一行，而不是别人的。"]
    parts = as_parts(tmp_path / "in", texts, size=1)
    kinds = {"lines": {"min_documents": 2, "within": False}}
    one = run_tasks(tmp_path / "a", parts, kinds)
    many = run_tasks(tmp_path / "b", parts, kinds, ranges=8)
    for first, second in zip(one, many, strict=True):
        for name in ("kept.parquet", "lines.parquet", "dropped.parquet"):
            assert (first / name).read_bytes() == (second / name).read_bytes()
    rows = pq.read_table(one[0] / "lines.parquet").to_pylist()
    assert [(r["id"], r["first_id"]) for r in rows] == [("0000", "0001")]
    assert pq.read_table(one[1] / "lines.parquet").num_rows == 0


def test_the_ledger_names_the_kinds() -> None:
    assert len(KINDS) == cut(pa.array(["a"], pa.large_string()), []).taken.shape[1]
