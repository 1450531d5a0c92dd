"""Personal data of people in China and elsewhere: found, rewritten, and put on the ledger.

What is found, and what makes it more than a row of digits:

``email``      a local part, an at sign, a domain that ends in letters and names no file
``ip``         public IPv4 and IPv6; no private or reserved range, no number of a version
``mobile``     11 digits from 13 to 19, plain or 3-4-4, with or without +86
``landline``   an area code set off from seven or eight digits
``id_card``    18 digits: province, date of birth and check digit are right
``bank_card``  16 to 19 digits: an issuer's prefix, and the Luhn check digit is right
``plate``      a licence plate of the mainland
``wechat``     an account after 微信, 微信号, V信, vx, wx, WeChat
``qq``         5 to 11 digits after QQ or 扣扣

``mask`` puts ``*`` in the place of letters, digits and hanzi, ``replace`` a label such as
``[MOBILE]``, ``drop`` nothing. Of what was there only the type, the place and, with a salt, a keyed
hash are kept. The texts before this step stay in the cache, in ``dropped`` and in ``quarantine``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import SCHEMA, PartWriter, iterate
from yanmo.recipe import from_table, setting

from .character_ledger import Edits
from .pii_addresses import TYPES, Marks, find_addresses, starts
from .pii_cues import cue_starts, find_cues, merge_marks
from .pii_numbers import find_numbers
from .pii_rewrite import character_spans, count_characters, rewrite
from .utf8 import Bounds, Bytes, chunks, text_buffer

ACTIONS: Final = ("off", "mask", "replace", "drop")
SAME: Final = "action"
RULES: Final = tuple(f"pii_{name}" for name in TYPES)
"""Names of the types on the character ledger."""
LABELS: Final = (
    "[EMAIL]", "[IP]", "[MOBILE]", "[LANDLINE]", "[ID_CARD]", "[BANK_CARD]", "[PLATE]", "[WECHAT]",
    "[QQ]",
)  # fmt: skip
BATCH_ROWS: Final = 1024
_DIGIT_STARTS: Final = np.isin(np.arange(256), [*range(0x30, 0x3A), 0xEF]).astype(np.uint8)

PII_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        ("hash", pa.string()),
    ]
)
"""One row a find: ``start`` and ``end`` are code points of the text before this step."""


def _choice(about: str) -> Any:
    return setting(SAME, choices=(SAME, *ACTIONS), help=about)


@dataclass(frozen=True)
class PiiOptions:
    """The ``[pii]`` table of a recipe: what becomes of personal data in the kept texts."""

    action: str = setting(
        "off", choices=ACTIONS, help="For every type that has no action of its own."
    )
    email: str = _choice("E-mail addresses.")
    ip: str = _choice("Public IP addresses.")
    mobile: str = _choice("Mobile numbers of the mainland.")
    landline: str = _choice("Telephone numbers with their area code.")
    id_card: str = _choice("18-digit resident IDs.")
    bank_card: str = _choice("Numbers of bank cards.")
    plate: str = _choice("Licence plates.")
    wechat: str = _choice("WeChat accounts after a cue.")
    qq: str = _choice("QQ numbers after a cue.")
    salt: str | None = setting(
        None, help="Key of the hashes in pii/; off: none. It stands in recipe.toml: keep it secret."
    )

    def actions(self) -> Bytes:
        """uint8 ``[len(TYPES)]``: place of each type's action in ``ACTIONS``."""
        chosen = [getattr(self, name) for name in TYPES]
        return np.array([ACTIONS.index(self.action if c == SAME else c) for c in chosen], np.uint8)

    @property
    def is_on(self) -> bool:
        """Whether any type is acted on."""
        return bool(self.actions().any())


@dataclass(frozen=True)
class Masked:
    """A text column without personal data.

    Attributes:
        text: ``large_string``, in order.
        n_chars: code points of each text, int64 ``[D]``.
        spans: int64 ``[H, 4]``: row, first code point, code point after the last, type; in order.
        hashes: one a span; None without a salt.
        edits: the ledger.
    """

    text: pa.LargeStringArray
    n_chars: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    hashes: list[str | None]
    edits: Edits


