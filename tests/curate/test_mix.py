"""Mixtures: shares as the papers define them, whole tokens that add up, and what is refused."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from yanmo.curate.buckets import make_buckets, token_quantiles
from yanmo.curate.mixture import (
    MixSettings,
    allocate,
    entry_shares,
    holdings,
    make_plan,
    solve,
    unimax,
    upsampling,
    warnings,
)
from yanmo.curate.mixture import given as given_shares
from yanmo.curate.pack import pack_folder
from yanmo.curate.pack_options import PackSettings
from yanmo.curate.packing_report import compare
from yanmo.errors import DataError, RecipeError
from yanmo.mixture import read_plan, reading, write_plan
from yanmo.shards import Shards, open_shards

from ..command import command  # noqa: TID252  # shared by all folders of tests
from .duplicate_parts import document_table, write_parts
from .test_pack import make_tokenizer

sizes_ = st.lists(st.integers(1, 5000), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.integers(0, 1000), min_size=1, max_size=8), budget=st.integers(1, 10**12))
def test_tokens_are_whole_add_up_and_miss_their_share_by_less_than_one(
    parts: list[int], budget: int
) -> None:
    assume(sum(parts))
    shares = [Fraction(part, sum(parts)) for part in parts]
    tokens = allocate(shares, budget)
    assert sum(tokens) == budget
    for share, count in zip(shares, tokens, strict=True):
        assert abs(count - share * budget) < 1
    # Largest remainder: nobody who was rounded down had more left over than one rounded up.
    over = [share * budget - int(share * budget) for share in shares]
    up = [o for o, s, t in zip(over, shares, tokens, strict=True) if t > int(s * budget)]
    down = [o for o, s, t in zip(over, shares, tokens, strict=True) if t == int(s * budget)]
    assert not up or not down or min(up) >= max(down)


@settings(max_examples=100, deadline=None)
@given(sizes=sizes_, data=st.data())
def test_solve_is_the_largest_budget_by_trying_all(sizes: list[int], data: st.DataObject) -> None:
    small = [size % 50 + 1 for size in sizes]
    parts = data.draw(st.lists(st.integers(1, 9), min_size=len(small), max_size=len(small)))
    epochs = data.draw(st.sampled_from([Fraction(1), Fraction(5, 2), Fraction(4)]))
    shares = [Fraction(part, sum(parts)) for part in parts]
    caps = [int(size * epochs) for size in small]
    found = solve(small, shares, epochs)
    fits = [b for b in range(sum(caps) + 2)
            if all(s * b <= c for s, c in zip(shares, caps, strict=True))]  # fmt: skip
    assert found == fits[-1]
    assert all(t <= c for t, c in zip(allocate(shares, found), caps, strict=True))


@settings(max_examples=100, deadline=None)
@given(sizes=sizes_, data=st.data())
def test_unimax_pours_evenly_until_a_source_is_full(sizes: list[int], data: st.DataObject) -> None:
    """The oracle fills all sources at the same rate, as water in vessels."""
    epochs = data.draw(st.integers(1, 5))
    budget = data.draw(st.integers(1, sum(sizes) * epochs))
    names = {f"s{n}": size for n, size in enumerate(sizes)}
    level = {name: Fraction(0) for name in names}
    left = Fraction(budget)
    while left:
        open_ = [n for n in names if level[n] < names[n] * epochs]
        step = min(left / len(open_), *(names[n] * epochs - level[n] for n in open_))
        for name in open_:
            level[name] += step
        left -= step * len(open_)
    shares = unimax(names, budget, Fraction(epochs))
    assert {n: share * budget for n, share in shares.items()} == level


def test_unimax_says_when_the_budget_cannot_be_spent() -> None:
    with pytest.raises(RecipeError, match=r"4 epochs of everything are 40 tokens, got 41.*--solve"):
        unimax({"a": 4, "b": 6}, 41, Fraction(4))


SIZES = {"zh-a": 300, "zh-b": 100, "en-a": 600}


def test_weights_are_taken_as_written_and_patterns_are_shared_by_tokens() -> None:
    found = given_shares(SIZES, {"en-a": 0.6, "zh-*": 0.4}, rescale=False)
    assert found == {"en-a": Fraction(3, 5), "zh-a": Fraction(3, 10), "zh-b": Fraction(1, 10)}
    found = given_shares(SIZES, {"zh-a": 0.5, "*": 0.5}, rescale=False)
    assert found == {"zh-a": Fraction(1, 2), "en-a": Fraction(3, 7), "zh-b": Fraction(1, 14)}
    # GPT-3's own weights add up to 101 %.
    found = given_shares(SIZES, {"zh-a": 60, "zh-b": 22, "en-a": 19}, rescale=True)
    assert found["zh-a"] == Fraction(60, 101)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"zh-a": 0.5, "en-a": 0.5}, r"sources without a weight, got \['zh-b'\]"),
        ({"zh-*": 0.5, "en-a": 0.4}, r"do not add up to 1, got 0\.9.*--rescale"),
        ({"zh-x": 0.5, "*": 0.5}, r"no such source.*'zh-x'.*Did you mean 'zh-"),
        ({"*": -1}, "negative"),
        ({"*": 0}, "all weights are zero"),
        ({}, "needs weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        given_shares(SIZES, weights, rescale=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of 40, 15 and 5 documents; a scored table beside them."""
    base = tmp_path_factory.mktemp("mix")
    texts = [f"文{n}" + "字" * (n * 7 % 40) for n in range(60)]
    sources = ["网页"] * 40 + ["book s/x"] * 15 + ["wiki"] * 5
    ids = [f"d{n:02d}" for n in range(60)]
    licences = ["CC0" if s == "wiki" else None for s in sources]
    table = document_table(texts, ids, source=sources, licence=licences)
    write_parts(base / "docs", [table[:25], table[25:]])
    pack_folder(base / "docs", tokenizer=make_tokenizer(base / "t"), out=base / "s",
                settings=PackSettings(holdout_fraction=0.0), quiet=True)  # fmt: skip
    scores = pa.table({"id": ids[:58], "score": [float(n * 37 % 100) for n in range(58)],
                       "name": ["x"] * 58})  # fmt: skip
    pq.write_table(scores, base / "scores.parquet")
    return base


