"""Exact duplicates against a dictionary of texts."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.exact import exact_part
from yanmo.errors import DataError

from .duplicate_parts import document_table, find_exact, write_parts, write_signals


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_groups_are_those_of_a_dictionary(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    texts = data.draw(st.lists(st.sampled_from(["", "墨", "墨 ", "研墨", "MO", "mo"]), max_size=20))
    alive = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    ids = data.draw(st.permutations([f"d{n:02d}" for n in range(len(texts))]))
    cut = data.draw(st.integers(0, len(texts)))
    folder = tmp_path_factory.mktemp("exact")
    halves = (slice(0, cut), slice(cut, None))
    parts = write_parts(folder / "in", [document_table(texts[h], ids[h]) for h in halves])
    masks = []
    for number, half in enumerate(halves):
        masks.append(folder / f"mask-{number}.npy")
        np.save(masks[-1], np.array(alive[half], np.bool_))
    rows, made = find_exact(folder / "work", parts, alive=masks)
    expected = {}
    left = list(alive)
    for text in set(texts):
        same = [n for n, t in enumerate(texts) if t == text and alive[n]]
        if len(same) < 2:
            continue
        first = min(ids[n] for n in same)  # equal lengths: the smallest id stays
        for n in same:
            how = "kept" if ids[n] == first else "exact"
            expected[ids[n]] = (first, first, how, 1.0)
            left[n] = how == "kept"
    assert {r["id"]: (r["cluster"], r["kept_id"], r["how"], r["jaccard"]) for r in rows} == expected
    for number, half in enumerate(halves):
        assert np.load(made / f"alive-{number:05d}.npy").tolist() == left[half]


def test_the_policy_decides_what_stays(tmp_path: Path) -> None:
    table = document_table(
        ["同"] * 3, ["a", "b", "c"], source=["x", "y", "z"],
        timestamp=["2021-01-01", None, "2020-01-01"],
    )  # fmt: skip
    parts = write_parts(tmp_path / "in", [table])
    kept = {}
    for keep, priority in (("longest", []), ("earliest", []), ("source-priority", ["y", "x"])):
        policy = {"keep": keep, "source_priority": priority}
        rows, _ = find_exact(tmp_path / keep, parts, policy=policy)
        kept[keep] = {r["kept_id"] for r in rows}
    assert kept == {"longest": {"a"}, "earliest": {"c"}, "source-priority": {"b"}}


def test_files_that_do_not_line_up_are_refused(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, [document_table(["一", "二"], ["a", "b"])])
    other = write_parts(tmp_path / "other", [document_table(["一", "二"], ["b", "a"])])
    (signals,) = write_signals(tmp_path, parts)
    (wrong,) = write_signals(tmp_path / "other", other)
    with pytest.raises(DataError, match="signals and documents do not line up"):
        exact_part([parts[0], wrong], {}, tmp_path)
    np.save(tmp_path / "mask.npy", np.ones(3, np.bool_))
    with pytest.raises(DataError, match="verdicts and documents do not line up"):
        exact_part([parts[0], signals, tmp_path / "mask.npy"], {}, tmp_path)
    assert pq.read_table(signals).num_rows == 2