def mask_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Rewrite the personal data of a part.

    Args:
        inputs: the part (document table).
        parameters: ``pii``, the table of ``PiiOptions``.
        out: gets ``documents.parquet`` and ``pii.parquet`` (``PII_SCHEMA``).

    Returns:
        ``{"rows", "documents", "found": {type: n}, "edits", "chars_in", "chars_out"}``; documents
        are those in which something was found.

    Raises:
        LedgerError: the characters do not balance.
    """
    options = from_table(PiiOptions, parameters["pii"], where="pii")
    total = Edits(RULES)
    touched, found = 0, np.zeros(len(TYPES), np.int64)
    with (
        PartWriter(out / "documents.parquet", SCHEMA) as writer,
        PartWriter(out / "pii.parquet", PII_SCHEMA) as spans,
    ):
        for batch in iterate([inputs[0]], batch_rows=BATCH_ROWS):
            masked = mask(batch.column("text"), options)
            masked.edits.check(inputs[0])
            total.add(masked.edits)
            touched += len(np.unique(masked.spans[:, 0]))
            found += np.bincount(masked.spans[:, 3], minlength=len(TYPES))
            columns = {name: batch.column(name) for name in SCHEMA.names}
            columns |= {
                "text": masked.text,
                "n_chars": pa.array(masked.n_chars),
                "n_bytes": pa.array(np.diff(text_buffer(masked.text)[1])),
            }
            writer.write(pa.table(columns, schema=SCHEMA))
            spans.write(_span_table(batch.column("id"), masked))
    return {
        "rows": writer.rows,
        "documents": touched,
        "found": dict(zip(TYPES, found.tolist(), strict=True)),
        "edits": total.by_rule(),
        "chars_in": total.chars_in,
        "chars_out": total.chars_out,
    }


def _span_table(ids: pa.Array, masked: Masked) -> pa.Table:
    rows, starts_, ends, types = masked.spans.T
    columns = [ids.take(pa.array(rows)), pa.array(TYPES).take(pa.array(types)), pa.array(starts_),
               pa.array(ends), pa.array(masked.hashes, pa.string())]  # fmt: skip
    return pa.table(columns, schema=PII_SCHEMA)


def mask(column: pa.Array, options: PiiOptions) -> Masked:
    """Find and rewrite personal data in a text column.

    Args:
        column: ``string`` or ``large_string``; null is the empty text.
        options: what to do with what.

    Returns:
        The new column and what was found. Applying it again finds nothing.
    """
    buffer, offsets = text_buffer(column)
    edits = Edits(RULES)
    pieces: list[Bytes] = []
    sizes: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    spans: list[Marks] = [np.zeros((0, 4), np.int64)]
    hashes: list[str | None] = []
    for rows in chunks(offsets):
        bounds = offsets[rows.start : rows.stop + 1]
        edits.chars_in += int(count_characters(buffer, bounds).sum())
        data, ends, found, values = _settle(buffer, bounds, options, edits.counts)
        pieces.append(data[ends[0] : ends[-1]])
        sizes.append(np.diff(ends))
        found = character_spans(buffer, bounds, found)
        found[:, 0] += rows.start
        spans.append(found)
        hashes += [
            _keyed(options.salt, kind, v) for (*_, kind), v in zip(found, values, strict=True)
        ]
    ends = np.concatenate(([0], np.cumsum(np.concatenate(sizes))))
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
    n_chars = count_characters(data, ends)
    edits.chars_out = int(n_chars.sum())
    text = pa.LargeStringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(data)
    )
    return Masked(text, n_chars, np.concatenate(spans), hashes, edits)


def find(buffer: Bytes, offsets: Bounds) -> Marks:
    """Where personal data is, in order, without overlaps.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.

    Returns:
        int64 ``[H, 4]``: document, first byte, byte after the last, type (a place in ``TYPES``).
    """
    marks = find_addresses(buffer, offsets, starts())
    marks = merge_marks(marks, find_cues(buffer, offsets, cue_starts()))
    return find_numbers(buffer, offsets, _DIGIT_STARTS, marks)


def _find_in(buffer: Bytes, offsets: Bounds, rows: npt.NDArray[np.int64]) -> Marks:
    """As :func:`find`, in some of the documents only."""
    bounds = np.concatenate(([0], np.cumsum(offsets[rows + 1] - offsets[rows])))
    texts = [buffer[offsets[row] : offsets[row + 1]] for row in rows.tolist()]
    hits = find(np.concatenate(texts), bounds)
    hits[:, 1:3] += (offsets[rows] - bounds[:-1])[hits[:, 0]][:, None]
    hits[:, 0] = rows[hits[:, 0]]
    return hits


def _settle(
    buffer: Bytes, offsets: Bounds, options: PiiOptions, counts: npt.NDArray[np.int64]
) -> tuple[Bytes, Bounds, Marks, list[bytes]]:
    """Rewrite until nothing is found: a number may be free, or follow its cue, only afterwards."""
    actions = options.actions()
    labels = np.frombuffer("".join(LABELS).encode(), np.uint8)
    cuts = np.cumsum([0, *map(len, LABELS)], dtype=np.int64)
    back: list[Callable[[Marks], Marks]] = []
    everything: list[Marks] = []
    values: list[bytes] = []
    hits = find(buffer, offsets)
    while True:
        hits = hits[actions[hits[:, 3]] > 0]
        everything.append(hits)
        values += [buffer[start:end].tobytes() for _, start, end, _ in hits.tolist()]
        for step in reversed(back):
            everything[-1] = step(everything[-1])
        if not len(hits):
            break
        buffer, offsets, moved = rewrite(buffer, offsets, hits, actions, labels, cuts, counts)
        back.append(_Back(hits, moved))
        hits = _find_in(buffer, offsets, np.unique(hits[:, 0]))
    found = np.concatenate(everything)
    order = np.lexsort((found[:, 1], found[:, 0]))
    return buffer, offsets, found[order], [values[k] for k in order]


@dataclass(frozen=True)
class _Back:
    """From places in a rewritten buffer to places in the one before."""

    hits: Marks
    moved: npt.NDArray[np.int64]

    def __call__(self, marks: Marks) -> Marks:
        marks = marks.copy()
        marks[:, 1] = self._place(marks[:, 1])
        marks[:, 2] = self._place(marks[:, 2] - 1) + 1
        return marks

    def _place(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        before = np.searchsorted(self.moved[:, 0], at, side="right") - 1
        inside = np.maximum(before, 0)
        shift = np.where(before < 0, self.first, self.hits[inside, 2] - self.moved[inside, 1])
        place: npt.NDArray[np.int64] = at + shift
        return place

    @property
    def first(self) -> int:
        """Bytes before the first document of the chunk: the rewritten buffer begins with it."""
        return int(self.hits[0, 1] - self.moved[0, 0])


def _keyed(salt: str | None, kind: int, value: bytes) -> str | None:
    """128 bits of keyed BLAKE2b over the type and the value as it would be dialled."""
    if salt is None:
        return None
    text = value.decode("utf-8").translate(_FOLDED).lower()
    if TYPES[kind] not in ("email", "ip", "wechat"):
        text = "".join(c for c in text if c.isalnum())
    if TYPES[kind] in ("mobile", "landline"):
        text = text.removeprefix("0086").removeprefix("86").removeprefix("0")
    key = hashlib.blake2b(salt.encode()).digest()
    return hashlib.blake2b(f"{TYPES[kind]}\0{text}".encode(), digest_size=16, key=key).hexdigest()


_FOLDED: Final = {0xFF10 + k: 0x30 + k for k in range(10)} | {0xFF20: 0x40}
