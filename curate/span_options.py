"""What a recipe can say about spans of text that several documents hold: the ``[spans]`` table."""

from dataclasses import dataclass
from typing import Any, Final

from yanmo.recipe import setting

ACTIONS: Final = ("off", "report", "remove")
KINDS: Final = ("paragraphs", "lines", "sentences", "substrings")
"""In this order a removed character is put on the ledger: under the first kind that covers it."""
RULES: Final = tuple(f"duplicate_{kind}" for kind in KINDS)
RANGE_UNITS: Final = 1 << 22
"""Units in memory at a time: 112 MiB, and as much again while they are sorted."""
FOLDS: Final = ("folded", "letters", "exact")
TOO_SHORT: Final = "left_by_spans"
"""Rule of the funnel: too little is left of a document."""


def _action(about: str) -> Any:
    return setting("off", choices=ACTIONS, help=about)


@dataclass(frozen=True)
class SpanOptions:
    """The ``[spans]`` table: what becomes of spans that stand in more than one document."""

    lines: str = _action("Lines that many documents hold: report or remove them.")
    line_chars: int = setting(
        10, low=1, source="docs/duplicates.md",
        help="Shorter lines stay; white space does not count.",
    )  # fmt: skip
    line_documents: int = setting(
        7, low=2, source="Llama 3: lines that appear more than six times",
        help="Documents that must hold a line.",
    )  # fmt: skip
    paragraphs: str = _action("Paragraphs (between blank lines) that several documents hold.")
    paragraph_chars: int = setting(
        50, low=1, source="docs/duplicates.md", help="Shorter paragraphs stay."
    )
    paragraph_documents: int = setting(
        2, low=2, source="CCNet, Dolma: the second occurrence goes",
        help="Documents that must hold a paragraph.",
    )  # fmt: skip
    sentences: str = _action("Spans of sentences that occur more than once.")
    sentence_window: int = setting(3, low=1, high=32, source="C4", help="Sentences of a span.")
    sentence_chars: int | None = setting(
        None, low=1, source="C4 has no such limit", help="Shorter spans of sentences stay."
    )
    substrings: str = _action("Stretches of text, wherever they begin, that occur more than once.")
    substring_bytes: int = setting(
        200, low=16, source="Lee et al. 2022: 50 tokens, some 200 letters",
        help="UTF-8 bytes that a stretch must have; 200 are 67 hanzi.",
    )  # fmt: skip
    shard_bytes: int = setting(
        256 << 20, low=1 << 10, high=1 << 31, help="Bytes of text compared at once."
    )
    across_shards: bool = setting(
        True, help="Compare the halves of shards pair by pair: none is missed, but the cost grows "
        "with the square of their number. Off: within a shard only.",
    )  # fmt: skip
    fold: str = setting(
        "folded", choices=FOLDS,
        help="Lines and sentences are equal up to white space, width and case (folded), also up to "
        "punctuation (letters), or not at all (exact).",
    )  # fmt: skip
    keep_first: bool = setting(
        True, help="The first occurrence, in the order of duplicates.keep, stays."
    )
    min_chars: int | None = setting(
        50, low=1, source="datatrove SentenceDedup: 50 words",
        help="A document that was cut goes if fewer visible characters are left of it.",
    )  # fmt: skip

    def action(self, kind: str) -> str:
        """What becomes of a kind of spans."""
        return str(getattr(self, kind))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are looked for."""
        return tuple(kind for kind in KINDS if self.action(kind) != "off")

    @property
    def removes(self) -> bool:
        """Whether any kind is cut out."""
        return any(self.action(kind) == "remove" for kind in KINDS)

    def unit(self, kind: str) -> dict[str, Any]:
        """Parameters that cut texts into the units of a kind."""
        least = {"lines": self.line_chars, "paragraphs": self.paragraph_chars,
                 "sentences": self.sentence_chars or 1}  # fmt: skip
        window = {"window": self.sentence_window} if kind == "sentences" else {}
        return {"kind": kind, "fold": self.fold, "min_chars": least[kind], **window}

    def threshold(self, kind: str) -> dict[str, Any]:
        """Parameters that say which equal units count."""
        documents = {"lines": self.line_documents, "paragraphs": self.paragraph_documents}
        return {"min_documents": documents.get(kind, 1), "within": kind not in documents,
                "keep_first": self.keep_first}  # fmt: skip
