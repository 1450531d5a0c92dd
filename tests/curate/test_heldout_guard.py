"""The last look at the held-out documents, against comparing everything with everything."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import heldout_guard
from yanmo.curate.heldout_guard import guard
from yanmo.curate.holdout import ROOTS, SPLIT_SCHEMA
from yanmo.documents import write_part
from yanmo.tasks import Done, Input, Task, run

from .duplicate_parts import document_table, write_parts


def _grams(text: str) -> frozenset[str]:
    """By the definition: 5-grams of what is visible, or all of it if it is shorter."""
    dense = "".join(text.split())
    if not dense:
        return frozenset()
    return frozenset(dense[i : i + 5] for i in range(max(len(dense) - 4, 1)))


def _jaccard(first: str, second: str) -> float:
    a, b = _grams(first), _grams(second)
    return len(a & b) / len(a | b) if a | b else 0.0


def _oracle(texts: list[str], held: list[bool], roots: list[int], limit: float) -> list[bool]:
    held = list(held)
    while True:
        bad = {
            roots[i]
            for i, h in enumerate(held)
            if h
            and any(
                not held[j] and _jaccard(texts[i], texts[j]) >= limit for j in range(len(texts))
            )
        }
        if not bad:
            return held
        held = [h and root not in bad for h, root in zip(held, roots, strict=True)]


def _guarded(
    folder: Path, texts: list[str], held: list[bool], roots: list[int], cut: int, limit: float
) -> tuple[list[bool], int]:
    """The real tasks over two parts."""
    table = document_table(texts, [f"d{n}" for n in range(len(texts))])
    parts = write_parts(folder / "in", [table[:cut], table[cut:]])
    plan = folder / "plan"
    plan.mkdir()
    np.save(plan / ROOTS, np.array(roots, np.uint32))
    names = [ROOTS]
    for number, rows in enumerate((slice(0, cut), slice(cut, None))):
        names.append(f"split-{number:05d}.parquet")
        columns: dict[str, Any] = {"cluster": [None] * len(texts[rows]), "heldout": held[rows]}
        write_part(plan / names[-1], pa.table(columns, schema=SPLIT_SCHEMA))
    done = Done(Task("split", "x:y"), plan, {}, {name: name for name in names}, True, 0.0)
    inputs = [Input(path, path.name) for path in parts]
    last = guard(done, inputs, limit, lambda tasks: run(tasks, cache=folder / "cache"))[-1]
    found: list[bool] = []
    for number in range(2):
        found += pq.read_table(last.folder / f"split-{number:05d}.parquet")["heldout"].to_pylist()
    return found, int(last.result["taken_back"])


text = st.text(alphabet="甲乙ab 丙", max_size=14)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), limit=st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_what_resembles_training_is_taken_back_with_all_that_belongs_to_it(
    data: st.DataObject, limit: float, tmp_path_factory: Any
) -> None:
    size = data.draw(st.integers(2, 12))
    texts = data.draw(st.lists(text, min_size=size, max_size=size))
    roots = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    sides = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    held = [sides[root] for root in roots]
    cut = data.draw(st.integers(0, size))
    found, back = _guarded(tmp_path_factory.mktemp("g"), texts, held, roots, cut, limit)
    expected = _oracle(texts, held, roots, limit)
    assert found == expected
    assert back == sum(held) - sum(expected)


def test_one_that_goes_back_pulls_the_next(tmp_path: Path) -> None:
    """a is like training, b like a, c belongs to b; d is like nothing."""
    base = "研墨之前先磨一池清水再取一支狼毫细笔"
    texts = [
        base,
        base + "甲",
        base + "甲乙",
        "全然不同的另一篇文章写的是别的事情",
        "又一篇毫不相干的文字讲的是天气",
    ]
    held = [False, True, True, True, True]
    found, back = _guarded(tmp_path, texts, held, [0, 1, 2, 2, 3], 2, 0.93)
    assert found == [False, False, False, False, True]
    assert back == 3


def test_what_is_left_out_without_sorting_could_not_be_alike() -> None:
    """Against the definition, with edited copies on both sides of the limit."""
    random = np.random.default_rng(7)
    held = [random.integers(0, 2**32, size, np.uint32) for size in (1, 5, 60, 400, 4000)]
    known = heldout_guard._bits_of(np.unique(np.concatenate(held)))
    kept = 0
    for limit in (0.5, 0.8, 1.0):
        for some in held:
            for share in np.linspace(0, 0.7, 15):
                new = random.integers(0, 2**32, int(share * len(some)), np.uint32)
                own = np.concatenate([some, new, some[: len(some) // 2], new])
                bounds = np.array([0, len(own)])
                near = heldout_guard._may_be_alike(own, bounds, known, 4000, limit)
                alike = len(np.unique(some)) / len(np.unique(own)) >= limit
                assert near[0] or not alike
                kept += bool(near[0])
    far = random.integers(0, 2**32, 100_000, np.uint32)
    assert not heldout_guard._may_be_alike(far, np.array([0, len(far)]), known, 4000, 0.8)[0]
    assert 50 < kept < 225
