"""Where a large file may be cut, so that many tasks can read it.

A cut lies where the reading of the whole file begins a record: after a line end, between row
groups, or at a WARC record that the framing comes by. For WARC the framing itself is run over the
file, since no other way is sure: the payload of a record can hold whole records.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from yanmo.files import open_raw
from yanmo.recipe import from_table

from .discover import InputFile
from .ledger import Books, Quarantine
from .options import ReadOptions
from .parquet import cut_groups
from .read import form_of, is_parquet
from .spool import read_spool, with_breaks
from .streams import codec_of, members, raw_pieces
from .stretch import FORMS
from .warc import frames
from .window import PIECE_BYTES, Piece, Window

_LINE_BYTES = 1 << 16

Cuts = list[dict[str, Any]]
"""``start`` and ``stop`` of each stretch, and ``groups`` in Parquet."""


def survey_file(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Look at a large file: how it is compressed, what is in it, and where it may be cut.

    Args:
        inputs: the file, if it is local.
        parameters: ``file`` (fields of ``InputFile``), ``read`` (table), ``step`` (bytes).
        out: stays empty.

    Returns:
        ``{"size", "codec", "form", "cuts"}``. ``form`` is None where the file must be read whole;
        ``cuts`` is empty for a compressed file.
    """
    item = parameters["file"]
    source = InputFile(**{**item, "path": item["path"] or str(inputs[0])})
    options = from_table(ReadOptions, parameters["read"], where="read")
    with open_raw(source.path) as stream:
        if not stream.seekable():
            return {"size": 0, "codec": None, "form": None, "cuts": []}
        size = stream.seek(0, 2)
        stream.seek(0)
        return {"size": size, **_look(source, stream, size, options, parameters["step"])}


def _look(
    source: InputFile, stream: BinaryIO, size: int, options: ReadOptions, step: int
) -> dict[str, Any]:
    if is_parquet(source, stream):
        found = cut_groups(stream, size, options, step=step)
        cuts = [{"start": start, "stop": stop, "groups": groups} for start, stop, groups in found]
        return {"codec": None, "form": "parquet" if cuts else None, "cuts": cuts}
    raw = Window(raw_pieces(stream, source.path))
    codec = codec_of(raw, source.name)
    head: Iterator[Piece] = iter([raw.peek(0, PIECE_BYTES)])
    if codec is not None:
        head = members(raw, _no_books(), codec)
    form, _ = form_of(source, head, options)
    if form not in FORMS:
        return {"codec": None, "form": None, "cuts": []}
    if codec is not None:
        return {"codec": codec.name, "form": form, "cuts": []}
    if form == "warc":
        stream.seek(0)
        starts = _record_starts(raw_pieces(stream, source.path), options.max_record_bytes, step)
    else:
        starts = _line_starts(stream, size, step)
    return {"codec": None, "form": form, "cuts": stretches(starts, size)}


def survey_spool(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Find where an unpacked WARC may be cut.

    Args:
        inputs: all pieces of its content.
        parameters: ``pieces`` (their content bytes), ``breaks``, ``max_record_bytes``, ``step``.
        out: stays empty.

    Returns:
        ``{"cuts"}``.
    """
    sizes = parameters["pieces"]
    content = with_breaks(
        read_spool(inputs, at=0, sizes=sizes, start=0), parameters["breaks"], start=0
    )
    starts = _record_starts(content, parameters["max_record_bytes"], parameters["step"])
    return {"cuts": stretches(starts, sum(sizes))}


def stretches(starts: Sequence[int], size: int) -> Cuts:
    """From each start to the next, and to the end."""
    return [
        {"start": start, "stop": stop}
        for start, stop in zip(starts, [*starts[1:], size], strict=True)
    ]


def _line_starts(stream: BinaryIO, size: int, step: int) -> list[int]:
    """The begin of the first line in each multiple of ``step`` bytes."""
    starts, at = [0], step
    while at < size:
        start = _next_line(stream, at)
        if start >= size:
            break
        starts.append(start)
        at = (start // step + 1) * step
    return starts


def _next_line(stream: BinaryIO, at: int) -> int:
    """Where the first line begins that begins at ``at`` or later."""
    at -= 1
    stream.seek(at)
    while part := stream.read(_LINE_BYTES):
        found = part.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(part)
    return at


def _record_starts(content: Iterator[Piece], limit: int, step: int) -> list[int]:
    """The first record that the framing comes by in each multiple of ``step`` bytes."""
    starts, at, books = [0], step, _no_books()
    for frame in frames(content, books, limit):
        books.skip(frame.offset, frame.length, "record")
        if frame.offset >= at:
            starts.append(frame.offset)
            at = (frame.offset // step + 1) * step
    return starts


def _no_books() -> Books:
    """Books that nobody will see."""
    return Books("", "", Quarantine())
