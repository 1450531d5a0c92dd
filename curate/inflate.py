"""Unpack a range of a compressed file: its members (gzip) or frames (zstd), with their books.

A range owns the members that begin in it. Which is the first cannot be known from the range alone:
the magic bytes lie, and so can a member that really decompresses, inside the data of another. So a
range is unpacked on a guess, and the guess counts only if the range before it ends exactly there
(:mod:`yanmo.curate.split` checks that, from the first byte of the file on).
"""

from pathlib import Path
from typing import Any

from yanmo.files import open_raw

from .discover import InputFile
from .ledger import ByteLedger, Part, Quarantine
from .spool import SpoolWriter
from .streams import codec_named, members, raw_pieces, seek_member
from .window import Window


def inflate_range(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Unpack the members that begin between two offsets of a file into pieces.

    Args:
        inputs: the file, if it is local.
        parameters: ``file`` (fields of ``InputFile``), ``codec``, ``start`` and ``stop`` (stored
            offsets), ``guess`` (look for the first member from ``start`` on, instead of beginning
            there), ``piece_bytes``.
        out: folder to write.

    Returns:
        ``{"start", "end", "bytes", "pieces", "breaks"}`` and the books of the stored side, in the
        form of an `ingest` result. ``start`` is None where no member begins in the range; ``end``
        is where reading would go on. ``breaks`` are offsets in this range's content.
    """
    item = parameters["file"]
    source = InputFile(**{**item, "path": item["path"] or str(inputs[0])})
    codec = codec_named(parameters["codec"])
    breaks: list[tuple[int, int | None]] = []
    with (
        Quarantine(out / "quarantine.jsonl.zst") as quarantine,
        SpoolWriter(out, parameters["piece_bytes"]) as spool,
        open_raw(source.path) as stream,
    ):
        stream.seek(parameters["start"])
        raw = Window(raw_pieces(stream, source.path), offset=parameters["start"])
        if parameters["guess"] and not seek_member(raw, codec, stop=parameters["stop"]):
            return {"start": None}
        start = raw.offset
        ledger = ByteLedger(quarantine)
        part = Part(stored=start, first=False)
        books = ledger.open(source.name, source=source.source, part=part)
        for piece in members(raw, books, codec, stop=parameters["stop"]):
            if isinstance(piece, bytes):
                spool.write(piece)
            else:
                breaks.append((spool.bytes, piece.suspect_from))
        ledger.close(books, content=0, stored=raw.offset - start)
    return {"start": start, "end": raw.offset, "bytes": spool.bytes, "pieces": spool.pieces,
            "breaks": breaks, "ledger": ledger.as_dict(), "parts": [],
            "quarantined": dict(sorted(quarantine.kinds.items())), "retried": {}, "dropped": {},
            "chars_in": 0, "chars_quarantined": 0, "edits": {}, "encodings": {}}  # fmt: skip
