"""From pages to documents: decode, extract, and say what became of every page and character."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, document_id

from .blocked_pages import STEP as URL_STEP
from .blocked_pages import BlockedPages
from .encoding import decode_page
from .extract import Extracted, Extractor
from .ledger import Quarantine, Rejected
from .reasons import encoding_reason

STEP: Final = "extract"
EMPTY, TOO_LARGE = "no_main_content", "page_too_large"
MARKUP_CHARS: Final = 4000  # of a page without main text, kept to answer why


@dataclass
class Desk:
    """Turns batches of pages into documents and keeps the books of one task.

    Args:
        source: name of the input.
        licence: of its documents.
        extractor: main text of HTML pages.
        quarantine: takes pages that made the extractor fail twice.
    """

    source: str
    licence: str | None
    extractor: Extractor
    quarantine: Quarantine
    beyond_limit: int = 0
    chars_in: int = 0
    chars_quarantined: int = 0
    removed: int = 0
    added: int = 0
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    encodings: dict[str, int] = field(default_factory=dict)
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """The books, JSON-able."""
        return {
            "chars_in": self.chars_in,
            "chars_quarantined": self.chars_quarantined,
            "edits": {STEP: {"removed": self.removed, "added": self.added}},
            "dropped": self.dropped,
            "encodings": dict(sorted(self.encodings.items())),
        }

    def take(self, batch: pa.RecordBatch) -> pa.Table:
        """Documents of a batch of pages (PAGE_SCHEMA), in order; what is dropped waits aside."""
        if batch.column("text").null_count == 0:
            return self._documents(batch, batch.column("text"), pa.nulls(len(batch), pa.string()))
        texts, encodings, meta = self._extracted(batch)
        batch = batch.set_column(batch.schema.get_field_index("meta"), "meta", meta)
        alive = texts.is_valid()
        return self._documents(batch.filter(alive), texts.filter(alive), encodings.filter(alive))

    def leave_out(self, batch: pa.RecordBatch, blocked: BlockedPages) -> pa.RecordBatch:
        """The pages of the next batch that go on; the others are dropped as they came, undecoded.

        Characters of a page that came as bytes are never counted: nobody has decoded them.
        """
        rows, verdicts = blocked.next(batch.column("origin"))
        if not rows:
            return batch
        for row, verdict in zip(rows, verdicts, strict=True):
            chars = len(batch.column("text")[row].as_py() or "")
            self.chars_in += chars
            counts = self.dropped.setdefault(verdict["rule"], {"documents": 0, "chars": 0})
            counts["documents"] += 1
            counts["chars"] += chars
            origin = batch.column("origin")[row].as_py()
            self._rows.append({"id": document_id(self.source, origin), "source": self.source,
                               "origin": origin, "url": batch.column("url")[row].as_py(),
                               "step": URL_STEP, **verdict})  # fmt: skip
        keep = np.ones(batch.num_rows, np.bool_)
        keep[rows] = False
        return batch.filter(pa.array(keep))

    def give_dropped(self) -> pa.Table:
        """The rows dropped since the last call, in DROPPED_SCHEMA."""
        rows, self._rows = self._rows, []
        return pa.Table.from_pylist(rows, DROPPED_SCHEMA)

    def _documents(self, batch: pa.RecordBatch, text: pa.Array, encoding: pa.Array) -> pa.Table:
        origins = batch.column("origin").to_pylist()
        n_chars = pc.utf8_length(text).cast(pa.int64())
        if encoding.null_count == len(batch):  # handed on as text: nothing was extracted
            self.chars_in += pc.sum(n_chars).as_py() or 0
        nothing = pa.nulls(len(batch), pa.string())
        columns = {
            "id": pa.array([document_id(self.source, o) for o in origins], pa.string()),
            "text": text, "url": batch.column("url"),
            "source": pa.array([self.source] * len(batch), pa.string()),
            "licence": pa.array([self.licence] * len(batch), pa.string()),
            "origin": batch.column("origin"), "timestamp": batch.column("timestamp"),
            "lang": nothing, "lang_score": pa.nulls(len(batch), pa.float64()), "script": nothing,
            "encoding": pc.fill_null(encoding, "utf-8"), "n_chars": n_chars,
            "n_bytes": pc.binary_length(text).cast(pa.int64()), "meta": batch.column("meta"),
        }  # fmt: skip
        return pa.table(columns, schema=SCHEMA)

    def _extracted(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Text (null where there is none), encoding and meta of each page of a batch."""
        rows = batch.to_pylist()
        for row in rows:
            self._decode(row)
        html = [row for row in rows if row["media"] == "html"]
        found = self.extractor.extract([row["markup"] for row in html])
        for row, extracted in zip(html, found, strict=True):
            self._settle(row, extracted)
        for row in rows:
            if row["media"] != "html":
                row["text"] = row["markup"]
        return (
            pa.array([row["text"] for row in rows], pa.large_string()),
            pa.array([row["encoding"] for row in rows], pa.string()),
            pa.array([row["meta"] for row in rows], pa.string()),
        )

    def _decode(self, row: dict[str, Any]) -> None:
        """Set ``markup`` (the page as text) and ``encoding``; count the characters that came in."""
        if row["content"] is None:
            row["markup"], row["encoding"] = row["text"], "utf-8"
        else:
            decoded = decode_page(
                row["content"], http_charset=row["http_charset"], media=row["media"]
            )
            row["markup"], row["encoding"] = decoded.text, decoded.encoding
            row["meta"] = _with_field(row["meta"], "encoding", decoded.reason())
            label = f"{decoded.encoding} ({decoded.encoding_source})"
            self.encodings[label] = self.encodings.get(label, 0) + 1
        row["text"] = None
        self.chars_in += len(row["markup"])

    def _settle(self, row: dict[str, Any], extracted: Extracted) -> None:
        markup = row["markup"]
        if extracted.status == "ok":
            row["text"] = extracted.text
            # An extractor both cuts and writes; what counts is how much longer or shorter it got.
            change = len(extracted.text) - len(markup)
            self.added += max(0, change)
            self.removed += max(0, -change)
            row["meta"] = _with_field(row["meta"], "title", extracted.title)
        elif extracted.status == "empty":
            self.removed += len(markup)
            self._drop(row, EMPTY, 0)
        elif extracted.status == "too_large":
            self._drop(row, TOO_LARGE, len(markup))
        else:
            self.chars_quarantined += len(markup)
            self._reject(row, extracted)

    def _drop(self, row: dict[str, Any], rule: str, chars: int) -> None:
        counts = self.dropped.setdefault(rule, {"documents": 0, "chars": 0})
        counts["documents"] += 1
        counts["chars"] += chars
        self._rows.append(
            {"id": document_id(self.source, row["origin"]), "source": self.source,
             "origin": row["origin"], "url": row["url"], "step": STEP, "rule": rule,
             "value": float(chars), "threshold": None, "text": row["markup"][:MARKUP_CHARS],
             "encoding": row["encoding"], "encoding_reason": encoding_reason(row["meta"])}
        )  # fmt: skip

    def _reject(self, row: dict[str, Any], extracted: Extracted) -> None:
        file, _, offset = row["origin"].rpartition("#")
        raw = row["content"] if row["content"] is not None else row["markup"].encode()
        self.quarantine.add(
            Rejected(source=self.source, file=file, offset=int(offset), length=len(raw),
                     kind=f"extract-{extracted.status}", error=extracted.error, raw=raw, step=STEP)
        )  # fmt: skip


def _with_field(meta: str, name: str, value: Any) -> str:
    """Add a field that has a value and that the input does not have itself."""
    if not value:
        return meta
    fields = json.loads(meta)
    if name in fields:
        return meta
    return json.dumps({**fields, name: value}, ensure_ascii=False, separators=(",", ":"))
