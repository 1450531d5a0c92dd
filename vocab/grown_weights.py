"""Write the weights of a grown checkpoint, tensor by tensor, and prove what did not change."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from yanmo.errors import DataError
from yanmo.files import sha256_file

from .checkpoint import Checkpoint
from .new_rows import Maker, Method, Statistics, measure, percentiles, vector_values
from .subtokens import Ints, Plan
from .tensor_file import CHUNK_BYTES, Rows, Tensor, encode, header_bytes, raw_chunks, read_header

# Stored lengths differ from wanted ones by rounding alone: a bfloat16 has three digits.
_ROUNDING = 0.005


@dataclass(frozen=True)
class Growth:
    """What each row of the grown matrices is.

    Attributes:
        plan: origin of every id of the grown vocabulary.
        base_size: entries of the base: rows from there on are padding and not looked at.
        rows: rows of the result, padding included.
        method: how new rows are made.
        heavier: ``auto``, ``first`` or ``last``.
    """

    plan: Plan
    base_size: int
    rows: int
    method: Method
    heavier: str


def write_weights(
    found: Checkpoint, growth: Growth, folder: Path, advance: Callable[[int], None]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write every weight file of the checkpoint with its grown tensors.

    Returns:
        What was noted of each grown tensor, and the SHA-256 of each file that was read.

    Raises:
        DataError: a new row is not finite or equal to another, or what was written is not what
            was meant.
    """
    matrices: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    for file in found.files:
        mine = [t for t in found.tensors.values() if t.file == file and t.name not in found.dropped]
        shapes = {
            t.name: (t.dtype, (growth.rows, *t.shape[1:]) if t.name in found.grown else t.shape)
            for t in mine
        }
        digests: dict[str, str] = {}
        with (folder / file.name).open("wb") as out:
            out.write(header_bytes(shapes, found.metadata[file.name]))
            for tensor in mine:
                if tensor.name in found.grown:
                    matrices[tensor.name] = _write_grown(found, tensor, growth, out, advance)
                else:
                    digests[tensor.name] = _copy(tensor, out, advance)
        _prove_file(folder / file.name, found, growth, digests)
        hashes[file.name] = sha256_file(file)
    return matrices, hashes