@pytest.fixture(scope="module")
def shards(folder: Path) -> Shards:
    return open_shards(folder / "s")


def test_policies(shards: Shards) -> None:
    held = {h.name: h.tokens for h in holdings(shards, None)}
    total = sum(held.values())
    assert total == shards.tokens
    natural = make_plan(shards, MixSettings())
    assert {e.name: e.budget for e in natural.entries} == held
    assert (natural.budget, {e.epochs for e in natural.entries}) == (total, {1.0})
    warm = make_plan(shards, MixSettings(policy="temperature", alpha=0.5, budget=10_000))
    roots = {name: size**0.5 for name, size in held.items()}
    for entry in warm.entries:
        assert entry.budget == pytest.approx(
            10_000 * roots[entry.name] / sum(roots.values()), abs=1
        )
    flat = make_plan(shards, MixSettings(policy="temperature", alpha=0.0, budget=999))
    assert {e.budget for e in flat.entries} == {333}
    capped = make_plan(shards, MixSettings(policy="unimax", max_epochs=2.0, solve=True))
    assert {e.epochs for e in capped.entries} == {2.0}
    assert capped.budget == 2 * total
    wiki = next(e for e in natural.entries if e.name == "wiki")
    assert (wiki.licence, natural.entries[-1].licence) == ("CC0", None)


def test_solve_stops_at_the_source_that_binds(shards: Shards) -> None:
    weights = {"wiki": 0.5, "*": 0.5}
    plan = make_plan(shards, MixSettings(policy="weights", weights=weights, solve=True))
    epochs = {e.name: e.epochs for e in plan.entries}
    assert epochs["wiki"] == pytest.approx(4.0, abs=0.01)
    assert max(epochs.values()) <= 4.0
    with pytest.raises(RecipeError, match="exclude each other"):
        make_plan(shards, MixSettings(solve=True, budget=7))


def test_repeats_beyond_four_epochs_are_warned_of(shards: Shards) -> None:
    weights = {"wiki": 1.0, "*": 0.0}
    plan = make_plan(shards, MixSettings(policy="weights", weights=weights, budget=10_000))
    often, none = warnings(plan)
    assert "Muennighoff" in often
    assert f"wiki {10_000 / plan.entries[1].tokens:.1f}" in often
    assert none == "Not read at all: book s/x, 网页."
    assert warnings(make_plan(shards, MixSettings())) == []


