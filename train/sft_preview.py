"""What a model will be shown, and which of it is trained: for the eye, before the first step."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from yanmo.vocab.load import Tokenizer

from .loss import IGNORED
from .sft_data import Corpus

OPEN: Final = "⟦"
CLOSE: Final = "⟧"
STYLE: Final = (
    "pre.dialogue{background:var(--paper);border:1px solid var(--line);padding:10px 12px}"
    "pre.dialogue mark{background:#cfe9d6;color:#14532d;border-radius:2px}"
    "@media(prefers-color-scheme:dark){pre.dialogue mark{background:#14532d;color:#d9f2e0}}"
)


@dataclass(frozen=True)
class Sample:
    """A dialogue as it is trained on.

    Attributes:
        id: its name.
        tokens, trained: how many.
        runs: texts in order, and whether each is trained.
    """

    id: str
    tokens: int
    trained: int
    runs: list[tuple[str, bool]]

    def text(self, *, colour: bool) -> str:
        """For a terminal: what is trained is green, or in brackets where there is no colour."""
        import click

        parts = [
            (click.style(text, fg="green") if colour else f"{OPEN}{text}{CLOSE}") if on else text
            for text, on in self.runs
        ]
        return f"{self.title}\n{''.join(parts).rstrip()}"

    @property
    def title(self) -> str:
        """One line about it."""
        return f"{self.id}: {self.trained} of {self.tokens} tokens are trained"

    def html(self) -> str:
        """For a page."""
        parts = (
            f"<mark>{html.escape(text)}</mark>" if on else html.escape(text)
            for text, on in self.runs
        )  # fmt: skip
        return f'<h3>{html.escape(self.title)}</h3><pre class="dialogue">{"".join(parts)}</pre>'

    def table(self) -> dict[str, Any]:
        """For JSON."""
        return {"id": self.id, "tokens": self.tokens, "trained": self.trained,
                "runs": [{"text": text, "trained": on} for text, on in self.runs]}  # fmt: skip


def samples(corpus: Corpus, tokenizer: Tokenizer, count: int) -> list[Sample]:
    """The first dialogues, from the very ids that are trained on."""
    return [_sample(corpus, tokenizer, number) for number in range(min(count, len(corpus)))]


def _sample(corpus: Corpus, tokenizer: Tokenizer, number: int) -> Sample:
    cut = slice(int(corpus.begins[number]), int(corpus.ends[number]))
    labels = corpus.labels[cut]
    trained = np.append(False, labels != IGNORED)
    # The last token, which is trained, is a label alone.
    ids = [*corpus.tokens[cut].tolist(), *labels[-1:].tolist()]
    runs = [
        (tokenizer.decode([i for i, _ in group], skip_special=False), bool(on))
        for on, group in groupby(zip(ids, trained.tolist(), strict=True), key=lambda pair: pair[1])
    ]
    return Sample(corpus.ids[number], len(ids), int(trained.sum()), runs)


def preview_text(shown: Sequence[Sample], *, colour: bool) -> str:
    """All samples for a terminal."""
    legend = "trained tokens are " + ("green" if colour else f"in {OPEN}{CLOSE}")
    return "\n\n".join([f"Preview: {legend}", *(s.text(colour=colour) for s in shown)])
