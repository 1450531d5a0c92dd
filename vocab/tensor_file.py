"""Safetensors files, read and written in pieces: no tensor is ever held whole.

The format is eight bytes with the length of a JSON header, the header (name to dtype, shape and
byte offsets), and the tensors back to back. The library reads slices but writes whole dictionaries,
and cannot give bfloat16 without torch; growing a 140 GB checkpoint on a laptop wants neither.

Shapes: ``V`` rows (one a token), ``D`` width.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError

Floats = npt.NDArray[np.float64]
CHUNK_BYTES: Final = 16 << 20
_MAX_HEADER: Final = 100 << 20  # the limit of the library itself
_SIZES: Final = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2,
    "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8,
}  # fmt: skip
_STORED: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_TORN: Final = "It was cut or mixed up; fetch or write it again."


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies.

    Attributes:
        name: its name in the checkpoint.
        dtype: the format's name (``F32``, ``F16``, ``BF16`` …).
        shape: as stored.
        file: the file that holds it.
        start, end: bytes in that file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one slice along the first dimension."""
        return (self.end - self.start) // max(self.shape[0], 1) if self.shape else 0


def read_header(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file in the order of their bytes, and its metadata.

    Raises:
        DataError: the file is missing, cut, or its header does not describe its bytes.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise DataError("not a safetensors file, or a torn one", where=path, value=size,
                                fix=_TORN)  # fmt: skip
            header = json.loads(stream.read(length))
    except OSError as error:
        raise DataError(f"cannot open the weights ({error.strerror})", where=path) from None
    except ValueError as error:
        raise DataError(f"the header is not JSON ({error})", where=path, fix=_TORN) from None
    if not isinstance(header, dict):
        raise DataError("the header is not an object", where=path, fix=_TORN)
    metadata = header.pop("__metadata__", None) or {}
    tensors = [_tensor(name, entry, path, 8 + length) for name, entry in header.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    at = 8 + length
    for tensor in tensors:
        if tensor.start != at:
            raise DataError("its tensors overlap or leave a gap", where=path, value=tensor.name,
                            fix=_TORN)  # fmt: skip
        at = tensor.end
    if at != size:
        raise DataError(f"the file has {size} bytes, its header describes {at}", where=path,
                        fix=_TORN)  # fmt: skip
    return {tensor.name: tensor for tensor in tensors}, metadata


def _tensor(name: str, entry: Any, path: Path, origin: int) -> Tensor:
    try:
        dtype, shape = str(entry["dtype"]), tuple(int(n) for n in entry["shape"])
        start, end = (int(n) for n in entry["data_offsets"])
        size = _SIZES[dtype] * prod(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the header's entry is not understood ({error!r})", where=path,
                        value=name, fix=_TORN) from None  # fmt: skip
    if end - start != size or start < 0:
        raise DataError(f"tensor '{name}' should have {size} bytes", where=path,
                        value=end - start, fix=_TORN)  # fmt: skip
    return Tensor(name, dtype, shape, path, origin + start, origin + end)


def header_bytes(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> bytes:
    """Length and header of a file with these tensors (name to dtype and shape), in this order."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + _SIZES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def raw_chunks(path: Path, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a file from ``start`` to ``end``, a chunk at a time.

    Raises:
        DataError: the file has become shorter.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        while start < end:
            piece = stream.read(min(CHUNK_BYTES, end - start))
            if not piece:
                raise DataError("the file ends too early", where=path, value=start, fix=_TORN)
            start += len(piece)
            yield piece


class Rows:
    """The rows of a matrix (V, D), or the entries of a vector (V,), read when asked for."""

    def __init__(self, tensor: Tensor) -> None:
        if tensor.dtype not in _STORED:
            raise DataError(f"rows of dtype {tensor.dtype} cannot be grown", where=tensor.file,
                            value=tensor.name, fix=f"Known: {', '.join(_STORED)}.")  # fmt: skip
        if not 1 <= len(tensor.shape) <= 2:
            raise DataError("not a matrix of one row a token", where=tensor.name,
                            value=tensor.shape)  # fmt: skip
        self.tensor = tensor
        self.width = prod(tensor.shape[1:])
        self._stored = np.dtype(_STORED[tensor.dtype])

    def chunk(self) -> int:
        """How many rows are worked on at a time (as float64)."""
        return max(1, CHUNK_BYTES // (8 * self.width))

    def raw(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows by number as stored (bfloat16 as uint16): (n, D); neighbours are read in one go."""
        out = np.empty((len(ids), self.width), self._stored)
        size = self.tensor.row_bytes
        cuts = np.flatnonzero(np.diff(ids) != 1) + 1
        with self.tensor.file.open("rb", buffering=0) as stream:
            for first, last in zip([0, *cuts], [*cuts, len(ids)], strict=True):
                if first == last:
                    continue
                stream.seek(self.tensor.start + int(ids[first]) * size)
                view = out[first:last].data.cast("B")
                filled = 0
                while filled < len(view):
                    got = stream.readinto(view[filled:])
                    if not got:
                        raise DataError("the file ends too early", where=self.tensor.file,
                                        value=self.tensor.name, fix=_TORN)  # fmt: skip
                    filled += got
        return out

    def take(self, ids: npt.NDArray[np.int64]) -> Floats:
        """Rows by number as float64: (n, D)."""
        return decode(self.raw(ids), self.tensor.dtype)

    def chunks(self, count: int) -> Iterator[Floats]:
        """The first ``count`` rows as float64, a chunk at a time."""
        for start in range(0, count, self.chunk()):
            yield self.take(np.arange(start, min(start + self.chunk(), count)))


def decode(raw: npt.NDArray[Any], dtype: str) -> Floats:
    """Stored values as float64."""
    if dtype == "BF16":
        raw = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(np.float64)


def encode(values: Floats, dtype: str) -> npt.NDArray[Any]:
    """Float64 values as they are stored, rounded to nearest even; too large ones become infinite.

    Source: rounding of bfloat16 as in Eigen and TensorFlow, by adding half of the last place.
    """
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return values.astype(_STORED[dtype])
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    kept = np.where(np.isnan(values), np.uint32(0x7FC0), rounded)
    return kept.astype("<u2")
