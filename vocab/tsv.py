"""Tables as tab-separated values: one line a row, whatever the cells hold."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

# Tabs, all that some program takes for the end of a line, and the backslash that escapes them.
_ESCAPED: Final = re.compile(r"[\\\x00-\x1f\x7f\x85\u2028\u2029]")


def tsv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table as UTF-8; control characters and backslashes as Python escapes them."""
    lines = ("\t".join(_cell(value) for value in row) for row in (head, *rows))
    return ("\n".join(lines) + "\n").encode()


def _cell(value: object) -> str:
    return _ESCAPED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
