"""Normalisation that is safe for Chinese.

What each rule does, in order; every character it takes or adds is on the ledger under its name:

``mojibake``         UTF-8 that was read as Windows-1252 and the like is undone (ftfy)
``line_breaks``      CR LF, CR, VT, FF, NEL, U+2028, U+2029 become LF
``control``          control characters, terminal escapes and noncharacters go
``invisible``        U+200B, U+200E/F, U+2060, U+FEFF, soft hyphens, U+FFFC go; ZWJ and ZWNJ stay
                     after a letter of a script that spells with them, ZWJ also between emoji
``indent``           full-width spaces at the start of a line go: they only indent a paragraph
``spaces``           other full-width, no-break and typographic spaces become a space
``width``            full-width letters and digits become ASCII; punctuation is never touched
``nfc``              Unicode normal form C. Not KC: it makes ， a comma and … three dots
``hanzi_spaces``     ``关 于 召 开`` loses its spaces; ``北京 上海`` keeps them, see ``edits``
``trailing_spaces``  spaces and tabs at the end of a line go
``blank_lines``      more than one blank line becomes one; none at the ends of a document
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.errors import DataError
from yanmo.recipe import setting

from .character_ledger import Edits
from .convert_choices import CONVERSIONS
from .edits import RULES, Counts, edit_characters, edit_lines, encode, table
from .mojibake import repair, suspects
from .utf8 import Bounds, Codes, chunks, decode, text_buffer

_ROUNDS: Final = 8
"""A text needs a second round only if an edit brought two telltale characters together, and no real
one has needed a third."""


@dataclass(frozen=True)
class NormalizeOptions:
    """The ``[normalize]`` table of a recipe."""

    fix_mojibake: bool = setting(
        True, source="FineWeb-2", help="Undo UTF-8 that was read as another encoding (ftfy)."
    )
    nfc: bool = setting(True, help="Unicode normal form C.")
    close_hanzi: bool = setting(
        True, help="Delete the spaces where hanzi are spaced one by one (关 于 召 开)."
    )
    convert: str = setting(
        "off", choices=CONVERSIONS, source="OpenCC: t2s, s2t, s2tw, s2hk",
        help="Turn documents in the other script to simplified hanzi, or to traditional ones "
        "(OpenCC's, Taiwan's, Hong Kong's); no text with kana.",
    )  # fmt: skip


def normalize(
    column: pa.Array,
    options: NormalizeOptions | None = None,
    *,
    where: object = None,
    look: Callable[[Codes, Bounds], None] | None = None,
) -> tuple[pa.LargeStringArray, Edits]:
    """Normalise a text column.

    Args:
        column: ``string`` or ``large_string``, no nulls.
        options: which optional rules apply.
        where: what to call the column in an error.
        look: is shown the code points of the edited documents, some after the others, with their
            bounds; what it wants to know of them need not be decoded again.

    Returns:
        The edited column, in the same order, and the character ledger. Applying it again changes
        nothing.

    Raises:
        DataError: the column is not UTF-8.
    """
    options = options or NormalizeOptions()
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(f"the text is not UTF-8: {error}", where=where) from None
    buffer, offsets = text_buffer(column)
    edits = Edits(RULES)
    pieces: list[npt.NDArray[np.uint8]] = []
    sizes: list[npt.NDArray[np.int64]] = []
    for rows in chunks(offsets):
        codes, bounds = decode(buffer, offsets[rows.start : rows.stop + 1])
        edits.chars_in += len(codes)
        codes, bounds = _settle(codes, bounds, options, edits.counts)
        edits.chars_out += len(codes)
        if look is not None:
            look(codes, bounds)
        data, ends = encode(codes, bounds)
        pieces.append(data)
        sizes.append(np.diff(ends))
    return _strings(pieces, sizes), edits


def _strings(
    pieces: list[npt.NDArray[np.uint8]], sizes: list[npt.NDArray[np.int64]]
) -> pa.LargeStringArray:
    offsets = np.zeros(sum(map(len, sizes)) + 1, np.int64)
    if sizes:
        np.cumsum(np.concatenate(sizes), out=offsets[1:])
    data = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data)
    )


def _settle(
    codes: Codes, bounds: Bounds, options: NormalizeOptions, counts: Counts
) -> tuple[Codes, Bounds]:
    """Edit, and again those documents where the edits exposed mojibake."""
    if options.fix_mojibake:
        flags = suspects(codes, bounds)
        codes, bounds = _rewrite(codes, bounds, flags, repair, counts[RULES.index("mojibake")])
    codes, bounds = _edit(codes, bounds, options, counts)
    if not options.fix_mojibake:
        return codes, bounds
    flags = suspects(codes, bounds)

    def again(text: str) -> str:
        for _ in range(_ROUNDS):
            fixed = repair(text)
            if fixed == text:
                break
            counts[RULES.index("mojibake")] += _changed(text, fixed)
            points = _points(fixed)
            edges = np.array([0, len(points)], np.int64)
            text = _text(_edit(points, edges, options, counts)[0])
        return text

    return _rewrite(codes, bounds, flags, again, None)


def _edit(
    codes: Codes, bounds: Bounds, options: NormalizeOptions, counts: Counts
) -> tuple[Codes, Bounds]:
    codes, bounds, composes = edit_characters(codes, bounds, *table(), counts)
    if options.nfc:

        def compose(text: str) -> str:
            return unicodedata.normalize("NFC", text)

        codes, bounds = _rewrite(codes, bounds, composes, compose, counts[RULES.index("nfc")])
    return edit_lines(codes, bounds, options.close_hanzi, counts)


def _rewrite(
    codes: Codes,
    bounds: Bounds,
    flags: npt.NDArray[np.bool_],
    function: Callable[[str], str],
    counts: npt.NDArray[np.int64] | None,
) -> tuple[Codes, Bounds]:
    """Put flagged documents through a function of Python strings, and count what it changed."""
    changed: dict[int, Codes] = {}
    for document in np.flatnonzero(flags).tolist():
        before = _text(codes[bounds[document] : bounds[document + 1]])
        after = function(before)
        if after != before:
            changed[document] = _points(after)
            if counts is not None:
                counts += _changed(before, after)
    if not changed:
        return codes, bounds
    pieces, done = [], 0
    lengths = np.diff(bounds)
    for document, points in changed.items():
        pieces += [codes[bounds[done] : bounds[document]], points]
        lengths[document] = len(points)
        done = document + 1
    pieces.append(codes[bounds[done] :])
    return np.concatenate(pieces), np.concatenate(([0], np.cumsum(lengths)))


def _text(codes: Codes) -> str:
    return codes.astype("<i4").tobytes().decode("utf-32-le")


def _points(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le"), "<i4").astype(np.int32)


def _changed(before: str, after: str) -> tuple[int, int]:
    """Characters removed and added between two texts with the same number of lines.

    What a line has in common at both ends does not count.
    """
    removed = added = 0
    for old, new in zip(before.split("\n"), after.split("\n"), strict=True):
        if old != new:
            same = _common(_points(old), _points(new))
            removed += len(old) - same
            added += len(new) - same
    return removed, added


def _common(old: Codes, new: Codes) -> int:
    """Length of the common prefix and of the common suffix beyond it."""
    shorter = min(len(old), len(new))
    differs = np.flatnonzero(old[:shorter] != new[:shorter])
    prefix = int(differs[0]) if len(differs) else shorter
    rest = shorter - prefix
    tails = old[::-1][:rest] != new[::-1][:rest]
    differs = np.flatnonzero(tails)
    return prefix + (int(differs[0]) if len(differs) else rest)
