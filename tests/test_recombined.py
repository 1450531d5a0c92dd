"""Recombined texts of the benchmarks: passages of one source, lengths as those of its texts."""

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recombined import MIN_CHARS, passages, recombine

TEXT = st.lists(st.sampled_from(["ab", "rain " * 60, "\n", "\n\n", "海"]), max_size=30).map("".join)


@given(TEXT)
def test_passages_lose_nothing_but_blank_ends(text: str) -> None:
    found = passages(text)
    assert "".join(found).split() == text.split()
    assert all(len(passage) >= MIN_CHARS for passage in found[:-1])


def source(letter: str, *, seed: int) -> list[str]:
    rng = random.Random(seed)
    words = (f"{letter}{number}" for number in range(10**9))
    return [
        "\n\n".join(" ".join(next(words) for _ in range(60)) for _ in range(rng.randint(2, 30)))
        for _ in range(40)
    ]


def test_new_documents_are_of_one_source_and_as_long_as_its_texts() -> None:
    sources = [source("a", seed=1), source("b", seed=2)]
    made = list(recombine(sources, megabytes=1.0))
    assert made == list(recombine(sources, megabytes=1.0))
    assert 1e6 <= sum(len(text.encode()) for text in made) < 1.1e6
    assert len(set(made)) == len(made)
    for text in made:
        words = text.split()
        assert len({word[0] for word in words}) == 1
        # Only where a deck ends in a document may a passage stand in it twice.
        assert len(words) - len(set(words)) <= len(words) / 2
    lengths, real = ([len(t) for t in texts] for texts in (made, sources[0] + sources[1]))
    assert median(lengths) == pytest.approx(median(real), rel=0.2)
