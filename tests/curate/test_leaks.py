"""Exam questions in documents: against the definition, in edited copies, where there are none."""

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.exam_items import Against, ExamItem, exam_files, read_items
from yanmo.curate.leak_index import build, load_index, sections
from yanmo.curate.leak_kernels import Index, cut, find, places
from yanmo.curate.sketch import character_table
from yanmo.curate.utf8 import text_buffer
from yanmo.documents import texts

from . import slow_leaks
from .peer_corpus import PROSE
from .test_sketch import tokens_of

QUESTION = "明朝初年率领船队多次远航西洋，最远到达非洲东岸的航海家是____"
OPTIONS = ("郑成功", "郑和", "戚继光", "林则徐")
ENGLISH = (
    "Which of the following rivers flows from south to north through eleven African countries?"
)


def exam_item(number: int, question: str, options: Sequence[str]) -> ExamItem:
    return ExamItem("quiz", "val", "history", str(number), question, tuple(options))


def index_of(items: Sequence[tuple[str, Sequence[str]]], n: int, *, most: int = 10) -> Index:
    rows = [exam_item(i, *item) for i, item in enumerate(items)]
    return build(rows, (n, n), max_questions=most)[0]


def look(
    documents: Sequence[str], index: Index, share: float
) -> tuple[list[tuple[int, slow_leaks.Place]], np.ndarray]:
    """Document and place, and how many documents hold each n-gram unexplained."""
    data, offsets = text_buffer(pa.array(documents, pa.large_string()))
    tokens, _, _, bounds = cut(data, offsets, character_table())
    counts = np.zeros((len(index.keys) + 1, 3), np.int64)
    hits, hit_bounds = find(tokens, bounds, index)
    rows, _ = places(tokens, bounds, hits, hit_bounds, index, share, counts)
    found = [
        (int(d), slow_leaks.Place(int(i), int(s - bounds[d]), int(e - bounds[d]), int(q), int(o)))
        for d, i, s, e, q, o, _, _ in rows
    ]
    return found, counts[:-1, 0]


# Few tokens, so that everything repeats: hanzi, runs, what parts them, what folds, what is skipped.
PIECES = ("甲", "乙", "丙", "A", "a1", " ", "，", "Ａ", "\n", "①", "\u200b")
WORDS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
ITEMS = st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3)), min_size=1, max_size=4)
TEXTS = st.lists(st.lists(st.one_of(WORDS, st.just("乙丙" * 30)), max_size=6).map(" ".join),
                 min_size=1, max_size=3)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(ITEMS, TEXTS, st.integers(5, 8), st.sampled_from([0.3, 0.5, 0.7, 1.0]), st.integers(1, 3),
       st.randoms(use_true_random=False))  # fmt: skip
def test_places_are_those_of_the_definition(
    items: list[tuple[str, list[str]]], documents: list[str], n: int, share: float, most: int,
    chance: random.Random,
) -> None:  # fmt: skip
    for question, options in items:  # most texts hold nothing: plant some
        planted = question + "".join(chance.sample(options, len(options)))
        documents = [d + " " + planted if chance.random() < 0.6 else d for d in documents]
    index = index_of(items, n, most=most)
    plain = [slow_leaks.item_of(question, options, n) for question, options in items]
    want, unexplained = [], {}
    for number, text in enumerate(documents):
        found, odd = slow_leaks.find(text, plain, max_questions=most, min_share=share)
        want += [(number, place) for place in found]
        for gram in odd:
            unexplained[gram] = unexplained.get(gram, 0) + 1
    got, counts = look(documents, index, share)
    assert sorted(got) == sorted(want)
    names = {gram for grams in slow_leaks.looked_up(plain, most) for *_, gram in grams}
    assert len(index.keys) == len(names)
    assert sorted(counts[counts > 0].tolist()) == sorted(unexplained.values())


@given(st.lists(st.text(max_size=40), max_size=5))
def test_tokens_and_their_places_are_those_of_the_signatures(documents: list[str]) -> None:
    data, offsets = text_buffer(pa.array(documents, pa.large_string()))
    _, starts, ends, bounds = cut(data, offsets, character_table())
    for number, text in enumerate(documents):
        rows = slice(bounds[number], bounds[number + 1])
        pieces = [
            data[s:e].tobytes().decode() for s, e in zip(starts[rows], ends[rows], strict=True)
        ]
        assert len(pieces) == len(tokens_of(text))
        assert [tokens_of(piece) for piece in pieces] == [[token] for token in tokens_of(text)]


def test_equal_hashes_are_not_enough() -> None:
    """A document whose key is in the table but whose tokens differ holds nothing."""
    index = index_of([(QUESTION, OPTIONS)], 13)
    lying = index._replace(tokens=index.tokens ^ np.uint64(1))
    assert look([QUESTION], index, 0.7)[0]
    assert look([QUESTION], lying, 0.7)[0] == []


def labelled(question: str, options: Sequence[str], label: str = "{}. {}") -> str:
    return "\n".join([question, *(label.format("ABCD"[i], o) for i, o in enumerate(options))])


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def spaced(text: str, gap: str) -> str:
    return re.sub(r"(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])", gap, text)


