"""The last look at a held-out split: no training document may resemble a held-out one.

Clusters are found by bands, which miss a few per cent of the pairs whose sets of 5-grams are alike
by 0.8 (docs/duplicates.md). So the sets themselves are compared, each training document with all
that could reach the limit; what is too alike goes back to training with all that belongs to it.

    held_grams   a part and its split          sets of the held-out documents
    build_index  all of these                  which sets hold which rare gram
    find_alike   a part, its split, the index  held-out documents that resemble one of the part
    settle       all of these                  new splits

Candidates share one of their rarest grams: with ``n`` grams, ``n (1 - limit)`` of them and one
more. Source: prefix filtering, Bayardo et al. 2007, "Scaling Up All Pairs Similarity Search".
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import iterate, write_part
from yanmo.tasks import Done, Input, Task

from .holdout import ROOTS
from .resemble import grams
from .utf8 import kernel
from .verify_duplicates import distinct_hashes

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

INDEX: Final = ("hashes", "bounds", "grams", "rank", "starts", "sets")
BATCH: Final = 512  # documents whose grams are in memory at a time
_BITS: Final = 24  # of a hash: 2 MiB of bits
_SEEN: Final = 1 << 15  # bits that tell grams of a document apart


class Sets(NamedTuple):
    """Sets of grams: sorted hashes back to back, and bounds [documents + 1]."""

    hashes: U32
    bounds: I64


class Index(NamedTuple):
    """Which held-out set holds which of its own rare grams.

    ``grams`` are all distinct ones, sorted; ``rank`` orders them by how many sets hold them, the
    rarest first, and ``by_rank`` is its inverse; the sets of gram ``g`` are
    ``sets[starts[g] : starts[g + 1]]``.
    """

    grams: U32
    rank: I64
    by_rank: I64
    starts: I64
    sets: I64


def guard(
    plan: Done, parts: Sequence[Input], limit: float, run_tasks: Callable[[list[Task]], list[Done]]
) -> list[Done]:
    """All tasks of the last look; the last one holds the splits to use.

    Args:
        plan: the task of :func:`yanmo.curate.holdout.plan_split`.
        parts: the document parts.
        limit: smallest Jaccard similarity that is too alike.
        run_tasks: runs tasks of one step.
    """
    module, parameters = "yanmo.curate.heldout_guard", {"limit": limit}
    splits = [plan.input(f"split-{number:05d}.parquet") for number in range(len(parts))]
    pairs = list(zip(parts, splits, strict=True))
    held = run_tasks([Task("held-grams", f"{module}:held_grams", pair) for pair in pairs])
    sets = tuple(d.input(name) for d in held for name in ("hashes.npy", "bounds.npy"))
    index = run_tasks([Task("held-index", f"{module}:build_index", sets, parameters)])
    files = tuple(index[0].input(f"{name}.npy") for name in INDEX)
    alike = run_tasks(
        [Task("held-alike", f"{module}:find_alike", (*pair, *files), parameters) for pair in pairs]
    )
    found = tuple(i for split, d in zip(splits, alike, strict=True)
                  for i in (split, d.input("alike.npy")))  # fmt: skip
    inputs = (plan.input(ROOTS), *files, *found)
    last = run_tasks([Task("held-settle", f"{module}:settle", inputs, parameters)])
    return [*held, *index, *alike, *last]


def warm(text: str) -> None:
    """Run the kernels on a short text, so that processes forked from this one have them."""
    hashes, size = distinct_hashes(*grams(pa.array([text], pa.large_string())))
    bounds = np.array([0, size[0]])
    known = _bits_of(hashes)
    _may_be_alike(hashes, bounds, known, len(hashes), 1.0)
    places = np.arange(len(hashes))
    rare = np.flatnonzero(_prefixes(places, bounds, 1.0))
    starts = np.searchsorted(rare, np.arange(len(hashes) + 1))
    index = Index(hashes, places, places, starts, np.zeros(len(rare), np.int64))
    _mark((hashes, bounds), Sets(hashes, bounds), index, 1.0, np.zeros(1, np.bool_))


def held_grams(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the sets of a part's held-out documents: ``hashes.npy``, ``bounds.npy``.

    Args:
        inputs: a part, its split.
        parameters: none.
        out: folder to write.
    """
    found = _sets(inputs[0], pq.read_table(inputs[1])["heldout"].to_numpy())
    np.save(out / "hashes.npy", found.hashes)
    np.save(out / "bounds.npy", found.bounds)
    return {"heldout": len(found.bounds) - 1}


