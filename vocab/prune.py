"""Take added entries out again, leaves first: what others are made of goes only after them.

Which entry is made of which is read from how it comes out of its own text: its parents are the two
parts that the last merge joins. An entry that is nobody's parent takes part in no derivation, so
without it everything else comes out as before. What is removed first is what occurs least in a
text (its occurrences then count for its parents), or, without a text, what was added last.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError

from . import folder
from .agreement import batches
from .base import Base, Notes, load_base, write_grown
from .cut import restrict
from .derive import Deriver
from .doctor import find_dead
from .patient import Patient, as_base, open_patient
from .reach_spm import MERGEABLE, Dead, dead_pieces, merges_in
from .remap import remap_table, rows_table
from .spm import Model
from .verify import verify

Counts = npt.NDArray[np.int64]
Parents = Mapping[int, tuple[int, int]]
# Of the checks of a verification, those that pruning itself could break; the others are inherited.
_OURS = ("base ids unchanged", "round trip")


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """What to take out.

    Attributes:
        size: entries to keep in all; ``None``: no limit.
        keep: added entries to keep; ``None``: no limit, 0: the base alone.
        min_count: an added entry must occur so often in the text to stay.
        dead: take out the added entries that can never be produced.
        seed: seed of the random texts of the verification.
    """

    size: int | None = None
    keep: int | None = None
    min_count: int | None = None
    dead: bool = False
    seed: int = 0


def prune_tokenizer(
    path: Path, out: Path, options: PruneOptions, *, base: Path | None, lines: Iterable[str]
) -> dict[str, Any]:
    """Prune, prove, write.

    Args:
        path: SentencePiece BPE or byte-level BPE tokenizer that grew from a base.
        out: tokenizer folder to write.
        options: what to take out.
        base: what it grew from; ``None``: by its own notes.
        lines: text to count on; read once.

    Returns:
        The report that also stands in ``report.json``; ``base_size``, ``added``, ``size``,
        ``removed``.

    Raises:
        UsageError: nobody knows the base, nothing says what to take out, or ``out`` holds
            something else.
        DataError: an entry that stays would be lost; nothing is written then.
    """
    folder.refuse_foreign(out, [path, *([base] if base is not None else [])])
    patient = open_patient(path, base)
    size = _base_size(patient, options)
    counts, read = _count(patient, lines)
    if options.min_count is not None and not read:
        raise UsageError("--min-count needs --text", value=options.min_count)
    dead, _ = find_dead(patient)
    gone = choose(patient, counts, {entry.id for entry in dead}, options)
    whole = _loaded(path, patient)
    pruned, kept = restrict(whole, gone)
    _require_alive(patient, pruned, kept, dead)
    report = {
        "base_size": size,
        "added": pruned.size - size,
        "size": pruned.size,
        "removed": len(gone),
        "lines_counted": read,
        "removed_examples": [patient.pieces[i] for i in gone[:20]],
    }
    tables = {
        "remap.tsv": remap_table(patient.pieces, kept, counts.tolist()),
        "rows.tsv": rows_table(kept),
    }
    return _write(out, (patient, pruned), Notes({}, report, tables), options)


def _base_size(patient: Patient, options: PruneOptions) -> int:
    if patient.kind not in ("spm-bpe", "byte-bpe"):
        raise UsageError(
            "only BPE vocabularies can be pruned", where=patient.file, value=patient.kind
        )
    size = patient.base_size
    if size is None or patient.base is None:
        raise UsageError(
            "nobody knows where the base ends",
            where=patient.file,
            fix="Give the vocabulary it grew from as --base.",
        )
    given = (options.size, options.keep, options.min_count, options.dead or None)
    if all(value is None for value in given):
        raise UsageError(
            "nothing says what to take out", fix="Give --size, --keep, --min-count or --dead."
        )
    if options.size is not None and options.size < size:
        raise UsageError(
            f"the base alone has {size} entries, and none of them is taken out",
            where="size",
            value=options.size,
        )
    return size


def _count(patient: Patient, lines: Iterable[str]) -> tuple[Counts, int]:
    """How often each id occurs in the lines, and how many lines there are."""
    counts = np.zeros(patient.size, np.int64)
    encode, read = patient.encode(), 0
    for batch in batches(lines, 2000):
        ids = np.fromiter(chain.from_iterable(encode(batch)), np.int64)
        counts += np.bincount(ids, minlength=patient.size)
        read += len(batch)
    return counts, read


def choose(patient: Patient, counts: Counts, dead: set[int], options: PruneOptions) -> list[int]:
    """The ids to take out, in the order in which they go.

    Args:
        patient: the tokenizer; its base is known.
        counts: occurrences of each id, int64 of its size.
        dead: ids that can never be produced.
        options: what to take out.
    """
    size = patient.base_size or 0
    special = set(patient.special())
    mine = [i for i in range(size, patient.size) if patient.pieces[i] not in special]
    target = len(mine) - _room(patient, options)
    parents = parents_of(patient, [i for i in mine if i not in dead])
    children = np.zeros(patient.size, np.int64)
    for pair in parents.values():
        for index in pair:
            children[index] += 1
    counts = counts.copy()
    heap = [(int(counts[i]), -i) for i in mine if children[i] == 0]
    heapq.heapify(heap)
    gone: list[int] = []
    while heap:
        count, negative = heapq.heappop(heap)
        index = -negative
        wanted = len(gone) < target
        wanted |= options.min_count is not None and count < options.min_count
        wanted |= options.dead and index in dead
        if not wanted:
            continue
        gone.append(index)
        for parent in parents.get(index, ()):
            counts[parent] += count
            children[parent] -= 1
            if children[parent] == 0 and parent >= size:
                heapq.heappush(heap, (int(counts[parent]), -parent))
    return gone


def _room(patient: Patient, options: PruneOptions) -> int:
    """How many of the added entries may stay by ``size`` and ``keep``."""
    special = set(patient.special())
    size = patient.base_size or 0
    others = sum(patient.pieces[i] in special for i in range(size, patient.size))
    limits = [patient.size - size - others]
    if options.size is not None:
        limits.append(max(options.size - size - others, 0))
    if options.keep is not None:
        limits.append(max(options.keep - others, 0))
    return min(limits)


def parents_of(patient: Patient, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The two entries that the last merge joins, for every id that a merge makes."""
    if patient.model is not None:
        return _spm_parents(patient.model, ids)
    surfaces = patient.surfaces()
    special = set(patient.special())
    by_surface = {
        surface: index
        for index, surface in enumerate(surfaces)
        if patient.pieces[index] not in special
    }
    deriver = Deriver(as_base(patient))
    found = {}
    for index in ids:
        halves = deriver.halves(surfaces[index])
        if halves is not None:
            found[index] = (by_surface[halves[0]], by_surface[halves[1]])
    return found


