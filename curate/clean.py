"""The task that cleans a part: normalised text, its language, and lines that are no text cut out.

A part is read and written once, and a document is decoded once: what identifies its language and
what judges its lines look at the code points that normalisation leaves. Reading and writing it for
each of the two again, and decoding it for each, took a quarter of the step.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, PartWriter, iterate
from yanmo.recipe import from_table

from .character_ledger import Edits
from .edits import RULES
from .language import Found, Identifier, LanguageOptions, Looked
from .line_edits import EDITS_SCHEMA, Spans
from .lines import LineCutter
from .normalize import NormalizeOptions, normalize
from .utf8 import Bounds, Codes, text_buffer

BATCH_ROWS: Final = 1024


def clean_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Normalise the text of a part, identify language and script, count its size, cut lines out.

    Args:
        inputs: the part; and, if there is one, the lid.176 model.
        parameters: ``normalize`` and ``language``: tables of ``NormalizeOptions`` and
            ``LanguageOptions`` (both may be absent); ``edit``, if lines are edited: as
            :class:`yanmo.curate.lines.LineCutter` takes them.
        out: gets ``documents.parquet``; with ``edit`` also ``edits.parquet`` (EDITS_SCHEMA) and
            ``dropped.parquet``.

    Returns:
        ``edits`` ``{rule: {removed, added}}``, ``chars_in``, ``chars_out`` (of what is not
        dropped), ``rows``, ``language_model`` ("lid.176" or "none"); with ``edit`` ``changed``,
        ``converted`` and ``dropped`` ``{rule: {documents, chars}}``.

    Raises:
        DataError: the part holds a text that is not UTF-8.
        LedgerError: the characters do not balance.
    """
    cleaner = _Cleaner(inputs, parameters)
    cutter = cleaner.cutter
    names = {"documents": SCHEMA}
    if cutter:
        names |= {"edits": EDITS_SCHEMA, "dropped": DROPPED_SCHEMA}
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                PartWriter(out / f"{name}.parquet", schema, intermediate=name == "documents")
            )
            for name, schema in names.items()
        ]
        for batch in iterate([inputs[0]], batch_rows=BATCH_ROWS):
            for writer, table in zip(writers, cleaner.clean(batch), strict=True):
                writer.write(table)
    books = [cleaner.total, *([cutter.total] if cutter else [])]
    for total in books:
        total.check(inputs[0])
    edits = {rule: change for total in books for rule, change in total.by_rule().items()}
    return {"edits": edits, "chars_in": books[0].chars_in, "chars_out": books[-1].chars_out,
            "rows": writers[0].rows, "language_model": cleaner.identifier.name,
            **(cutter.counts() if cutter else {})}  # fmt: skip


class _Cleaner:
    """What one part is cleaned with, and its books."""

    def __init__(self, inputs: list[Path], parameters: dict[str, Any]) -> None:
        self.where = inputs[0]
        self.options = from_table(
            NormalizeOptions, parameters.get("normalize", {}), where="normalize"
        )
        language = from_table(LanguageOptions, parameters.get("language", {}), where="language")
        self.identifier = Identifier(language, model=inputs[1] if len(inputs) > 1 else None)
        edit = parameters.get("edit")
        self.cutter = LineCutter(edit, self.identifier) if edit else None
        self.total = Edits(RULES)

    def clean(self, batch: pa.RecordBatch) -> list[pa.Table]:
        """The documents of a batch; with a cutter also the diff and what is dropped."""
        looked: list[Looked] = []
        judged: list[tuple[Spans, Spans]] = []

        def look(codes: Codes, bounds: Bounds) -> None:
            looked.append(self.identifier.look(codes, bounds))
            if self.cutter:
                judged.append(self.cutter.judge.look(codes, bounds))

        text, edits = normalize(batch.column("text"), self.options, where=self.where, look=look)
        self.total.add(edits)
        filled = _filled(batch, text, Found.of(looked))
        if not self.cutter:
            return [pa.Table.from_batches([filled])]
        return list(self.cutter.clean(filled, judged))


def _filled(batch: pa.RecordBatch, text: pa.LargeStringArray, found: Found) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= {
        "text": text,
        "lang": found.lang,
        "lang_score": found.score,
        "script": found.script,
        "n_chars": pa.array(found.n_chars),
        "n_bytes": pa.array(np.diff(text_buffer(text)[1])),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
