"""Where sentences end, in Chinese and in English: tables for the kernel that cuts them."""

from functools import cache
from typing import Final

import numpy as np

from .span_kernels import ASKS, CLOSES, ENDS, STOP, Keys
from .utf8 import Bytes

ALWAYS: Final = "。！？…｡‼⁇⁈⁉"
"""End a sentence wherever they stand, in a run (``……``, ``？！``) with its last."""
CLOSERS: Final = "”’」』）】》〉〕)]\"'＂＇"
"""Belong to the sentence that ends right before them."""
ABBREVIATIONS: Final = (
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "rev", "gen", "col", "capt", "lt",
    "sgt", "gov", "sen", "rep", "hon", "messrs", "vs", "etc", "e.g", "i.e", "cf", "al", "viz",
    "approx", "vol", "vols", "fig", "figs", "eq", "sec", "ch", "pp", "p",
    "ed", "eds", "trans", "dept", "univ", "inc", "ltd", "co", "corp", "bros", "ave", "blvd", "rd",
    "u.s", "u.k", "u.n", "a.m", "p.m", "ph.d", "b.a", "m.a", "d.c", "jan", "feb", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
)  # fmt: skip
"""A full stop after these ends nothing. Written for this project from English usage."""


@cache
def sentence_classes() -> Bytes:
    """What each character below 0x10000 does at the end of a sentence, uint8 ``[0x10000]``."""
    table = np.zeros(0x10000, np.uint8)
    for marks, what in ((ALWAYS, ENDS), ("!?", ASKS), (".", STOP), (CLOSERS, CLOSES)):
        table[[ord(mark) for mark in marks]] = what
    return table


@cache
def abbreviations() -> Keys:
    """The abbreviations, packed as the kernel packs a word, sorted, uint64."""
    packed = [int.from_bytes(word.encode("ascii"), "big") for word in ABBREVIATIONS]
    return np.sort(np.array(packed, np.uint64))