def test_buckets_split_each_source_by_score_and_tokens(folder: Path, shards: Shards) -> None:
    buckets = make_buckets(shards, folder / "scores.parquet", "score", 3)
    scores = {
        row["id"]: row["score"] for row in pq.read_table(folder / "scores.parquet").to_pylist()
    }
    docs = pa.concat_tables([pq.read_table(p.docs) for p in shards.parts]).to_pylist()
    lengths = np.diff(shards.document_ends, prepend=0)
    for source in ("网页", "book s/x", "wiki"):
        rows = zip(docs, buckets.numbers, lengths, strict=True)
        mine = [(scores.get(d["id"]), int(b), int(n)) for d, b, n in rows if d["source"] == source]
        for score, bucket, _ in mine:
            assert (score is None) == (bucket == 0)
        known = sorted((s, b) for s, b, _ in mine if s is not None)
        assert [b for _, b in known] == sorted(b for _, b in known)  # better score, better bucket
        tokens = [sum(n for _, b, n in mine if b == k) for k in (1, 2, 3)]
        longest = max(n for _, _, n in mine)
        assert max(tokens) - min(tokens) <= 2 * longest
    wanted = MixSettings(upsample={"q3": 2.0, "wiki/q1": 0.0}, budget=30_000)
    plan = make_plan(shards, wanted, buckets)
    rows = {e.name: e for e in plan.entries}
    assert rows["网页/q3"].epochs / rows["网页/q1"].epochs == pytest.approx(2, rel=0.01)
    assert (rows["wiki/q1"].budget, rows["wiki/unscored"].budget > 0) == (0, True)
    held = {h.source: 0 for h in holdings(shards, None)}
    for entry in plan.entries:
        held[entry.source] += entry.budget
    natural = make_plan(shards, MixSettings(budget=30_000))
    for entry in natural.entries:  # the factors move tokens within a source, not between sources
        assert held[entry.source] == pytest.approx(entry.budget, abs=2)


def test_a_plan_with_buckets_is_written_read_and_followed(
    folder: Path, shards: Shards, tmp_path: Path
) -> None:
    buckets = make_buckets(shards, folder / "scores.parquet", "score", 4)
    plan = make_plan(shards, MixSettings(upsample={"q4": 3.0}, budget=5000, seed=9), buckets)
    write_plan(tmp_path / "plan", plan)
    again = read_plan(tmp_path / "plan")
    assert (again.sha256, again.entries) == (plan.sha256, plan.entries)
    read = reading(again, shards)
    owners = read.strata[np.searchsorted(shards.document_ends, read.begins, side="right")]
    tokens = np.bincount(owners, read.ends - read.begins, len(read.names)).astype(int)
    assert dict(zip(read.names, tokens.tolist(), strict=True)) == {
        e.name: e.budget for e in plan.entries
    }
    (tmp_path / "plan" / "plan.buckets.parquet").unlink()
    with pytest.raises(DataError, match="buckets are missing"):
        read_plan(tmp_path / "plan")


def test_equal_scores_share_a_bucket() -> None:
    lengths = np.array([5, 5, 5, 5])
    assert token_quantiles(np.array([1.0, 1.0, 1.0, 2.0]), lengths, 2).tolist() == [1.0]
    assert token_quantiles(np.array([4.0, 3.0, 2.0, 1.0]), lengths, 4).tolist() == [1.0, 2.0, 3.0]


