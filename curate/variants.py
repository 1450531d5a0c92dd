"""Which hanzi are only simplified and which only traditional.

The tables are data (``data/hanzi_variants.txt``), made from OpenCC's dictionaries and two national
standards by ``python -m yanmo.curate.variants``: a character is *simplified only* if OpenCC gives
it another traditional form and Big5 (the Taiwanese standard) does not have it, so that 后 or 里,
which are both, count for neither; and *traditional only* the other way round, with GB 2312.
"""

from functools import cache
from importlib.resources import files
from typing import Final

HANZI: Final = (0x4E00, 0xA000)
"""The block that is looked at; rarer hanzi decide nothing."""

_FILE: Final = "hanzi_variants.txt"


@cache
def variants() -> tuple[str, str]:
    """The simplified-only and the traditional-only hanzi, each in code point order."""
    text = files("yanmo.curate").joinpath("data", _FILE).read_text(encoding="utf-8")
    lines = dict(line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return lines["simplified"], lines["traditional"]


def build() -> tuple[str, str]:
    """Derive both tables from OpenCC, Big5 and GB 2312."""
    from opencc import OpenCC

    to_traditional, to_simplified = OpenCC("s2t"), OpenCC("t2s")
    hanzi = [chr(code) for code in range(*HANZI)]
    # One character a line, so that no phrase of the dictionaries applies.
    lines = "\n".join(hanzi)
    traditional = to_traditional.convert(lines).split("\n")
    simplified = to_simplified.convert(lines).split("\n")
    new = {a for a, b in zip(hanzi, traditional, strict=True) if a != b and not _has("big5", a)}
    old = {a for a, b in zip(hanzi, simplified, strict=True) if a != b and not _has("gb2312", a)}
    # A handful of rare forms stand between the two (醖 is one step on the way from 醞 to 酝).
    return "".join(sorted(new - old)), "".join(sorted(old - new))


def _has(standard: str, character: str) -> bool:
    try:
        character.encode(standard)
    except UnicodeEncodeError:
        return False
    return True


def _write() -> None:
    from pathlib import Path

    only_simplified, only_traditional = build()
    head = (
        "# Hanzi that are only simplified or only traditional; see variants.py.\n"
        "# Derived from OpenCC's dictionaries (Apache-2.0, https://github.com/BYVoid/OpenCC).\n"
    )
    body = f"simplified\t{only_simplified}\ntraditional\t{only_traditional}\n"
    target = Path(__file__).parent / "data" / _FILE
    target.parent.mkdir(exist_ok=True)
    target.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    _write()
