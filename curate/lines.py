"""Lines that are no text: judged by named rules, cut, and kept as a diff.

``boilerplate_*``      navigation, credits, notices, calls to follow, in Chinese: phrases with the
                       length and the place that a line of theirs has (``data/line_phrases.tsv``)
``refinedweb_*``       RefinedWeb's line-wise corrections: counters ("3 likes"), numbers, capitals,
                       lone words; ``navigation`` cuts "read more" off a short line
``c4_*``               C4's: no terminal punctuation, few words, long words, JavaScript, policies,
                       and ``citation``, which cuts ``[1]`` out

In all of them a hanzi or kana is a word, and Chinese punctuation ends a sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.recipe import from_table, setting

from .character_ledger import Edits
from .convert import RULE as CONVERT
from .convert import convert
from .dropped_rows import dropped_rows
from .language import Identifier
from .line_classes import classes
from .line_edges import Lines, find_lines
from .line_edits import (
    CutText,
    Spans,
    changed_rows,
    cut_spans,
    identified_again,
    replaced,
)
from .line_kernels import judge_lines
from .line_phrases import FAMILIES, LAST_MENU_KIND, RULES, compiled
from .line_spans import span_words, spans_that_go
from .utf8 import Bounds, Bytes, Codes, chunks, decode, text_buffer

STEP: Final = "lines"
NOTHING_LEFT, EDITED = "no_text_left", "max_removed_word_fraction"
EDIT_RULES: Final = (*RULES, CONVERT)

_C4: Final = "C4 (Raffel et al. 2020), read for Chinese too"
_REFINED: Final = "RefinedWeb (Penedo et al. 2023), appendix G.2"


@dataclass(frozen=True)
class LineOptions:
    """The ``[lines]`` table of a recipe: which lines are cut out of documents."""

    boilerplate: tuple[str, ...] = setting(
        FAMILIES, choices=FAMILIES, source="docs/lines.md",
        help="Families of Chinese boilerplate phrases that take their lines.",
    )  # fmt: skip
    counters: bool = setting(
        True, source=_REFINED, help="Lines that are a number and what it counts: 3 likes, 12条评论."
    )
    navigation: bool = setting(
        False, source=_REFINED, help="Cut 'read more', 阅读全文 and the like out of short lines."
    )
    numeric: bool = setting(False, source=_REFINED, help="Lines that are digits only.")
    one_word: bool = setting(False, source=_REFINED, help="Lines of one word, or none.")
    max_uppercase_fraction: float | None = setting(
        None, low=0.0, high=1.0, source=_REFINED + ": 0.5 in DCLM's recipe",
        help="Greatest share of capitals in a line.",
    )  # fmt: skip
    terminal_punctuation: bool = setting(
        False, source=_C4, help="Lines that do not end a sentence."
    )
    min_words: int | None = setting(None, low=1, source=_C4 + ": 3", help="Least words of a line.")
    max_word_chars: int | None = setting(
        None, low=1, source=_C4 + ": 1000", help="Most characters of a word without hanzi."
    )
    javascript: bool = setting(False, source=_C4, help="Lines that speak of JavaScript.")
    policy: bool = setting(False, source=_C4, help="Lines on cookies, privacy, terms of use.")
    citations: bool = setting(False, source=_C4, help="Cut [1], [edit], [citation needed] out.")
    max_removed_word_fraction: float | None = setting(
        None, low=0.0, high=1.0, source=_REFINED + ": 0.05",
        help="A document that loses a larger share of its words is dropped.",
    )  # fmt: skip

    def on(self) -> Bytes:
        """uint8 ``[len(RULES)]``: which rules apply."""
        chosen = {f"boilerplate_{family}" for family in self.boilerplate}
        chosen |= {rule for rule, is_on in (
            ("refinedweb_counter", self.counters), ("refinedweb_navigation", self.navigation),
            ("refinedweb_uppercase", self.max_uppercase_fraction is not None),
            ("refinedweb_numeric", self.numeric), ("refinedweb_one_word", self.one_word),
            ("c4_terminal_punctuation", self.terminal_punctuation),
            ("c4_min_words", self.min_words is not None),
            ("c4_max_word_chars", self.max_word_chars is not None),
            ("c4_javascript", self.javascript), ("c4_policy", self.policy),
            ("c4_citation", self.citations),
        ) if is_on}  # fmt: skip
        return np.array([rule in chosen for rule in RULES], np.uint8)

    @property
    def is_on(self) -> bool:
        """Whether any rule applies."""
        return bool(self.on().any())


class LineJudge:
    """Says what the line rules take of documents.

    Args:
        options: which rules apply.
    """

    def __init__(self, options: LineOptions) -> None:
        self.counts_words = options.max_removed_word_fraction is not None
        self._on = options.on()
        self._book = compiled(tuple(np.flatnonzero(self._on).tolist()))
        facts = self._book.facts
        self._limits = np.array(
            [options.min_words or 0, options.max_word_chars or 0,
             options.max_uppercase_fraction or 0.0, facts[:, 3].max(initial=0),
             facts[facts[:, 1] <= LAST_MENU_KIND, 3].max(initial=0)], np.float64,
        )  # fmt: skip

    def look(self, codes: Codes, bounds: Bounds) -> tuple[Spans, Spans]:
        """Judge some documents.

        Args:
            codes, bounds: code points and the bounds of the documents.

        Returns:
            Spans as in :class:`CutText`, rows from 0; and int64 ``[D, 2]``: words of each document
            and of what goes, zeros unless ``max_removed_word_fraction`` is on.
        """
        book = self._book
        lines = Lines(
            *find_lines(codes, bounds, classes(), book.first, book.second, book.ascii_within,
                        self._limits[3])
        )  # fmt: skip
        fates = judge_lines(codes, bounds, lines, classes(), book, self._on, self._limits)
        found = spans_that_go(codes, bounds, lines, fates, classes(), book, self._on)
        words = np.zeros((len(bounds) - 1, 2), np.int64)
        if self.counts_words:
            words = span_words(codes, bounds, found, classes())
        return found, words


def joined(looked: Sequence[tuple[Spans, Spans]]) -> tuple[Spans, Spans]:
    """What was found chunk by chunk, as of one column."""
    spans, words = [np.zeros((0, 4), np.int64)], [np.zeros((0, 2), np.int64)]
    row = 0
    for found, counted in looked:
        found[:, 0] += row
        row += len(counted)
        spans.append(found)
        words.append(counted)
    return np.concatenate(spans), np.concatenate(words)


def cut_lines(column: pa.Array, options: LineOptions) -> tuple[CutText, Spans]:
    """Apply the line rules to a text column.

    Args:
        column: ``string`` or ``large_string``; null is the empty text.
        options: which rules apply.

    Returns:
        The texts without what the rules take (numbers of rules are places in ``RULES``), and int64
        ``[D, 2]``: words of each document and of what went; zeros unless
        ``max_removed_word_fraction`` is on.
    """
    buffer, offsets = text_buffer(column)
    judge = LineJudge(options)
    looked = [judge.look(*decode(buffer, offsets[rows.start : rows.stop + 1]))
              for rows in chunks(offsets)]  # fmt: skip
    spans, words = joined(looked)
    return cut_spans(buffer, offsets, spans), words


class LineCutter:
    """Cuts lines out of the documents of a part, and converts the script of those that are left.

    Documents that were changed have their language identified again. Those without text left, and
    those that lost too many words, are dropped with the text that they came with.

    Args:
        parameters: ``lines`` (table of ``LineOptions``), ``convert`` (a choice of
            ``NormalizeOptions.convert``), ``keep_dropped``, ``sample_fraction``.
        identifier: of languages.

    Attributes:
        judge: says what goes.
        total: the character ledger of the documents that are not dropped.
    """

    def __init__(self, parameters: dict[str, Any], identifier: Identifier) -> None:
        self.parameters, self.identifier = parameters, identifier
        self.options = from_table(LineOptions, parameters["lines"], where="lines")
        self.judge = LineJudge(self.options)
        self.total = Edits(EDIT_RULES)
        self.changed = self.converted = 0
        self.by_rule: dict[str, list[int]] = {}

    def counts(self) -> dict[str, Any]:
        """``{"changed", "converted", "dropped": {rule: {documents, chars}}}`` so far."""
        gone = {rule: {"documents": n, "chars": c} for rule, (n, c) in sorted(self.by_rule.items())}
        return {"changed": self.changed, "converted": self.converted, "dropped": gone}

    def clean(
        self, batch: pa.RecordBatch, looked: Sequence[tuple[Spans, Spans]]
    ) -> tuple[pa.Table, pa.Table, pa.Table]:
        """What is kept of a batch, the diff, and what is dropped.

        Args:
            batch: documents.
            looked: what ``judge`` says of them, chunk by chunk.
        """
        spans, words = joined(looked)
        cut = cut_spans(*text_buffer(batch.column("text")), spans)
        rules, values = self._verdicts(cut, words)
        gone = np.array([rule is not None for rule in rules], bool)
        dropped = self._drop(
            batch.filter(pa.array(gone)), [rule for rule in rules if rule], values[gone]
        )
        table, edits = replaced(batch, cut, step=STEP, rules=RULES)
        kept = ~gone[cut.spans[:, 0]]  # what is dropped is dropped whole
        lengths = (cut.spans[:, 2] - cut.spans[:, 1])[kept]
        np.add.at(self.total.counts[:, 0], cut.spans[kept, 3], lengths)
        self.total.chars_in += int(batch.column("n_chars").to_numpy()[~gone].sum())
        if gone.any():
            table, edits = table.filter(pa.array(~gone)), edits.filter(pa.array(kept))
        return self._finish(table, changed_rows(cut)[~gone]), edits, dropped

    def _verdicts(
        self, cut: CutText, words: npt.NDArray[np.int64]
    ) -> tuple[list[str | None], npt.NDArray[np.float64]]:
        """The rule that drops each document, or None, and its value."""
        limit = self.options.max_removed_word_fraction
        values = words[:, 1] / np.maximum(words[:, 0], 1)
        rules: list[str | None] = [None] * len(cut.text)
        for row in np.unique(cut.spans[:, 0]).tolist():
            if limit is not None and values[row] > limit:
                rules[row] = EDITED
            elif not cut.text[row].as_py().strip():
                rules[row], values[row] = NOTHING_LEFT, 0.0
        return rules, values

    def _drop(
        self, batch: pa.RecordBatch, rules: list[str], values: npt.NDArray[np.float64]
    ) -> pa.Table:
        limit = self.options.max_removed_word_fraction
        thresholds = [limit if rule == EDITED else None for rule in rules]
        word = pa.table({
            "step": pa.array([STEP] * len(rules), pa.string()),
            "rule": pa.array(rules, pa.string()),
            "value": pa.array(values, pa.float64()),
            "threshold": pa.array(thresholds, pa.float64()),
        })  # fmt: skip
        return dropped_rows(batch, word, self.parameters, self.by_rule)

    def _finish(self, table: pa.Table, changed: npt.NDArray[np.bool_]) -> pa.Table:
        """Language and script of documents that were changed, then the other script."""
        self.changed += int(changed.sum())
        table = identified_again(table, changed, self.identifier)
        table, converted, counts = convert(table, self.parameters["convert"])
        self.converted += converted
        self.total.counts[EDIT_RULES.index(CONVERT)] += counts
        self.total.chars_out += int(table["n_chars"].to_numpy().sum())
        return table
