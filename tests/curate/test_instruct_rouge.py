"""ROUGE-L with hanzi as tokens: against plain programming, and the figures of real seeds."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate.instruct_rouge import Pool, tokens_of
from yanmo.messages import read_objects


def plain(first: list[str], second: list[str]) -> float:
    """The F measure by the table of the textbook."""
    if not first or not second:
        return 0.0
    row = [0] * (len(second) + 1)
    for token in first:
        last = 0
        for j, other in enumerate(second, 1):
            last, row[j] = row[j], last + 1 if token == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(first) + len(second))


def pool_of(texts: list[str]) -> Pool:
    pool = Pool()
    for text in texts:
        pool.add(text)
    return pool


FEW = st.text(st.sampled_from("一二三四AB "), max_size=30)
MANY = st.text(st.sampled_from("一二三四五六七八"), min_size=60, max_size=200)


@settings(deadline=None, max_examples=200)
@given(st.lists(FEW | MANY, max_size=8), FEW | MANY)
@example(["", "一二三"], "三二一")
@example(["一" * 64, "一" * 65, "一" * 128], "一" * 129)
def test_equals_the_plain_program(texts: list[str], query: str) -> None:
    values = [plain(tokens_of(query), tokens_of(text)) for text in texts]
    best = max(values, default=0.0)
    expected = (best, values.index(best) if best else -1)
    assert pool_of(texts).nearest(query) == expected


def test_pool_grows_while_it_is_asked() -> None:
    pool = Pool()
    assert pool.nearest("写一首诗") == (0.0, -1)
    for number in range(600):
        pool.add(f"第{number}个问题 {'x' * (number % 7)} 怎样解决")
    assert pool.nearest("第599个问题 xxxx 怎样解决") == (1.0, 599)
    assert pool.similarity("怎样解决", 0) == pytest.approx(2 * 4 / (4 + 9))


@pytest.mark.skipif(not importlib.util.find_spec("rouge_score"), reason="rouge_score is missing")
@settings(deadline=None, max_examples=50)
@given(*[st.text(st.sampled_from("ab C,. _-1\n"), max_size=40)] * 2)
def test_equals_rouge_score_on_english(first: str, second: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    expected = RougeScorer(["rougeL"]).score(first, second)["rougeL"].fmeasure
    assert pool_of([first]).nearest(second)[0] == pytest.approx(expected)


@pytest.mark.realdata
def test_distances_of_published_seeds(realdata: Path) -> None:
    """Each of BELLE's 175 seeds to its nearest other: the median, 90 % and the greatest."""
    path = realdata / "instruct" / "belle_zh_seed_tasks.jsonl.zst"
    texts = [record["instruction"] for _, record in read_objects(path)]
    assert len(texts) == 175
    found = []
    for tokenise in (list, tokens_of):  # punctuation is a character, but none of our tokens
        nearest = []
        for number, text in enumerate(texts):
            pool = Pool(tokenise)
            for other in texts[:number] + texts[number + 1 :]:
                pool.add(other)
            nearest.append(pool.nearest(text)[0])
        nearest.sort()
        found.append([round(v, 2) for v in (nearest[87], nearest[157], nearest[-1])])
    assert found == [[0.35, 0.5, 0.63], [0.32, 0.48, 0.62]]