Edit = Callable[[str, Sequence[str], random.Random], str]
EDITS: dict[str, Edit] = {
    "verbatim": lambda q, o, _: labelled(q, o),
    "options in another order": lambda q, o, r: labelled(q, r.sample(list(o), len(o)), "（{}）{}"),
    "punctuation changed": lambda q, o, r: labelled(
        re.sub("[，。、；：？“”《》（）_]+", lambda _: r.choice([",", ".", "；", " ", "（ ）"]), q),
        o, "{}、{}"),
    "spaces between hanzi": lambda q, o, _: labelled(
        spaced(q, " "), [spaced(x, "\u3000") for x in o]),
    "full width": lambda q, o, _: labelled(full_width(q), [full_width(x) for x in o], "{}．{}"),
    "small letters": lambda q, o, _: labelled(q.lower(), [x.lower() for x in o]),
    "split over lines": lambda q, o, _: labelled(
        re.sub("(?<=[\u4e00-\u9fff]{7})(?=[\u4e00-\u9fff]{7})", "\n", q), o),
}  # fmt: skip
"""What leaves the tokens as they are: all must be found."""


@pytest.mark.parametrize("kind", EDITS)
def test_every_kind_of_copy_is_found_in_prose(kind: str) -> None:
    """Questions of our own, in Chinese and English, in the middle of a text."""
    asked = [(QUESTION, OPTIONS), (ENGLISH, ("Congo", "Nile", "Niger", "Zambezi"))]
    index = index_of(asked, 13)
    prose = "清晨的市场里，卖豆腐的老人把木盒打开。" * 5
    documents = [prose + EDITS[kind](q, o, random.Random(1)) + "\n" + prose for q, o in asked]
    found, _ = look([*documents, prose], index, 0.7)
    assert [(document, place.item) for document, place in found] == [(0, 0), (1, 1)]
    for _, place in found:
        size = sum(len(tokens_of(text)) for text in (asked[place.item][0], *asked[place.item][1]))
        assert place.question + place.options == size  # every token of question and options


def test_a_question_alone_is_told_from_one_with_its_options() -> None:
    index = index_of([(QUESTION, OPTIONS)], 13)
    ((_, alone),) = look([QUESTION + "他到过许多地方。"], index, 0.7)[0]
    assert (alone.question, alone.options) == (27, 0)
    ((_, far),) = look([QUESTION + "船" * 200 + "郑成功、郑和、戚继光、林则徐"], index, 0.7)[0]
    assert far.options == 0  # options stand where the question stands, or do not count


def test_a_long_question_may_have_gaps_of_its_own_length() -> None:
    """Its middle is told in other words; what is left on both sides is one place."""
    head, middle, tail = (PROSE[k : k + 40] for k in (0, 40, 80))
    index = index_of([(head + middle + tail, ())], 13)
    (found,) = look([head + "船" * 45 + tail], index, 0.6)[0]
    assert found[1].question == sum(len(tokens_of(text)) for text in (head, tail))


def test_short_questions_need_their_options() -> None:
    index = index_of([("最长的河是____", ("尼罗河", "长江", "黄河", "亚马孙河"))], 13)
    assert look(["世界上最长的河是尼罗河，长江和黄河在亚洲。"], index, 0.9)[0] == []
    assert look(["最长的河是 A．长江 B．尼罗河 C．亚马孙河 D．黄河"], index, 0.9)[0]


def test_forms_of_words_in_many_questions_prove_nothing() -> None:
    """An n-gram in more than ``max_questions`` questions does not count, nor its tokens."""
    form = "下列关于我国古代文学的各种说法当中正确的一项是"
    asked = [(f"{form}哪一个", [f"甲{i}说的话", f"乙{i}说的话"]) for i in range(4)]
    index = index_of([*asked, (QUESTION, OPTIONS)], 13, most=3)
    assert look([form + "哪一个"], index, 0.5)[0] == []
    assert [place.item for _, place in look([QUESTION], index, 0.5)[0]] == [4]


def test_index_goes_to_disk_and_back(tmp_path: Path) -> None:
    index = index_of([(QUESTION, OPTIONS), ("短", ())], 13)
    np.savez(tmp_path / "index.npz", **index._asdict())
    for one, other in zip(index, load_index(tmp_path / "index.npz"), strict=True):
        assert np.array_equal(one, other)
        assert one.dtype == other.dtype


def test_no_questions_and_no_documents() -> None:
    assert look([QUESTION], index_of([("", ()), ("？", ("。",))], 13), 0.7)[0] == []
    assert look([], index_of([(QUESTION, OPTIONS)], 13), 0.7)[0] == []


def test_language_of_a_question_is_that_of_most_of_its_tokens() -> None:
    rows = [exam_item(0, QUESTION, OPTIONS), exam_item(1, ENGLISH, ("Nile",)),
            exam_item(2, "下面的 DNA 序列", ())]  # fmt: skip
    assert sections(rows, (10, 13)).shortest.tolist() == [10, 13, 10]


@pytest.mark.realdata
@pytest.mark.parametrize("kind", EDITS)
def test_real_questions_are_found_in_real_documents(kind: str, realdata: Path) -> None:
    """All of C-Eval's val that are long enough, one in each document of a news programme."""
    spec = Against(str(realdata / "exams" / "ceval" / "ceval-exam.zip"))
    rows = [row for row in read_items(spec, [(f.name, f) for f in exam_files(spec)])
            if row.split == "val"]  # fmt: skip
    index, table, _ = build(rows, (13, 13), max_questions=10)
    judged = np.flatnonzero(table["judged"].to_numpy()).tolist()
    assert len(judged) >= 1330
    hosts = next(texts(realdata / "text" / "zh-bedtimenews.jsonl.zst")).to_pylist()
    chance = random.Random(7)
    documents = []
    for k, number in enumerate(judged):
        host = hosts[k % len(hosts)][:600]
        copy = EDITS[kind](rows[number].question, rows[number].options, chance)
        documents.append(f"{host[:300]}\n{copy}\n{host[300:]}")
    found, _ = look(documents, index, 0.7)
    mine = {document for document, place in found if place.item == judged[document]}
    missed = [rows[judged[d]].name for d in range(len(documents)) if d not in mine]
    assert missed == []
