"""The labelled set for personal data: what the step must find, and what it must leave alone."""

import pytest

from yanmo.curate.pii import TYPES

from .pii_labelled import HALVES, Judged, Span, half, judge, misses, report, score


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return judge()


def test_both_halves_are_found_and_little_else(judged: list[Judged]) -> None:
    for name in HALVES:
        mine = [text for text in judged if half(text.id) == name]
        all_types = score(mine, list(TYPES))
        assert all_types.exact / all_types.labels > 0.95
        assert all_types.true / all_types.hits > 0.98
        others = [text for text in mine if not text.labels]
        assert len(others) > 200
        assert sum(bool(text.hits) for text in others) / len(others) < 0.01


@pytest.mark.parametrize(
    "kind", ["email", "landline", "id_card", "bank_card", "plate", "qq", "mobile"]
)
def test_by_type(judged: list[Judged], kind: str) -> None:
    one = score(judged, [kind])
    assert one.exact / one.labels > 0.93
    assert one.true / one.hits > 0.98


def test_scoring_counts_what_it_says() -> None:
    labels = [Span("qq", 0, 5), Span("mobile", 6, 17)]
    hits = [Span("qq", 0, 4), Span("wechat", 6, 17)]
    text = Judged("a", "chat", "12345 13800138000", labels, hits)
    assert score([text], ["qq"]) == (1, 1, 0, 1, 1)
    assert score([text], ["mobile"]) == (1, 0, 0, 0, 0)
    assert text.missed == [labels[1]]
    assert text.false == [hits[1]]
    assert "hit wechat '13800138000'" in misses([text])
    assert "| qq | 1 | 1 | 0.0 (0–79) | 100.0 (21–100) |" in report([text])
