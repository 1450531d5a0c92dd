"""Rewards that can be verified: a rule, the response, and the data of the prompt's record.

A rule is a pure function ``(response, meta, argument) -> float``. One that cannot judge raises, and
the run stops: a missing answer is a mistake in the data, not a reward of zero.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean

Meta = Mapping[str, Any]
Rule = Callable[[str, Meta, str | None], float]
PREFIX: Final = "rule:"

_NUMBER = re.compile(r"[-−]?\d+(?:[,，]\d{3})*(?:\.\d+)?")
_LETTER = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")
_SENTENCE_END: Final = "。！？!?…"
_SENTENCE = re.compile(rf"[^{_SENTENCE_END}.]+(?:[{_SENTENCE_END}.]+|$)")
_CLOSERS: Final = "”’」』）)\"'"


def exact(response: str, meta: Meta, argument: str | None) -> float:
    """1 if the response is ``answer``, white space around it aside."""
    return float(response.strip() == _answer(meta).strip())


def numeric(response: str, meta: Meta, argument: str | None) -> float:
    """1 if the last number of the response equals ``answer``, to a millionth."""
    wanted = _number(_answer(meta))
    found = _NUMBER.findall(response)
    if not found:
        return 0.0
    return float(abs(_number(found[-1]) - wanted) <= 1e-6 * max(1.0, abs(wanted)))


def regex(response: str, meta: Meta, argument: str | None) -> float:
    """1 if the whole response matches the argument, or the record's ``pattern``."""
    pattern = meta.get("pattern") if argument is None else argument
    if not isinstance(pattern, str):
        raise ValueError("the record has no pattern, and the rule no argument")
    return float(re.fullmatch(pattern, response.strip(), re.DOTALL) is not None)


def choice(response: str, meta: Meta, argument: str | None) -> float:
    """1 if the first letter that stands alone is ``answer`` (A, B, C, D …)."""
    wanted, found = _answer(meta).strip().upper(), _LETTER.search(response)
    return float(found is not None and found[0] == wanted)


def share(response: str, meta: Meta, argument: str | None) -> float:
    """Share of the characters that are one of the argument's, or of the record's ``characters``."""
    wanted = meta.get("characters") if argument is None else argument
    if not isinstance(wanted, str) or not wanted:
        raise ValueError("the record names no characters, and the rule has no argument")
    return sum(c in wanted for c in response) / len(response) if response else 0.0


def tidy(response: str, meta: Meta, argument: str | None) -> float:
    """Share of sentences that were not said before; 0 if the last one is not closed."""
    text = response.strip()
    if not text.rstrip(_CLOSERS).endswith((*_SENTENCE_END, ".")):
        return 0.0
    sentences = [s.strip(_SENTENCE_END + _CLOSERS + ". \n") for s in _SENTENCE.findall(text)]
    sentences = [s for s in sentences if s]
    return len(set(sentences)) / len(sentences) if sentences else 0.0


RULES: Final[dict[str, Rule]] = {
    "exact": exact, "numeric": numeric, "regex": regex, "choice": choice, "share": share,
    "tidy": tidy,
}  # fmt: skip


def _answer(meta: Meta) -> str:
    if meta.get("answer") is None:
        raise ValueError("the record has no answer")
    return str(meta["answer"])


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("，", "").replace("−", "-"))


def is_rule(name: str) -> bool:
    """Whether a name is written as a rule, or is the name of one."""
    return name.startswith(PREFIX) or name.partition(":")[0] in RULES


class RuleReward:
    """A rule by its name, ``NAME`` or ``NAME:ARGUMENT``, with or without ``rule:`` in front.

    Raises:
        UsageError: there is no such rule.
    """

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix(PREFIX)
        key, colon, argument = self.name.partition(":")
        if key not in RULES:
            raise UsageError("no such rule", value=key, fix=did_you_mean(key, RULES))
        self._rule, self._argument = RULES[key], argument if colon else None
        if key == "regex" and colon:
            try:
                re.compile(argument)
            except re.error as error:
                raise UsageError(f"the pattern is no regular expression ({error})",
                                 value=argument) from None  # fmt: skip

    def __call__(self, response: str, meta: Meta, *, where: str) -> float:
        """The reward of a response.

        Raises:
            DataError: the rule cannot judge it, or gives no finite number; names the prompt.
        """
        try:
            value = float(self._rule(response, meta, self._argument))
        except Exception as error:
            raise DataError(
                f"the rule '{self.name}' failed ({error})", where=where, value=response,
                fix="A rule that fails stops the run; mend the record.",
            ) from error  # fmt: skip
        if value != value or value in (float("inf"), float("-inf")):
            raise DataError(f"the rule '{self.name}' gave no finite number", where=where,
                            value=value)  # fmt: skip
        return value
