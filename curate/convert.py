"""Traditional to simplified hanzi and back, by OpenCC, where a document is in the other script.

A document is converted if its decisive hanzi are of the other kind (:mod:`yanmo.curate.scripts`,
also in a document that is mostly English) and it holds no kana: Japanese is never touched, nor a
text that mixes both scripts. OpenCC converts by phrases: 皇后 and 后 stay apart from 後.
"""

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .line_edits import with_columns
from .scripts import KANA, count_tokens, hanzi_kinds
from .utf8 import chunks, decode, text_buffer

RULE: Final = "convert"
_CONFIGS: Final = {"simplified": "t2s", "traditional": "s2t", "taiwan": "s2tw", "hongkong": "s2hk"}


@cache
def _converter(choice: str) -> Any:
    from opencc import OpenCC

    return OpenCC(_CONFIGS[choice])


def to_convert(column: pa.Array, choice: str) -> npt.NDArray[np.bool_]:
    """Which texts are in the other script, bool ``[D]``.

    Args:
        column: ``string`` or ``large_string``.
        choice: of ``CONVERSIONS``, not ``off``.
    """
    buffer, offsets = text_buffer(column)
    flags = np.zeros(len(offsets) - 1, np.bool_)
    other = "Hant" if choice == "simplified" else "Hans"
    for rows in chunks(offsets):
        counts = count_tokens(*decode(buffer, offsets[rows.start : rows.stop + 1]))
        flags[rows] = (hanzi_kinds(counts) == other) & (counts[:, KANA] == 0)
    return flags


def convert(table: pa.Table, choice: str) -> tuple[pa.Table, int, npt.NDArray[np.int64]]:
    """Convert the documents of a table that are in the other script.

    Args:
        table: a document table; ``text``, ``script`` and ``n_chars`` and ``n_bytes`` may change.
        choice: of ``CONVERSIONS``.

    Returns:
        The table, how many documents were converted, and int64 ``[2]``: characters removed and
        added.
    """
    counts = np.zeros(2, np.int64)
    if choice == "off":
        return table, 0, counts
    column = table["text"].combine_chunks()
    flags = to_convert(column, choice)
    if not flags.any():
        return table, 0, counts
    mask = pa.array(flags)
    before: list[str] = column.filter(mask).to_pylist()
    after = [_converter(choice).convert(text) for text in before]
    for old, new in zip(before, after, strict=True):
        counts += changed_characters(old, new)
    scripts = table["script"].combine_chunks()
    # "mixed" (hanzi in an English text) stays so.
    named = pc.and_(mask, pc.is_in(scripts, value_set=pa.array(["Hans", "Hant", "Hani"])))
    script = "Hans" if choice == "simplified" else "Hant"
    columns = {
        "text": pc.replace_with_mask(column, mask, pa.array(after, pa.large_string())),
        "script": pc.if_else(named, script, scripts),
        "n_chars": pc.replace_with_mask(table["n_chars"].combine_chunks(), mask,
                                        pa.array([len(text) for text in after], pa.int64())),
    }  # fmt: skip
    columns["n_bytes"] = pc.binary_length(columns["text"]).cast(pa.int64())
    return with_columns(table, **columns), len(after), counts


def changed_characters(before: str, after: str) -> tuple[int, int]:
    """Characters removed and added: those that differ where the length is equal, else by lines.

    OpenCC nearly always keeps the length; a line that it does not counts whole.
    """
    if len(before) == len(after):
        differ = int(np.count_nonzero(_points(before) != _points(after)))
        return differ, differ
    removed = added = 0
    for old, new in zip(before.split("\n"), after.split("\n"), strict=True):
        more = changed_characters(old, new) if len(old) == len(new) else (len(old), len(new))
        removed, added = removed + more[0], added + more[1]
    return removed, added


def _points(text: str) -> npt.NDArray[np.int32]:
    return np.frombuffer(text.encode("utf-32-le"), "<i4")
