"""Reading the answer letter out of a model's own words.

The last statement counts: a model that weighs the options names several before it decides. Text
without a clear letter is ``None`` and counted as invalid; it is never guessed.
"""

import re
from typing import Final

_LETTER: Final = r"[（(【\[]?\s*([A-J])(?![A-Za-z])"
# Statements of an answer, in Chinese and English.
_STATED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"答案\s*(?:应该|应当|应)?\s*(?:是|为|选择|选)?\s*[:：]?\s*(?:选项)?\s*{_LETTER}",
        rf"(?:应该|应当|应|故|所以|因此)\s*选择?\s*[:：]?\s*(?:选项)?\s*{_LETTER}",
        rf"(?i:answer)\s*(?i:is|:)\s*:?\s*(?i:option)?\s*{_LETTER}",
    )
)
# Weaker: an option called right, or chosen.
_CALLED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z])([A-J])\s*(?:选项|项)?\s*(?:的说法)?\s*(?:是|为)?\s*(?:正确|对)的?(?!误)",
        rf"(?:正确的?)?选项\s*(?:是|为)\s*[:：]?\s*{_LETTER}",
        rf"选择?\s*{_LETTER}",
    )
)
_ALONE: Final = re.compile(r"(?<![A-Za-z])([A-J])(?![A-Za-z])")


def read_answer(text: str, letters: str) -> str | None:
    """The letter that a text settles on.

    Args:
        text: what the model wrote.
        letters: the letters that the question has.

    Returns:
        The last letter stated as the answer; failing that, the last one called right; failing that,
        the only letter that occurs at all; else ``None``.
    """
    for patterns in (_STATED, _CALLED):
        found = [match for pattern in patterns for match in pattern.finditer(text)]
        if found:
            letter = max(found, key=lambda match: match.start(1))[1]
            return letter if letter in letters else None
    alone = set(_ALONE.findall(text))
    return alone.pop() if len(alone) == 1 and alone <= set(letters) else None