def _sets(part: Path, chosen: Mask) -> Sets:
    """The sets of some documents of a part."""
    hashes, sizes, start = [np.empty(0, np.uint32)], [np.empty(0, np.int64)], 0
    for batch in iterate([part], columns=["text"], batch_rows=BATCH):
        mask = chosen[start : start + batch.num_rows]
        start += batch.num_rows
        if mask.any():
            some, size = distinct_hashes(*grams(batch.column("text").filter(pa.array(mask))))
            hashes.append(some)
            sizes.append(size)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(sizes))])
    return Sets(np.concatenate(hashes), bounds)


def build_index(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Join the sets of all parts (``hashes.npy``, ``bounds.npy``) and index their rare grams.

    Args:
        inputs: hashes and bounds of each part, by turns.
        parameters: ``limit``.
        out: also gets ``grams.npy``, ``rank.npy``, ``starts.npy``, ``sets.npy``.
    """
    hashes = np.concatenate([np.load(path) for path in inputs[::2]])
    sizes = np.concatenate([np.diff(np.load(path)) for path in inputs[1::2]])
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    distinct, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rank = np.empty(len(distinct), np.int64)
    rank[np.lexsort((distinct, counts))] = np.arange(len(distinct))
    rare = _prefixes(rank[inverse], bounds, parameters["limit"])
    owners = np.repeat(np.arange(len(sizes)), sizes)[rare]
    held = inverse[rare]
    order = np.argsort(held, kind="stable")
    starts = np.searchsorted(held[order], np.arange(len(distinct) + 1))
    arrays = {"hashes": hashes, "bounds": bounds, "grams": distinct, "rank": rank,
              "starts": starts.astype(np.int64), "sets": owners[order]}  # fmt: skip
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array)
    return {"heldout": len(sizes), "grams": len(distinct)}


def _load(paths: list[Path]) -> tuple[Sets, Index]:
    arrays = dict(zip(INDEX, (np.load(path) for path in paths), strict=True))
    index = Index(arrays["grams"], arrays["rank"], np.argsort(arrays["rank"]), arrays["starts"],
                  arrays["sets"])  # fmt: skip
    return Sets(arrays["hashes"], arrays["bounds"]), index


def find_alike(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Which held-out documents resemble a training document of a part: ``alike.npy``, bool.

    Args:
        inputs: a part, its split, and the files of the index.
        parameters: ``limit``.
        out: folder to write.
    """
    held, index = _load(inputs[2:])
    chosen = ~pq.read_table(inputs[1])["heldout"].to_numpy()
    alike = np.zeros(len(held.bounds) - 1, np.bool_)
    limit, largest = parameters["limit"], int(np.diff(held.bounds).max(initial=0))
    known = _bits_of(index.grams)
    start = 0
    for batch in iterate([inputs[0]], columns=["text"], batch_rows=BATCH):
        mask = chosen[start : start + batch.num_rows]
        start += batch.num_rows
        if mask.any() and len(alike):
            hashes, bounds = grams(batch.column("text").filter(pa.array(mask)))
            near = _may_be_alike(hashes, bounds, known, largest, limit)
            if near.any():
                own = np.diff(bounds)
                some = hashes[np.repeat(near, own)]
                ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(own[near])])
                hashes, sizes = distinct_hashes(some, ends)
                bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
                _mark((hashes, bounds), held, index, limit, alike)
    np.save(out / "alike.npy", alike)
    return {"alike": int(alike.sum())}


