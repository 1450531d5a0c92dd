"""Tokenizers side by side over one text, as one page that can be mailed.

The page holds the text, the tokens of each tokenizer over it, and every entry that a merge tree
of theirs can show, as JSON; a script draws it. No text of the user is ever markup.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

from yanmo.errors import DataError

from .derivations import Derivation
from .differences import Change, Cut, Outside, changes, cuts, outside_han
from .entries import Entries
from .labels import tokenizer_labels
from .load import Tokenizer
from .spans import Span, clusters, spans_of
from .surfaces import surfaces_of

MOST_CHARS: Final = 10_000
"""Characters shown unless told otherwise; with five tokenizers a page of some 30 000 tokens."""
ROW_CHARS: Final = 120  # a row ends with a sentence from here on, and anywhere at four times it
_ROW_END: Final = re.compile(r"\n|[。！？；!?](?!\n)|\.(?= )")
# What must not stand in a page as it is: ends of elements, controls, directions, noncharacters.
_RISKY: Final = re.compile(
    "[<>&\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
)


@dataclass(frozen=True)
class Panel:
    """One tokenizer over the text.

    Attributes:
        tokenizer: it.
        name: what it is called here; no two panels have the same.
        text: the text.
        entries: what is known of its entries.
        spans: its tokens.
        only_here: ids of entries that the base lacks (empty without a base, and for the base).
        found: where it cuts differently from the base, in order; ``None`` without a base.
        outside: what became of text without hanzi; ``None`` without a base.
    """

    tokenizer: Tokenizer
    name: str
    text: str
    entries: Entries
    spans: list[Span]
    only_here: frozenset[int] = frozenset()
    found: list[Change] | None = None
    outside: Outside | None = None

    @cached_property
    def groups(self) -> list[list[int]]:
        """Positions of tokens that share a character, together."""
        return clusters(self.spans)

    @cached_property
    def cuts(self) -> list[Cut]:
        """The tokens as the differences compare them."""
        return cuts(self.spans, [self.entries[s.index].surface for s in self.spans])

    @cached_property
    def changed(self) -> list[int]:
        """Positions of the first tokens of groups whose text the normaliser changed."""
        return [group[0] for group in self.groups if self._is_changed(group)]

    def _is_changed(self, group: list[int]) -> bool:
        spans = [self.spans[k] for k in group]
        start, end = spans[0].start, max(span.end for span in spans)
        entries = [self.entries[span.index] for span in spans]
        if start == end or any(entry.type == "unknown" for entry in entries):
            return False
        made = b"".join(entry.surface for entry in entries).decode("utf-8", errors="replace")
        text = self.text[start:end]
        # A space in front of the text is put in, it changes nothing.
        return made != text and not (start == 0 and made == " " + text)

    def numbers(self) -> dict[str, Any]:
        """Counts over the text.

        Returns:
            ``tokens``, ``chars_per_token``, ``bytes_per_token``, ``byte_tokens`` (bytes and parts
            of characters), ``unknown`` tokens, ``lost_chars`` behind them, ``changed`` places,
            ``not_in_a_token`` (characters other than white space).
        """
        tokens = max(len(self.spans), 1)
        types = [self.entries[span.index].type for span in self.spans]
        lost = [s for s, t in zip(self.spans, types, strict=True) if t == "unknown"]
        covered = {k for span in self.spans for k in range(span.start, span.end)}
        return {
            "tokens": len(self.spans),
            "chars_per_token": len(self.text) / tokens,
            "bytes_per_token": len(self.text.encode("utf-8")) / tokens,
            "byte_tokens": sum(t in ("byte", "part of a character") for t in types),
            "unknown": len(lost),
            "lost_chars": sum(span.end - span.start for span in lost),
            "changed": len(self.changed),
            "not_in_a_token": sum(
                k not in covered and not c.isspace() for k, c in enumerate(self.text)
            ),
        }


def build(tokenizers: Sequence[Tokenizer], text: str, *, base: int | None = None) -> list[Panel]:
    """Encode a text with every tokenizer.

    Args:
        tokenizers: at least one.
        text: not empty.
        base: which of them the others are compared with.

    Raises:
        DataError: the text is empty or not Unicode.
    """
    if not text:
        raise DataError("the text is empty", fix="Give a text, or a file with --text.")
    panels = [
        Panel(tokenizer, name, text, Entries(tokenizer), spans_of(tokenizer, text))
        for tokenizer, name in zip(tokenizers, tokenizer_labels(tokenizers), strict=True)
    ]
    if base is None:
        return panels
    ground = panels[base]
    known = known_entries(ground.tokenizer)
    return [
        panel if number == base else _against(panel, ground, known)
        for number, panel in enumerate(panels)
    ]


def known_entries(tokenizer: Tokenizer) -> set[tuple[bytes, bool]]:
    """What a vocabulary has: bytes, and whether they continue a word (WordPiece)."""
    return {
        (surface, (tokenizer.id_to_piece(index) or "").startswith("##"))
        for index, surface in enumerate(surfaces_of(tokenizer))
    }


def _against(panel: Panel, ground: Panel, known: set[tuple[bytes, bool]]) -> Panel:
    found = changes(ground.cuts, panel.cuts, len(panel.text))
    used = {span.index for span in panel.spans}
    new = {
        index for index in used
        if (panel.entries[index].surface, panel.entries[index].piece.startswith("##")) not in known
    }  # fmt: skip
    return replace(
        panel, only_here=frozenset(new), found=found, outside=outside_han(panel.text, found)
    )


def row_starts(text: str) -> list[int]:
    """Where the rows of the page start: at lines, and inside long lines at sentences.

    Args:
        text: the text.
    """
    starts, start = [0], 0
    for match in _ROW_END.finditer(text):
        at = match.end()
        if match[0] == "\n" or at - start >= ROW_CHARS:
            starts += range(start + 4 * ROW_CHARS, at, 4 * ROW_CHARS)
            starts.append(at)
            start = at
    starts += range(start + 4 * ROW_CHARS, len(text), 4 * ROW_CHARS)
    return [at for at in starts if at < len(text)] or [0]


def page_data(panels: Sequence[Panel], base: int | None, words: dict[str, str]) -> dict[str, Any]:
    """What the script of the page draws.

    Args:
        panels: of :func:`build`.
        base: as there.
        words: English to Chinese, for the script.
    """
    return {
        "text": panels[0].text,
        "rows": row_starts(panels[0].text),
        "base": base,
        "panels": [_panel_data(panel, panels, base) for panel in panels],
        "words": words,
    }


def _panel_data(panel: Panel, panels: Sequence[Panel], base: int | None) -> dict[str, Any]:
    counts = Counter(span.index for span in panel.spans)
    ratio = panel.numbers()["chars_per_token"]
    return {
        "name": panel.name,
        "kind": panel.tokenizer.kind,
        "ratio": f"{ratio:.2f}",
        "whole": panel.entries.ignores_merges,
        "ids": [span.index for span in panel.spans],
        "starts": [span.start for span in panel.spans],
        "ends": [span.end for span in panel.spans],
        "groups": [group[0] for group in panel.groups],
        "changed": panel.changed,
        "differs": _differs(panel, panels) if base is not None else None,
        "entries": {
            str(index): _entry_data(panel, index, counts[index]) for index in closure(panel)
        },
    }


def _differs(panel: Panel, panels: Sequence[Panel]) -> list[int]:
    """For each token 1 where base and other cut differently, 2 where no hanzi is involved."""
    marks = [0] * len(panel.spans)
    for other in panels if panel.found is None else [panel]:
        broken = set(other.outside.changed) if other.outside else set()
        for change in other.found or []:
            for k in change.old if panel.found is None else change.new:
                marks[k] = max(marks[k], 2 if change in broken else 1)
    return marks


def closure(panel: Panel) -> list[int]:
    """Ids of the text's tokens and of everything their merge trees are made of."""
    waiting = sorted({span.index for span in panel.spans})
    found = set(waiting)
    while waiting:
        made_of = panel.entries[waiting.pop()].made_of
        if not isinstance(made_of, Derivation):
            continue
        for part in (made_of.left, made_of.right):
            index = panel.entries.index_of(part)
            if index is not None and index not in found:
                found.add(index)
                waiting.append(index)
    return sorted(found)


def _entry_data(panel: Panel, index: int, count: int) -> list[Any]:
    entry = panel.entries[index]
    left = right = parts = None
    if isinstance(entry.made_of, Derivation):
        left, right = (
            part if found is None else found
            for part in (entry.made_of.left, entry.made_of.right)
            for found in (panel.entries.index_of(part),)
        )
    elif entry.made_of is not None:
        parts = entry.made_of
    evidence = {_EVIDENCE_NAMES[name]: value for name, value in entry.evidence.items()}
    return [
        entry.piece, entry.surface.hex(), entry.type, entry.score, entry.rank, left, right, parts,
        entry.instead, evidence or None, index in panel.only_here, count,
    ]  # fmt: skip


_EVIDENCE_NAMES: Final = {
    "why": "added because",
    "count": "times in the corpus",
    "documents": "documents of the corpus",
    "domains": "sites of the corpus",
    "top_share": "share of the commonest site",
}


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element or turns lines.

    Args:
        data: JSON of this page.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _RISKY.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def asset(name: str) -> str:
    """A file of the page's own script or style."""
    return files("yanmo.vocab").joinpath("data", name).read_text(encoding="utf-8")
