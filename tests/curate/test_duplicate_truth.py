"""Near duplicates against truth on real texts: recall follows the curve, the removed resemble."""

from pathlib import Path

import pytest

from .duplicate_seeds import seed_bins
from .duplicate_truth import Run, Truth, collections, mostly_hanzi, recall_bins, run, unlike

Found = tuple[Truth, Run]

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


@pytest.fixture(scope="module")
def found(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """The collections, and what the steps make of them."""
    made = collections(realdata)
    return {name: (truth, run(truth, tmp_path_factory.mktemp(name)))
            for name, truth in made.items()}  # fmt: skip


@pytest.mark.parametrize("name", ["versions", "edited"])
@pytest.mark.parametrize("by", ["token5", "char5"])
def test_candidates_follow_the_curve_in_every_bin(
    found: dict[str, Found], name: str, by: str
) -> None:
    # Bands see tokens: also in bins of the published similarity the pairs are found as often as
    # that of their tokens says. Where texts are hanzi the two are nearly one (next test).
    truth, result = found[name]
    # 99.9 %: twenty bins, and the versions of a page are not independent of each other.
    bins = recall_bins(truth, result, by=by, confidence=0.999)
    assert sum(b.pairs for b in bins) > 2500
    assert [b for b in bins if not b.follows] == []
    at95 = recall_bins(truth, result, by=by)
    assert sum(not b.follows for b in at95) <= 3  # of about 20, one is expected


def test_of_hanzi_the_curve_holds_for_characters_too(found: dict[str, Found]) -> None:
    truth, result = found["edited"]
    bins = recall_bins(truth, result, by="char5", inside=mostly_hanzi(truth), confidence=0.999)
    assert sum(b.pairs for b in bins if 0.5 <= b.low < 0.9) > 150
    for b in bins:
        assert b.interval[0] <= b.by_measure <= b.interval[1], b


@pytest.mark.parametrize("name", ["versions", "edited"])
def test_shingles_of_characters_follow_the_curve_of_characters(
    found: dict[str, Found], name: str, tmp_path: Path
) -> None:
    truth, _ = found[name]
    result = run(truth, tmp_path, shingle="characters")
    bins = recall_bins(truth, result, by="char5", of="char5")
    assert sum(b.pairs for b in bins) > 2500
    assert sum(not b.follows for b in bins) <= 3  # of about 20; versions of a page hang together
    bad, n, _ = unlike(truth, result)
    assert bad <= 0.02 * n


@pytest.mark.parametrize("shingle", ["tokens", "characters"])
def test_recall_over_many_seeds_holds_the_curve_in_its_interval(
    found: dict[str, Found], shingle: str
) -> None:
    # One seed gives correlated pairs; the mean over seeds shows a bias if there is one.
    bins = [b for b in seed_bins(found["versions"][0], shingle=shingle) if b.telling]
    assert len(bins) >= 11
    assert sum(not b.follows for b in bins) <= 1
    for b in bins:
        assert b.recall == pytest.approx(b.expected, abs=0.03)


def test_what_is_removed_resembles_what_stays(found: dict[str, Found]) -> None:
    least = {"versions": 1000, "short": 500, "edited": 1500}
    for name, (truth, result) in found.items():
        bad, n, _ = unlike(truth, result)
        assert n > least[name]
        assert bad <= 0.02 * n, name
    # Documents of 20 to 200 characters are known whole, so none lies below.
    assert unlike(*found["short"])[0] == 0
    assert all(20 <= len(text) <= 200 for text in found["short"][0].texts)


def test_of_two_candidates_that_resemble_each_other_one_is_removed(found: dict[str, Found]) -> None:
    for name in ("versions", "edited"):
        truth, result = found[name]
        sure = result.candidate & (truth.char5 >= 0.8)  # beyond the deviation of a long sketch
        assert sure.sum() > 1000
        assert result.resolved[sure].mean() > 0.995
        # Copies that bands do not propose and that have no third one stay.
    truth, result = found["versions"]
    assert result.resolved[truth.char5 >= 0.9].mean() > 0.995
