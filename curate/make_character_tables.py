"""Make the package data of :mod:`yanmo.curate.character_tables` anew: ``python -m`` this module.

Apart from it, since what a task imports is part of its key: a step that asks for the class of a
character does not depend on ftfy, nor on the rules of other steps.
"""

import unicodedata
from typing import Any

import numpy as np

from yanmo.code_identity import version_of

from . import characters, edits, line_classes, mojibake, scripts
from .character_tables import FILE, two_stage


def _write() -> None:
    kept: dict[str, Any] = {}
    for name, flat in (
        ("classes", characters.all_classes()),
        ("scripts", scripts.all_scripts()),
        ("edits", edits.all_edits()),
    ):
        kept[f"{name} index"], kept[f"{name} blocks"] = two_stage(flat)
        kept[f"{name} for"] = unicodedata.unidata_version
    own, behind = mojibake.all_categories()
    for name, table, version in (
        ("lines", line_classes.all_classes(), unicodedata.unidata_version),
        ("mojibake own", own, version_of("ftfy")),
        ("mojibake behind", behind, version_of("ftfy")),
    ):
        starts = np.flatnonzero(np.diff(table.astype(np.int64), prepend=-1))
        kept[f"{name} values"] = table[starts]
        kept[f"{name} lengths"] = np.diff(starts, append=len(table)).astype(np.int32)
        kept[f"{name} for"] = version
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    _write()
