"""A dialogue under the rules, and what a rule says of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from yanmo.message_records import INPUT_AT
from yanmo.messages import Message

from .instruct_recipe import CleanRecipe

AROUND: Final = 30
"""Characters shown before and behind a span."""


@dataclass(frozen=True)
class Hit:
    """Where a rule has something to say.

    Attributes:
        rule: its code.
        turn: number of the message.
        start: first code point of the span in the message's text.
        end: code point after its last.
        note: what was found, in words.
        put: what a fix puts there; None: nothing can be mended.
    """

    rule: str
    turn: int
    start: int
    end: int
    note: str = ""
    put: str | None = None


@dataclass
class Sample:
    """A dialogue being judged.

    Attributes:
        messages: the turns, as mended so far.
        fields: of the record, as in :class:`yanmo.message_records.Record`.
        recipe: thresholds.
        scores: columns of numbers from elsewhere.
    """

    messages: list[Message]
    fields: dict[str, Any]
    recipe: CleanRecipe
    scores: Mapping[str, Any] = field(default_factory=dict)
    _asked: dict[int, str] = field(default_factory=dict)

    def turns(self, role: str) -> Iterator[tuple[int, str]]:
        """Number and text of the turns of a role."""
        return ((n, m.content) for n, m in enumerate(self.messages) if m.role == role)

    def asked(self, turn: int) -> str:
        """All that the user and the system said before a turn."""
        if turn not in self._asked:
            said = (m.content for m in self.messages[:turn] if m.role in ("user", "system"))
            self._asked[turn] = "\n".join(said)
        return self._asked[turn]

    def instruction(self, turn: int) -> tuple[str, int]:
        """The question before an answer without the input of an Alpaca record; and its turn."""
        number = max((n for n, _ in self.turns("user") if n < turn), default=-1)
        if number < 0:
            return "", -1
        text, at = self.messages[number].content, self.fields.get(INPUT_AT)
        last = max(n for n, _ in self.turns("user"))
        return (text[:at] if isinstance(at, int) and number == last else text), number

    def chars(self) -> int:
        """Code points of all turns."""
        return sum(len(m.content) for m in self.messages)

    def score(self, column: str) -> float | None:
        """A score of the dialogue, from elsewhere or from the record; None if there is none."""
        value = self.scores.get(column, self.fields.get(column))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and value == value else None

    def edit(self, turn: int, hits: list[Hit]) -> list[Hit]:
        """Put in what hits of one turn say; those that overlap one before them are left.

        Returns:
            The hits that were applied.
        """
        text, pieces, at, done = self.messages[turn].content, [], 0, []
        border = self.fields.get(INPUT_AT)
        users = [n for n, _ in self.turns("user")]
        border = border if isinstance(border, int) and users and turn == users[-1] else None
        moved = 0
        for hit in sorted(hits, key=lambda h: (h.start, h.end)):
            whole = border is not None and hit.start == border and hit.end == len(text)
            if whole and not hit.put:  # all of the input goes, and the line end before it
                self.fields.pop(INPUT_AT)
                border = None
            crosses = border is not None and border > 0 and hit.start <= border < hit.end
            if hit.put is None or hit.start < at or crosses:
                continue
            pieces += [text[at : hit.start], hit.put]
            if border is not None and hit.end <= border:
                moved += len(hit.put) - (hit.end - hit.start)
            at = hit.end
            done.append(hit)
        if done:
            new = "".join([*pieces, text[at:]])
            self.messages[turn] = Message(self.messages[turn].role, new)
            if border is not None:
                self.fields[INPUT_AT] = border + moved
            self._asked.clear()
        return done


Rule = Callable[[Sample], Iterator[Hit]]


def excerpt(text: str, start: int, end: int, put: str | None = None) -> str:
    """A span with what is around it, marked; or what it becomes."""
    span = text[start:end] if put is None else put
    span = span if len(span) <= 4 * AROUND else f"{span[: 2 * AROUND]} … {span[-2 * AROUND :]}"
    head = "…" if start > AROUND else ""
    tail = "…" if len(text) - end > AROUND else ""
    return f"{head}{text[max(0, start - AROUND) : start]}⟦{span}⟧{text[end : end + AROUND]}{tail}"


def shown(text: Any) -> str:
    """A text on one line, control characters named."""
    return "".join(c if c.isprintable() else {"\n": "⏎"}.get(c, f"\\u{ord(c):04x}") for c in text)


def meta_of(fields: Mapping[str, Any], name: str) -> Any:
    """A field of a record, by its name without regard to case."""
    return next((v for k, v in fields.items() if k.lower() == name), None)
