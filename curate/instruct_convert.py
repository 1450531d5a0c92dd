"""``yanmo curate instruct convert``: one layout into another, accounted for."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, LedgerError
from yanmo.message_formats import detect, format_named, parse, write, write_lossy
from yanmo.messages import read_objects

from .instruct_files import encoded, json_writer


@dataclass(frozen=True)
class ConvertOptions:
    """What is converted to what.

    Attributes:
        to: name of the format to write.
        from_: name of the format of all records; ``None``: each is told by its content.
        lossy: leave out what does not fit instead of refusing the record.
        ids: give records without an id their place, ``file#row``.
        limit: stop after this many records.
    """

    to: str
    from_: str | None = None
    lossy: bool = False
    ids: bool = False
    limit: int | None = None


@dataclass
class Ledger:
    """What became of the records.

    Attributes:
        read: records met, and lines that are none.
        written: records of which every dialogue was written.
        rejected: all others; each stands in the file of rejects with its reason.
        dialogues: objects written: several for a seed task with several instances.
        formats: records by the format that they were read in.
        reasons: rejects by reason.
        losses: what was left out, with ``lossy``.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    dialogues: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)

    def table(self) -> dict[str, Any]:
        """For JSON: counts, the commonest first."""
        counted = {name: dict(getattr(self, name).most_common())
                   for name in ("formats", "reasons", "losses")}  # fmt: skip
        return {"read": self.read, "written": self.written, "rejected": self.rejected,
                "dialogues": self.dialogues, **counted}  # fmt: skip


Put = Callable[[bytes], None]


def convert(files: list[Path], out: Path, options: ConvertOptions) -> Ledger:
    """Convert files into one.

    Args:
        files: in the order in which their records are written.
        out: file to write; rejects stand beside it (:func:`rejects_of`).
        options: from what to what.

    Raises:
        UsageError: a format is unknown, or the name of ``out`` says no form.
        DataError: not one record could be converted.
        LedgerError: records went missing.
    """
    format_named(options.to)
    if options.from_ is not None:
        format_named(options.from_)
    ledger, rejects = Ledger(), list[bytes]()
    with json_writer(out) as put:
        for item in islice(_records(files), options.limit):
            _account(item, options, ledger, (put, rejects.append))
        if ledger.read != ledger.written + ledger.rejected:
            raise LedgerError("records went missing", value=ledger.table())
        _write_rejects(rejects, out)
        if ledger.read and not ledger.written:
            reason, count = ledger.reasons.most_common(1)[0]
            raise DataError(f"no record could be converted; {count} of {ledger.read}: {reason}",
                            where=rejects_of(out))  # fmt: skip
    return ledger


def _account(item: "Item", options: ConvertOptions, ledger: Ledger, to: tuple[Put, Put]) -> None:
    """Write what a record becomes, or its rejection, and count it."""
    ledger.read += 1
    put, reject = to
    try:
        made = _converted(item, options, ledger)
    except DataError as error:
        where, record, text = item
        ledger.rejected += 1
        ledger.reasons[error.what] += 1
        row = {"where": where, "reason": str(error), "record": text if record is None else record}
        reject(json.dumps(row, ensure_ascii=True).encode())
        return
    for found in made:
        put(found)
    ledger.written += 1
    ledger.dialogues += len(made)


Item = tuple[str, dict[str, Any] | None, str]
"""Where, and the record; or None and the text of what is none."""


def _records(files: list[Path]) -> Iterator[Item]:
    for path in files:
        aside: list[Item] = []

        def bad(error: DataError, text: str, aside: list[Item] = aside) -> None:
            aside.append((str(error), None, text))

        for where, record in read_objects(path, bad=bad):
            yield from _emptied(aside)
            yield where, record, ""
        yield from _emptied(aside)


def _emptied(items: list[Item]) -> Iterator[Item]:
    while items:
        yield items.pop(0)


def _converted(item: Item, options: ConvertOptions, ledger: Ledger) -> list[bytes]:
    where, record, text = item
    if record is None:
        raise DataError("no JSON object", where=where, value=text[:80])
    name = options.from_ or detect(record, where=where)
    ledger.formats[name] += 1
    made, losses = [], []
    for number, found in enumerate(parse(record, where=where, as_=name)):
        if options.lossy:
            written, lost = write_lossy(found, options.to, where=where)
            losses += lost
        else:
            written = write(found, options.to, where=where)
        if options.ids and "id" not in written:
            written = {"id": f"{where}.{number}" if number else where, **written}
        made.append(encoded(written, where=where))
    ledger.losses.update(losses)
    return made


def rejects_of(out: Path) -> Path:
    """Where the rejects of a result stand."""
    return Path("rejects.jsonl") if str(out) == "-" else out.with_name(f"{out.name}.rejects.jsonl")


def _write_rejects(rejects: list[bytes], out: Path) -> None:
    path = rejects_of(out)
    if rejects:
        with json_writer(path) as put:
            for reject in rejects:
                put(reject)
    elif str(out) != "-":
        path.unlink(missing_ok=True)