def _copy(tensor: Tensor, out: IO[bytes], advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    for piece in raw_chunks(tensor.file, tensor.start, tensor.end):
        digest.update(piece)
        out.write(piece)
        advance(len(piece))
    return digest.hexdigest()


def _write_grown(
    found: Checkpoint,
    tensor: Tensor,
    growth: Growth,
    out: IO[bytes],
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Write one matrix row by row in order of ids; return what is said of it in the report."""
    rows = Rows(tensor)
    base = measure(rows, growth.base_size)
    heavier = growth.heavier
    if heavier == "auto":
        # What follows a word depends on its end, what leads to it on its start. A tied matrix is
        # both; the start was better right after growth, on one model (docs/embed.md).
        own = found.grown[tensor.name] == "embedding" and not found.tied
        heavier = "last" if own else "first"
    method = replace(growth.method, heavier=heavier)
    maker = Maker(rows, base, growth.plan, method)
    vector = len(tensor.shape) == 1
    fresh = iter([vector_values(rows, base, growth.plan, method)]) if vector else maker.chunks()
    source = _Fresh(fresh, rows)
    padding = encode(base.mean[None, :], tensor.dtype)
    kept = _kept_padding(found, growth)
    for first, last, kind in _runs(growth.plan, growth.rows, kept):
        for start in range(first, last, step := max(1, CHUNK_BYTES // tensor.row_bytes)):
            stop = min(start + step, last)
            if kind == "base":
                block = rows.raw(_origins(growth.plan, start, stop))
            elif kind == "new":
                block = source.take(stop - start)
            else:
                block = np.repeat(padding, stop - start, axis=0)
            out.write(block.tobytes())
            advance(block.nbytes)
    return _noted(tensor, base, maker, vector)


def _noted(tensor: Tensor, base: Statistics, maker: Maker, vector: bool) -> dict[str, Any]:
    norms = np.array(maker.made.norms)
    low, high = maker.low * (1 - _ROUNDING), maker.high * (1 + _ROUNDING)
    outside = None if vector else int(((norms < low) | (norms > high)).sum())
    if outside and maker.method.norm != "none":
        raise DataError("lengths of new rows leave the base's", where=tensor.name, value=outside)
    return {
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "heavier": maker.method.heavier if maker.method.init == "weighted" else None,
        "base_norms": base.percentiles(),
        "new_norms": percentiles(norms),
        "outside": outside,
        "equal_rows_with_noise": maker.made.equal,
        "without_parts": maker.made.without_parts,
    }


class _Fresh:
    """Hands out new rows in any amounts."""

    def __init__(self, chunks: Iterator[Any], rows: Rows) -> None:
        self._chunks = chunks
        self._left: Any = rows.raw(np.zeros(0, np.int64))

    def take(self, count: int) -> Any:
        parts = [self._left[:count]]
        self._left = self._left[count:]
        while (have := sum(map(len, parts))) < count:
            chunk = next(self._chunks)
            parts.append(chunk[: count - have])
            self._left = chunk[count - have :]
        return np.concatenate(parts)


def _kept_padding(found: Checkpoint, growth: Growth) -> int:
    """Up to which row padding of the base stays: nowhere beyond it, and not where ids moved."""
    origin = growth.plan.origin[: growth.base_size]
    still = len(origin) == growth.base_size and bool(
        ((origin == np.arange(growth.base_size)) | (origin == -2)).all()
    )
    return found.rows if still else 0


def _origins(plan: Plan, start: int, stop: int) -> Ints:
    """Rows of the base for target rows; beyond the vocabulary a row of padding is its own."""
    known = plan.origin[start:stop]
    ids = np.arange(start, stop, dtype=np.int64)
    ids[: len(known)] = np.where(known >= 0, known, ids[: len(known)])
    return ids


def _runs(plan: Plan, rows: int, kept: int) -> Iterator[tuple[int, int, str]]:
    """Target rows cut into stretches of one kind: ``base``, ``new`` or ``padding``.

    Args:
        plan: origins.
        rows: target rows in all.
        kept: rows of padding below this are copied from the base.
    """
    kinds = np.full(rows, 2, np.int8)
    kinds[:kept] = 0
    size = len(plan.origin)
    kinds[:size] = np.where(plan.origin >= 0, 0, np.where(plan.origin == -1, 1, kinds[:size]))
    cuts = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), rows]
    for first, last in pairwise(cuts):
        yield first, last, ("base", "new", "padding")[int(kinds[first])]


def _prove_file(path: Path, found: Checkpoint, growth: Growth, digests: dict[str, str]) -> None:
    """Read a written file again: untouched tensors and base rows must have their old bits.

    Raises:
        DataError: names the tensor.
    """
    written, _ = read_header(path)
    for name, tensor in written.items():
        if name in found.grown:
            _prove_rows(found.tensors[name], tensor, growth)
            continue
        digest = hashlib.sha256()
        for piece in raw_chunks(path, tensor.start, tensor.end):
            digest.update(piece)
        if digest.hexdigest() != digests[name]:
            raise DataError("a tensor was not written as it was read", where=path, value=name)


def _prove_rows(old: Tensor, new: Tensor, growth: Growth) -> None:
    before, after = Rows(old), Rows(new)
    kept = np.flatnonzero(growth.plan.origin >= 0)
    for start in range(0, len(kept), before.chunk()):
        ids = kept[start : start + before.chunk()]
        if before.raw(growth.plan.origin[ids]).tobytes() != after.raw(ids).tobytes():
            raise DataError("base rows have changed", where=new.name)
