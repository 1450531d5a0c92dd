"""One file, all cores: large files are read by many tasks, small ones in groups by one.

    plain   ─ survey (where may it be cut?) ──────────────────────┐
    packed  ─ survey ─ inflate (ranges of stored bytes) ─ survey ─┴─ ingest (stretches)

Where a file is cut depends on its bytes and on ``read.split_bytes`` alone. Every cut lies where the
reading of the whole file begins a record, so documents, quarantine and books are the same as if one
task had read it all.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo.errors import LedgerError
from yanmo.tasks import Done, Identities, Input, Task

from .discover import AUTO, COMPRESSIONS, InputFile, InputGroup
from .intake import Identified, identified, ingest_task, read_table, spooled
from .options import ReadOptions
from .run_recipe import CurateRecipe
from .stretch import Stretch
from .url_steps import UrlFilter
from .warc import CHECKSUM_BYTES, MAX_HEADER, SCAN_BYTES

PACKED_SHARE: Final = 4
"""Compressed files are unpacked in ranges of ``split_bytes / 4`` stored bytes, into pieces of
``split_bytes / 4``: gzip left 0.25 of real archives and 0.38 of real texts (docs/log.md), so that a
range unpacks to about one stretch."""

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass
class _Piece:
    """A piece of an unpacked file: where it lies in the content, and its lines."""

    input: Input
    at: int
    bytes: int
    line: int | None
    newline: bool


@dataclass
class _Large:
    """A file that may be read in stretches, and what is known of it.

    Attributes:
        source: the file as tasks name it.
        size: stored bytes.
        codec: how it is compressed, or None.
        form: a value of ``stretch.FORMS``; None where it must be read whole.
        cuts: fields of the stretches.
        known: finished unpacking tasks by the stored offset that they began at.
        unpacked: those that count, in the order of the file.
        ended: stored offset at which the last of these ended.
    """

    source: Identified
    size: int = 0
    codec: str | None = None
    form: str | None = None
    cuts: list[dict[str, Any]] = field(default_factory=list)
    known: dict[int, Done] = field(default_factory=dict)
    unpacked: list[Done] = field(default_factory=list)
    ended: int = 0
    pieces: list[_Piece] = field(default_factory=list)
    breaks: list[tuple[int, int | None]] = field(default_factory=list)


def ingest(
    groups: Sequence[InputGroup],
    settings: CurateRecipe,
    cache: Path,
    identities: Identities,
    *,
    run: Run,
    urls: UrlFilter | None = None,
) -> list[Done]:
    """Read all groups of files, the large ones in stretches.

    A trial (``limit``) reads every file in one task: which pages are the first of a file is not
    known to the task that reads its middle.

    Args:
        groups: the files, in order.
        settings: the recipe.
        cache: the cache folder.
        identities: of the input files.
        run: runs tasks; results in the order of the tasks.
        urls: judges pages by their address before they are extracted.

    Returns:
        The finished tasks in the order of the files, those that unpacked a file before those that
        read it.

    Raises:
        YanmoError: a task failed, or a large file changed its size.
    """
    found = [spooled(group, cache) for group in groups]
    sources = [identified(group.files, identities) for group in found]
    large = {
        index: _Large(sources[index])
        for index, group in enumerate(found)
        if settings.limit is None and _may_split(group.files, settings.read)
    }
    _survey(list(large.values()), settings, run)
    tasks = [
        _tasks(large[index], settings) if index in large else [ingest_task(source, settings)]
        for index, source in enumerate(sources)
    ]
    every = [task for some in tasks for task in some]
    done = iter(run((urls or UrlFilter()).apply(every, settings, run)))
    ordered: list[Done] = []
    for index, some in enumerate(tasks):
        ordered += large[index].unpacked if index in large else []
        ordered += [next(done) for _ in some]
    return ordered


def _may_split(files: Sequence[InputFile], options: ReadOptions) -> bool:
    """Is this a single file that is large enough, of a format with many records?"""
    step, file = options.split_bytes, files[0]
    formats = {AUTO, "jsonl", "parquet", "warc", *(["txt"] if options.txt == "line" else [])}
    if step is None or len(files) > 1 or file.format not in formats or file.size is None:
        return False
    packed = file.name.lower().endswith(COMPRESSIONS)
    return file.size > (step // PACKED_SHARE if packed else step)


def _survey(large: Sequence[_Large], settings: CurateRecipe, run: Run) -> None:
    """Find out where the files can be cut; compressed ones are unpacked."""
    step = settings.read.split_bytes or 0
    surveyed = run([_survey_task(one.source, settings, step) for one in large])
    for one, done in zip(large, surveyed, strict=True):
        result = done.result
        one.size, one.codec, one.form = result["size"], result["codec"], result["form"]
        one.cuts = result["cuts"]
        _check_size(one)
    packed = [one for one in large if one.codec is not None]
    _unpack(packed, step, run)
    archives = []
    for one in packed:
        _lay_out(one)
        if one.form == "warc":
            archives.append(one)
        else:
            starts = _line_starts(one, step)
            one.cuts = _between(starts, sum(piece.bytes for piece in one.pieces))
    framed = run([_frame_task(one, settings, step) for one in archives])
    for one, done in zip(archives, framed, strict=True):
        one.cuts = done.result["cuts"]


def _check_size(one: _Large) -> None:
    """A file that is cut must be as long as it was when it was found.

    Raises:
        LedgerError: it is not.
    """
    file = one.source.files[0]
    if one.form is not None and one.size != file["size"]:
        raise LedgerError(
            f"the file had {file['size']} bytes when it was found and has {one.size}",
            where=file["name"],
            fix="Was it changed while it was read? Run again when it is complete.",
        )


def _survey_task(source: Identified, settings: CurateRecipe, step: int) -> Task:
    parameters = {"file": source.files[0], "remote": source.remote, "step": step,
                  "read": read_table(settings)}  # fmt: skip
    return Task("survey", "yanmo.curate.survey:survey_file", source.inputs, parameters)


def _frame_task(one: _Large, settings: CurateRecipe, step: int) -> Task:
    parameters = {"pieces": [piece.bytes for piece in one.pieces], "breaks": one.breaks,
                  "max_record_bytes": settings.read.max_record_bytes, "step": step}  # fmt: skip
    inputs = tuple(piece.input for piece in one.pieces)
    return Task("survey", "yanmo.curate.survey:survey_spool", inputs, parameters)


def _unpack(packed: Sequence[_Large], step: int, run: Run) -> None:
    """Unpack files: all ranges at once on a guess, then those again whose guess was wrong.

    Reading from the first byte on comes to certain places, each of which follows from the one
    before. A range counts if it began at such a place; the others are thrown away.
    """
    size = max(1, step // PACKED_SHARE)
    asked = [
        (one, _inflate_task(one, start, start + size, size, guess=start > 0))
        for one in packed
        for start in range(0, one.size, size)
    ]
    while asked:
        for (one, _), done in zip(asked, run([task for _, task in asked]), strict=True):
            if done.result["start"] is not None:
                one.known.setdefault(done.result["start"], done)
        asked = []
        for one in packed:
            while one.ended in one.known:
                one.unpacked.append(one.known[one.ended])
                one.ended = one.unpacked[-1].result["end"]
            if one.ended < one.size:
                stop = (one.ended // size + 1) * size
                asked.append((one, _inflate_task(one, one.ended, stop, size, guess=False)))


def _inflate_task(one: _Large, start: int, stop: int, piece_bytes: int, *, guess: bool) -> Task:
    source = one.source
    parameters = {"file": source.files[0], "remote": source.remote, "codec": one.codec,
                  "start": start, "stop": stop, "guess": guess,
                  "piece_bytes": piece_bytes}  # fmt: skip
    return Task("inflate", "yanmo.curate.inflate:inflate_range", source.inputs, parameters)


def _lay_out(one: _Large) -> None:
    """Give pieces and breaks their offsets in the content of the whole file."""
    at = 0
    for done in one.unpacked:
        for offset, suspect in done.result["breaks"]:
            one.breaks.append((at + offset, None if suspect is None else at + suspect))
        for piece in done.result["pieces"]:
            given = done.input(piece["name"])
            one.pieces.append(_Piece(given, at, piece["bytes"], piece["line"], piece["newline"]))
            at += piece["bytes"]


def _between(starts: Sequence[int], size: int) -> list[dict[str, Any]]:
    stops = [*starts[1:], size]
    return [{"start": a, "stop": b} for a, b in zip(starts, stops, strict=True)]


def _line_starts(one: _Large, step: int) -> list[int]:
    """Where lines begin: the first in or after the first piece that begins ``step`` bytes on."""
    starts = [0]
    size = sum(piece.bytes for piece in one.pieces)
    places = [at for at, _ in one.breaks]
    for index, piece in enumerate(one.pieces):
        if piece.at >= starts[-1] + step:
            start = _next_line(one.pieces, index, places)
            if start >= size:
                break
            starts.append(start)
    return starts


def _next_line(pieces: Sequence[_Piece], index: int, breaks: Sequence[int]) -> int:
    """Where the first line begins that begins in a piece or later: after a newline or a break."""
    at = pieces[index].at
    following = bisect_right(breaks, at)
    if pieces[index - 1].newline or breaks[following - 1 : following] == [at]:
        return at
    ends = (piece.at + piece.line for piece in pieces[index:] if piece.line is not None)
    end = next(ends, pieces[-1].at + pieces[-1].bytes)
    return min([end, *breaks[following : following + 1]])


def _tasks(one: _Large, settings: CurateRecipe) -> list[Task]:
    """The tasks that read a file."""
    if one.form is None or (one.codec is None and len(one.cuts) < 2):
        return [ingest_task(one.source, settings)]
    if one.codec is None:
        return [
            ingest_task(one.source, settings, stretch=Stretch(one.form, size=one.size, **cut))
            for cut in one.cuts
        ]
    return list(_tasks_of_pieces(one, settings))


def _tasks_of_pieces(one: _Large, settings: CurateRecipe) -> Iterator[Task]:
    # What follows a WARC record says whether it is whole: the longest record may be a lie.
    ahead = settings.read.max_record_bytes + MAX_HEADER + SCAN_BYTES + CHECKSUM_BYTES
    files = [{**one.source.files[0], "path": ""}]
    for cut in one.cuts:
        start, end = cut["start"], cut["stop"] + (ahead if one.form == "warc" else 0)
        some = [p for p in one.pieces if p.at < end and p.at + p.bytes > start]
        stretch = Stretch(
            str(one.form), size=one.size, pieces=tuple(piece.bytes for piece in some),
            at=some[0].at if some else 0,
            breaks=[item for item in one.breaks if start < item[0] <= end], **cut,
        )  # fmt: skip
        source = Identified(tuple(piece.input for piece in some), files, [])
        yield ingest_task(source, settings, stretch=stretch)
