"""Lines that are no text: judged by named rules, cut, and kept as a diff. The `lines` task.

``boilerplate_*``      navigation, credits, notices, calls to follow, in Chinese: phrases with the
                       length and the place that a line of theirs has (``data/line_phrases.tsv``)
``refinedweb_*``       RefinedWeb's line-wise corrections: counters ("3 likes"), numbers, capitals,
                       lone words; ``navigation`` cuts "read more" off a short line
``c4_*``               C4's: no terminal punctuation, few words, long words, JavaScript, policies,
                       and ``citation``, which cuts ``[1]`` out

In all of them a hanzi or kana is a word, and Chinese punctuation ends a sentence.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, PartWriter, iterate
from yanmo.recipe import from_table, setting

from .character_ledger import Edits
from .convert import RULE as CONVERT
from .convert import convert
from .dropped_rows import dropped_rows
from .language import Identifier, LanguageOptions
from .line_classes import classes
from .line_edits import (
    EDITS_SCHEMA,
    CutText,
    changed_rows,
    cut_spans,
    identified_again,
    replaced,
)
from .line_kernels import judge_lines, span_words
from .line_phrases import FAMILIES, LAST_MENU_KIND, RULES, compiled
from .utf8 import Bytes, chunks, decode, text_buffer

STEP: Final = "lines"
NOTHING_LEFT, EDITED = "no_text_left", "max_removed_word_fraction"
BATCH_ROWS: Final = 1024
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


def cut_lines(column: pa.Array, options: LineOptions) -> tuple[CutText, npt.NDArray[np.int64]]:
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
    on = options.on()
    book = compiled(tuple(np.flatnonzero(on).tolist()))
    limits = np.array(
        [options.min_words or 0, options.max_word_chars or 0, options.max_uppercase_fraction or 0.0,
         book.facts[:, 3].max(initial=0),
         book.facts[book.facts[:, 1] <= LAST_MENU_KIND, 3].max(initial=0)], np.float64,
    )  # fmt: skip
    spans = [np.zeros((0, 4), np.int64)]
    words = np.zeros((len(offsets) - 1, 2), np.int64)
    for rows in chunks(offsets):
        codes, ends = decode(buffer, offsets[rows.start : rows.stop + 1])
        found = judge_lines(codes, ends, classes(), book, on, limits)
        if options.max_removed_word_fraction is not None:
            words[rows] = span_words(codes, ends, found, classes())
        found[:, 0] += rows.start
        spans.append(found)
    return cut_spans(buffer, offsets, np.concatenate(spans)), words


def clean_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Cut lines out of the documents of a part, and convert the script of those that are left.

    Documents that were changed have their language identified again. Those without text left, and
    those that lost too many words, are dropped with the text that they came with.

    Args:
        inputs: the part; and, if there is one, the lid.176 model.
        parameters: ``lines`` (table of ``LineOptions``), ``convert`` (a choice of
            ``NormalizeOptions.convert``), ``language`` (table of ``LanguageOptions``),
            ``keep_dropped``, ``sample_fraction``.
        out: gets ``documents.parquet``, ``edits.parquet`` (EDITS_SCHEMA), ``dropped.parquet``.

    Returns:
        ``{"edits", "chars_in", "chars_out", "rows", "changed", "converted", "dropped":
        {rule: {documents, chars}}}``.

    Raises:
        LedgerError: the characters do not balance.
    """
    task = _Task(inputs, parameters)
    with (
        PartWriter(out / "documents.parquet", SCHEMA, intermediate=True) as writer,
        PartWriter(out / "edits.parquet", EDITS_SCHEMA) as diff,
        PartWriter(out / "dropped.parquet", DROPPED_SCHEMA) as dropped,
    ):
        for batch in iterate([inputs[0]], batch_rows=BATCH_ROWS):
            kept, edits, lost = task.clean(batch)
            writer.write(kept)
            diff.write(edits)
            dropped.write(lost)
    task.total.check(inputs[0])
    gone = {rule: {"documents": n, "chars": c} for rule, (n, c) in sorted(task.by_rule.items())}
    counts = {"rows": writer.rows, "changed": task.changed, "converted": task.converted}
    return {"edits": task.total.by_rule(), "chars_in": task.total.chars_in,
            "chars_out": task.total.chars_out, **counts,
            "dropped": gone}  # fmt: skip


class _Task:
    """What one part is cleaned with, and its books."""

    def __init__(self, inputs: list[Path], parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.options = from_table(LineOptions, parameters["lines"], where="lines")
        language = from_table(LanguageOptions, parameters.get("language", {}), where="language")
        self.identifier = Identifier(language, model=inputs[1] if len(inputs) > 1 else None)
        self.total = Edits(EDIT_RULES)
        self.changed = self.converted = 0
        self.by_rule: dict[str, list[int]] = {}

    def clean(self, batch: pa.RecordBatch) -> tuple[pa.Table, pa.Table, pa.Table]:
        """What is kept of a batch, the diff, and what is dropped."""
        cut, words = cut_lines(batch.column("text"), self.options)
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
        table = self._finish(table.filter(pa.array(~gone)), changed_rows(cut)[~gone])
        return table, edits.filter(pa.array(kept)), dropped

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