def settle(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Take back what resembles training, and what in turn resembles or belongs to that.

    Args:
        inputs: the components of all documents, the index, then by turns the split of each part
            and what of the held-out documents resembles it.
        parameters: ``limit``.
        out: gets ``split-00000.parquet`` … as :mod:`yanmo.curate.holdout` does.

    Returns:
        ``{"heldout": documents that stay, "taken_back": documents}``.
    """
    roots, (held, index) = np.load(inputs[0]), _load(inputs[1:7])
    splits = [pq.read_table(path) for path in inputs[7::2]]
    flags = np.concatenate([split["heldout"].to_numpy() for split in splits])
    own = roots[flags]
    back = np.zeros(len(own), np.bool_)
    alike = np.any([np.load(path) for path in inputs[8::2]], axis=0)
    while (alike & ~back).any():
        fresh = np.isin(own, own[alike]) & ~back
        back |= fresh
        some = np.flatnonzero(fresh)
        sizes = np.diff(held.bounds)[some]
        cut = [held.hashes[held.bounds[i] : held.bounds[i + 1]] for i in some.tolist()]
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        _mark((np.concatenate(cut), bounds), held, index, parameters["limit"], alike)
    flags[np.flatnonzero(flags)[back]] = False
    start = 0
    for number, split in enumerate(splits):
        mine = pa.array(flags[start : start + split.num_rows])
        start += split.num_rows
        place = split.schema.get_field_index("heldout")
        changed = split.set_column(place, split.schema.field(place), mine)
        write_part(out / f"split-{number:05d}.parquet", changed)
    return {"heldout": int(flags.sum()), "taken_back": int(back.sum())}


@kernel
def _bits_of(hashes: U32) -> npt.NDArray[np.uint64]:
    """A bit for each of the upper 24 bits of a hash: set for those of some held-out gram."""
    bits = np.zeros(1 << (_BITS - 6), np.uint64)
    for value in hashes:
        at = np.int64(value) >> (32 - _BITS)
        bits[at >> 6] |= np.uint64(1) << np.uint64(at & 63)
    return bits


@kernel
def _may_be_alike(
    hashes: U32, bounds: I64, known: npt.NDArray[np.uint64], largest: int, limit: float
) -> Mask:
    """Leave out, without sorting, documents whose grams are too many that nothing held out has.

    With ``i`` grams in common and ``u`` that no held-out set has, the similarity is at most
    ``i / (i + u)``. Too many grams are taken for known, and too few for distinct, so a document
    that is alike is never left out.

    Args:
        hashes: grams of the documents, repeated ones included; ``bounds`` as usual.
        known: bits of all held-out grams.
        largest: most grams of a held-out document.
        limit: smallest similarity that is too alike.
    """
    near = np.zeros(len(bounds) - 1, np.bool_)
    seen = np.zeros(_SEEN >> 6, np.uint64)
    for document in range(len(near)):
        seen[:] = 0
        common = foreign = 0
        for k in range(bounds[document], bounds[document + 1]):
            value = np.int64(hashes[k])
            at = value >> (32 - _BITS)
            if (known[at >> 6] >> np.uint64(at & 63)) & np.uint64(1) != 0:
                common += 1
                continue
            at = value & (_SEEN - 1)
            bit = np.uint64(1) << np.uint64(at & 63)
            if seen[at >> 6] & bit == 0:
                seen[at >> 6] |= bit
                foreign += 1
        # A little room for rounding: what is kept is looked at exactly.
        near[document] = foreign * limit <= min(common, largest) * (1.0 - limit) * 1.001 + 1.0
    return near


@kernel
def _prefix(size: int, limit: float) -> int:
    """How many of its rarest grams a set must show: a set that is alike shares one of them."""
    return int(np.floor((1.0 - limit) * size + 1e-9)) + 1


@kernel
def _prefixes(ranks: I64, bounds: I64, limit: float) -> Mask:
    """Which grams of each set are among its rarest."""
    rare = np.zeros(len(ranks), np.bool_)
    for document in range(len(bounds) - 1):
        low, high = bounds[document], bounds[document + 1]
        order = np.argsort(ranks[low:high])
        for i in range(min(_prefix(high - low, limit), high - low)):
            rare[low + order[i]] = True
    return rare


@kernel
def _mark(some: tuple[U32, I64], held: Sets, index: Index, limit: float, alike: Mask) -> None:
    """Set ``alike`` where a held-out set and one of ``some`` reach the limit."""
    hashes, bounds = some
    seen = np.full(len(alike), -1, np.int64)
    for document in range(len(bounds) - 1):
        own = hashes[bounds[document] : bounds[document + 1]]
        at = np.searchsorted(index.grams, own)
        ranks = np.empty(len(own), np.int64)
        known = 0
        for i in range(len(own)):
            if at[i] < len(index.grams) and index.grams[at[i]] == own[i]:
                ranks[known] = index.rank[at[i]]
                known += 1
        # Grams that no held-out set has are the rarest of all.
        shown = _prefix(len(own), limit) - (len(own) - known)
        if shown <= 0:
            continue
        ranks = np.sort(ranks[:known])
        for i in range(min(shown, known)):
            gram = index.by_rank[ranks[i]]
            for entry in range(index.starts[gram], index.starts[gram + 1]):
                number = index.sets[entry]
                if alike[number] or seen[number] == document:
                    continue
                seen[number] = document
                other = held.hashes[held.bounds[number] : held.bounds[number + 1]]
                alike[number] = _jaccard(own, other) >= limit


@kernel
def _jaccard(first: U32, second: U32) -> float:
    """Exact similarity of two sorted sets."""
    i = j = both = 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            both += 1
            i += 1
            j += 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    union = len(first) + len(second) - both
    return both / union if union else 0.0
