"""Samples of a report: the smallest ids of each group, whatever part or row group holds them."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from yanmo.curate.run_samples import samples
from yanmo.documents import ROW_GROUP_ROWS, write_part

SCHEMA = pa.schema([("id", pa.string()), ("rule", pa.string()), ("text", pa.large_string())])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three parts, the first of two row groups, ids and rules in no order; one part is empty."""
    draw = random.Random(7)
    ids = [f"{n:05d}" for n in range(ROW_GROUP_ROWS + 900)]
    draw.shuffle(ids)
    rows = [{"id": i, "rule": draw.choice("abc"), "text": f"text of {i}"} for i in ids]
    cuts = (0, ROW_GROUP_ROWS + 400, ROW_GROUP_ROWS + 400, len(rows))
    for number in range(3):
        table = pa.Table.from_pylist(rows[cuts[number] : cuts[number + 1]], SCHEMA)
        write_part(tmp_path / f"part-{number:05d}.parquet", table)
    return tmp_path


def test_the_smallest_ids_of_each_group(folder: Path) -> None:
    found = samples(folder, count=4, by="rule")
    everything = samples(folder, count=10_000, by="rule")
    assert sorted(found) == ["a", "b", "c"]
    assert sum(map(len, everything.values())) == ROW_GROUP_ROWS + 900
    for rule, rows in found.items():
        assert [row["id"] for row in rows] == sorted(r["id"] for r in everything[rule])[:4]
        assert all(row == {"id": row["id"], "rule": rule, "text": f"text of {row['id']}"}
                   for row in rows)  # fmt: skip


def test_all_rows_are_one_group(folder: Path) -> None:
    rows = samples(folder, count=3)[""]
    assert [row["id"] for row in rows] == ["00000", "00001", "00002"]


def test_nothing_dropped_gives_no_group(tmp_path: Path) -> None:
    write_part(tmp_path / "part-00000.parquet", SCHEMA.empty_table())
    assert samples(tmp_path, count=3, by="rule") == {}
