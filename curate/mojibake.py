"""Mojibake: UTF-8 that somebody read as Windows-1252 and wrote again (``ä¸­æ–‡`` for 中文).

ftfy repairs it, at 2 to 4 MB/s on Chinese. It changes a line only where its badness pattern finds
two (in one case one) of some 500 telltale characters side by side, so a kernel looks for such
neighbours first; the pattern and the repair see the few documents that have any.
"""

import re
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from yanmo.code_identity import version_of

from .character_tables import runs
from .utf8 import Bounds, Codes, kernel

Masks = npt.NDArray[np.uint16]
Flags = npt.NDArray[np.bool_]

_TABLE_END: Final = 0x10000  # all telltale characters lie in the first plane
_LIGATURE: Final = 1 << 15
_ALONE: Final = 1 << 14

# Which category may stand before which in a match of ftfy's badness pattern. A pair that only
# occurs together with another listed pair is left out; a pair too many costs time and nothing else.
_NEIGHBOURS: Final = {
    "bad": "bad lower_accented upper_accented box start_punctuation end_punctuation currency"
    " numeric law",
    "lower_accented": "bad upper_accented currency start_punctuation end_punctuation box",
    "upper_accented": "bad currency numeric law start_punctuation end_punctuation box kaomoji",
    "lower_common": "bad upper_accented",
    "upper_common": "bad",
    "box": "bad upper_accented lower_accented currency numeric law start_punctuation"
    " end_punctuation kaomoji",
    "end_punctuation": "bad upper_accented lower_accented currency box",
    "currency": "bad upper_accented lower_accented start_punctuation end_punctuation box",
    "numeric": "bad upper_accented lower_accented start_punctuation end_punctuation numeric box",
    "law": "bad end_punctuation box",
    "start_punctuation": "bad numeric box",
}
# Characters with patterns of their own; "*" is every category and the space.
_SPECIAL_NEIGHBOURS: Final = {
    "ÂÃÎÐØÙ√≈": "*",
    "àµ": "numeric",
    "‚": "upper_accented lower_accented kaomoji",
    "вВ": "dje",
    "β": "currency",
    "ВГРСΒΓΞΟ": "bad start_punctuation end_punctuation currency kaomoji numeric",
}
_EXTRA: Final = {"dje": "Ђ", "space": " "}


@cache
def tables() -> tuple[Masks, Masks]:
    """Categories of every telltale character, and the categories that are bad news behind it.

    Returns:
        Two uint16 ``[65536]`` arrays of bit sets.
    """
    version = version_of("ftfy")
    return (
        runs("mojibake own", lambda: all_categories()[0], version=version),
        runs("mojibake behind", lambda: all_categories()[1], version=version),
    )


def all_categories() -> tuple[Masks, Masks]:
    """:func:`tables` as the installed ftfy has its categories; importing it takes 0.04 s."""
    from ftfy.badness import MOJIBAKE_CATEGORIES

    characters = {name: _expand(spec) for name, spec in MOJIBAKE_CATEGORIES.items()} | _EXTRA
    singles = characters.pop("c1")
    bit = {name: 1 << place for place, name in enumerate(characters)}
    own, behind = np.zeros(_TABLE_END, np.uint16), np.zeros(_TABLE_END, np.uint16)
    for name, members in characters.items():
        followers = sum(bit[other] for other in _NEIGHBOURS.get(name, "").split())
        for character in members:
            own[ord(character)] |= bit[name]
            behind[ord(character)] |= followers
    for members, others in _SPECIAL_NEIGHBOURS.items():
        followers = sum(bit.values()) if others == "*" else sum(bit[o] for o in others.split())
        for character in members:
            behind[ord(character)] |= followers
    own[[ord(character) for character in singles]] |= _ALONE
    own[[ord("Œ"), ord("œ")]] |= _LIGATURE
    return own, behind


def _expand(spec: str) -> str:
    """A regular-expression character class as the characters that it holds."""
    out, rest = [], list(spec)
    while rest:
        first = rest.pop(0)
        if len(rest) >= 2 and rest[0] == "-":
            out += [chr(code) for code in range(ord(first), ord(rest[1]) + 1)]
            rest = rest[2:]
        else:
            out.append(first)
    return "".join(out)


def suspects(codes: Codes, bounds: Bounds) -> Flags:
    """Which documents have neighbours that ftfy's badness pattern could match.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Returns:
        bool ``[D]``; every document that ftfy would change is marked, most others are not.
    """
    flags = np.zeros(len(bounds) - 1, np.bool_)
    _suspects(codes, bounds, *tables(), flags)
    return flags


@kernel
def _suspects(  # noqa: C901
    codes: Codes, bounds: Bounds, own: Masks, behind: Masks, flags: Flags
) -> None:
    for document in range(len(bounds) - 1):
        bad_here = np.uint16(0)
        ligature = False
        i, end = bounds[document] - 1, bounds[document + 1]
        while i + 1 < end:
            i += 1
            code = codes[i]
            if ligature:
                if not (65 <= code <= 90 or 97 <= code <= 122):
                    flags[document] = True
                    break
                ligature = False
            if code < 0x80:
                if bad_here:
                    if code == 0x20 and own[code] & bad_here:
                        flags[document] = True
                        break
                    bad_here = np.uint16(0)
                while i + 17 < end:  # more ASCII is no news
                    together = np.int32(0)
                    for k in range(1, 17):
                        together |= codes[i + k]
                    if together >= 0x80:
                        break
                    i += 16
                continue
            if 0x4E00 <= code < 0xA000 or code >= 0x10000:  # hanzi and the planes tell nothing
                bad_here = np.uint16(0)
                continue
            mask = own[code]
            if mask & bad_here or mask & _ALONE:
                flags[document] = True
                break
            ligature = mask & _LIGATURE != 0
            bad_here = behind[code]


def repair(text: str) -> str:
    """Undo mojibake, line by line, and change nothing else.

    Source:
        ftfy 6 with the choices of FineWeb-2: character width (it "enforces" wrong punctuation on
        Chinese), quotes, ligatures and normalisation stay as they are. HTML entities also stay:
        pages have been parsed already, and in other texts they may be the subject.
    """
    from ftfy import TextFixerConfig, fix_text
    from ftfy.badness import is_bad

    config = TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    # Segments as ftfy cuts them, line ends included: its pattern looks one character ahead.
    lines = [line for line in re.split(r"(?<=\n)", text) if line]
    ends = np.cumsum([0, *map(len, lines)]).astype(np.int64)
    codes = np.frombuffer(text.encode("utf-32-le"), "<i4").astype(np.int32)
    for index in np.flatnonzero(suspects(codes, ends)).tolist():
        if is_bad(lines[index]):  # the pattern itself reads 3 MB/s: only what the kernel marked
            lines[index] = fix_text(lines[index], config)
    return "".join(lines)