def _spm_parents(model: Model, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    known = {p.text: i for i, p in enumerate(model.pieces) if p.type in MERGEABLE}
    longest = max(map(len, known))
    found = {}
    for index in ids:
        text = model.pieces[index].text
        inside = {
            text[a:b]: model.pieces[known[text[a:b]]].score
            for a in range(len(text))
            for b in range(a + 2, min(len(text), a + longest) + 1)
            if text[a:b] in known
        }
        ends = list(range(len(text) + 1))
        for start, end in merges_in(text, inside):
            at = ends.index(start)
            if (start, end) == (0, len(text)):
                cut = ends[1]
                found[index] = (known[text[:cut]], known[text[cut:]])
            del ends[at + 1]
    return found


def _loaded(path: Path, patient: Patient) -> Base:
    """The whole vocabulary with its configuration."""
    whole = load_base(path)
    return replace(whole, name=patient.name)


def _require_alive(
    patient: Patient, pruned: Base, kept: Sequence[int], dead: Sequence[Dead]
) -> None:
    """Everything that stays comes out if it came out before.

    Raises:
        DataError: something does not.
    """
    was_dead = {entry.id for entry in dead}
    if pruned.model is not None and patient.model is not None:
        probe = set(patient.probe_ids())
        now = dead_pieces(pruned.model, [n for n, old in enumerate(kept) if old in probe])
        lost = [entry for entry in now if kept[entry.id] not in was_dead]
    else:
        smaller = replace(patient, pieces=pruned.pieces, document=pruned.document, ranks=None)
        lost = [d for d in find_dead(smaller)[0] if kept[d.id] not in was_dead]
    if lost:
        raise DataError(
            "an entry that stays would be lost", where=patient.file, value=lost[0].piece
        )


def _write(
    out: Path, pair: tuple[Patient, Base], notes: Notes, options: PruneOptions
) -> dict[str, Any]:
    """Verify against the base, then write; the report gets ``verification``."""
    patient, pruned = pair
    base = patient.base
    assert base is not None
    found = verify(base, pruned, seed=options.seed)
    broken = [c for c in found["checks"] if c["name"] in _OURS and not c["passed"]]
    if broken:
        first = broken[0]
        what = f"verification failed: {first['name']}"
        raise DataError(what, where=out, value=first["counterexample"])
    report = {**notes.report, "verification": found}
    provenance = {
        "made_by": "vocab prune",
        "options": {k: v for k, v in vars(options).items() if v is not None},
        "inputs": folder.input_identities([patient.file]),
        "whole": {"name": patient.name, "size": patient.size},
    }
    write_grown(out, base, pruned, Notes(provenance, report, notes.extra))
    return report