def test_factors_that_do_not_fit_are_refused(folder: Path, shards: Shards) -> None:
    buckets = make_buckets(shards, folder / "scores.parquet", "score", 3)
    held = holdings(shards, buckets)
    with pytest.raises(RecipeError, match=r"no such bucket.*'q9'.*Known: q1, q2, q3"):
        upsampling(held, {"q9": 2.0})
    with pytest.raises(RecipeError, match=r"no such bucket.*'wki/q1'.*Did you mean 'wiki/q1'"):
        upsampling(held, {"wki/q1": 2.0})
    with pytest.raises(RecipeError, match="nothing is split"):
        upsampling(holdings(shards, None), {"q1": 2.0})
    shares = {h.source: Fraction(1, 3) for h in held}
    with pytest.raises(RecipeError, match="leave nothing of a source"):
        entry_shares(held, shares, [Fraction(0)] * len(held))


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20), room=st.integers(2, 16))
def test_the_packing_report_counts_as_cutting_by_hand_does(sizes: list[int], room: int) -> None:
    ends = np.cumsum(sizes)
    found = compare(ends - np.array(sizes), ends, room, key=1)
    owners = [n for n, size in enumerate(sizes) for _ in range(size)]
    rows = [owners[at : at + room] for at in range(0, len(owners), room)]
    pieces = sum(len(set(row)) for row in rows)
    short = {n for n in range(len(sizes)) if sizes[n] <= room and sum(n in row for row in rows) > 1}
    assert found["concatenation"]["sequences"] == len(rows)
    assert found["concatenation"]["cuts"] == pieces - len(sizes)
    assert found["concatenation"]["short_documents_cut"] == len(short)
    assert found["best_fit"]["cuts"] == sum((size - 1) // room for size in sizes)
    used = found["best_fit"]["utilisation"] * found["best_fit"]["sequences"] * room
    assert used == pytest.approx(sum(sizes))


def test_the_command_prints_and_writes_the_table(folder: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    ended = command("curate", "mix", folder / "s", "--weight", "wiki=0.5", "--weight", "*=0.5",
                    "--budget", "20k", "--out", plan, "--sequence-tokens", "64")  # fmt: skip
    assert ended.code == 0, ended.err
    head = ended.out.splitlines()[0].split()
    assert head == ["source", "licence", "documents", "tokens", "chars/token", "weight", "budget",
                    "epochs", "repeated"]  # fmt: skip
    assert "! Read more than 4 times" in ended.out
    assert "best fit" in ended.out
    table = json.loads(plan.read_text())
    assert (table["budget"], sum(row["budget"] for row in table["sources"])) == (20_000, 20_000)
    assert len(table["shards"]["manifest_sha256"]) == 64
    ended = command("curate", "mix", folder / "s", "--json", "--scores", folder / "scores.parquet",
                    "--score", "score", "--buckets", "2", "--upsample", "q2=2")  # fmt: skip
    assert [row["bucket"] for row in ended.json()["sources"]][:2] == ["q1", "q2"]
    recipe = tmp_path / "mix.toml"
    recipe.write_text('policy = "weights"\n[weights]\nwiki = 0.4\n"*" = 0.6\n')
    found = command("curate", "mix", folder / "s", "--recipe", recipe, "--json").json()
    assert found["policy"]["weights"] == {"wiki": 0.4, "*": 0.6}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "0"], "at least one token"),
        (["--budget", "many"], "no number of tokens"),
        (["--weight", "wikki=1", "--weight", "*=0"], "Did you mean 'wiki'?"),
        (["--weight", "wiki=0.5", "--weight", "*=0.4"], "do not add up to 1, got 0.9"),
        (["--weight", "wiki"], "is not NAME=NUMBER"),
        (["--weight", "wiki=1", "--weight", "wiki=0"], "comes twice"),
        (["--weight", "wiki=1", "--policy", "unimax"], "exclude each other"),
        (["--policy", "unimx"], "unimx"),
        (["--buckets", "4"], "buckets need a table"),
        (["--upsample", "q4=2"], "nothing is split into buckets"),
        (["--policy", "unimax", "--budget", "1b"], "epochs of everything are"),
        (["--set", "alhpa=1"], "Did you mean 'alpha'?"),
        (["--alpha", "7"], "must lie in"),
        (["--solve", "--max-epochs", "0"], "leaves no budget"),
    ],
)
def test_what_cannot_be_mixed_is_refused(folder: Path, arguments: list[str], words: str) -> None:
    ended = command("curate", "mix", folder / "s", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("column", "count", "code", "words"),
    [("scroe", 2, 2, "Did you mean 'score'?"), ("name", 2, 1, "the scores are no numbers")],
)
def test_scores_that_do_not_fit_are_refused(
    folder: Path, column: str, count: int, code: int, words: str
) -> None:
    ended = command("curate", "mix", folder / "s", "--scores", folder / "scores.parquet",
                    "--score", column, "--buckets", count)  # fmt: skip
    assert (ended.code, words in ended.err) == (code, True), ended.err


def test_a_plan_that_was_edited_or_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    command("curate", "mix", folder / "s", "--out", plan)
    table = json.loads(plan.read_text())
    table["sources"][0]["budget"] += 1
    plan.write_text(json.dumps(table))
    with pytest.raises(DataError, match="do not add up"):
        read_plan(plan)
    plan.write_text("{}")
    with pytest.raises(DataError, match="not a mixture plan"):
        read_plan(plan)
