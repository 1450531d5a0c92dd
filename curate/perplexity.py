"""Perplexity by a KenLM model: how expected a text is, word by word, of a bounded sample.

A sentence costs ``log10 p(words, </s> | <s>)``; a document of sentences with ``n`` words and ends
has perplexity ``10^(-sum / n)`` (CCNet). Words that the model does not know are left out and
counted in ``unknown_word_fraction``: numbers and Latin names are ``<unk>`` to a Chinese model, and
its one price for them drowned what tells fluent from shuffled text (docs/quality.md). Marks that it
does not know are nothing.

Chinese is cut into the words of the model's own vocabulary (:mod:`yanmo.curate.vocabulary_words`):
a model prices only words that it was trained on, so no other segmenter can suit it better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import PartWriter, iterate
from yanmo.errors import DataError, MissingDependency, RecipeError
from yanmo.recipe import setting

from .language import CHINESE
from .vocabulary_words import Vocabulary, cut_words

PERPLEXITY_SIGNALS: Final = (
    "perplexity",
    "perplexity_per_char",
    "perplexity_bucket",
    "unknown_word_fraction",
)
SPANS: Final = 3
SPAN_CHARS: Final = 512
HEAD, MIDDLE, TAIL = 0, 1, 2
_VOCABULARY_START: Final = b"<unk>\0"
_MAGIC: Final = b"mmap lm http://kheafield.com/code format version"
_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *((name, pa.float64()) for name in PERPLEXITY_SIGNALS),
    ]
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PerplexityOptions:
    """One ``[[perplexity]]`` table: a model and the language that it prices."""

    model: str = setting(help="KenLM file: binary with its vocabulary, or .arpa.")
    language: str = setting("zh", help="Documents of this language are priced; zh takes yue, wuu.")
    segment: str = setting(
        "words", choices=("words", "characters"),
        help="What the model was trained on: words, or single hanzi.",
    )  # fmt: skip
    head: float | None = setting(
        None, low=1, source="CCNet: its 30th percentile by language",
        help="Up to this perplexity a document is in bucket 0, the head.",
    )  # fmt: skip
    middle: float | None = setting(
        None, low=1, source="CCNet: its 60th percentile by language",
        help="Up to this one in bucket 1, the middle; else in 2, the tail.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse buckets that are no ranges."""
        if (self.head is None) != (self.middle is None) or (self.head or 0) > (self.middle or 0):
            raise RecipeError("'perplexity' needs head and middle together, head below middle",
                              value=(self.head, self.middle))  # fmt: skip


def steps(tables: Sequence[PerplexityOptions], names: Sequence[str]) -> dict[str, Any]:
    """The parameters of the task: all that changes its result, and not where the models lie."""
    return {
        "models": [
            {"name": name, "language": t.language, "segment": t.segment, "head": t.head,
             "middle": t.middle}
            for t, name in zip(tables, names, strict=True)
        ]
    }  # fmt: skip


def require_kenlm() -> None:
    """See that the package is there, without loading it.

    Raises:
        MissingDependency: it is not.
    """
    if find_spec("kenlm") is None:
        raise MissingDependency("the package kenlm is not installed", where="perplexity",
                                fix="pip install 'yanmo[perplexity]' (it is built from "
                                "source: a C++ compiler and cmake).")  # fmt: skip


def read_vocabulary(path: Path) -> list[str]:
    """The words of a KenLM file, binary or ARPA.

    Raises:
        DataError: it is neither, or a binary without its words.
    """
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) == _MAGIC:
            stream.seek(0)
            data = stream.read()
            at = data.rfind(_VOCABULARY_START)
            if at < 0:
                raise DataError("the binary model holds no vocabulary", where=path,
                                fix="Build it with KenLM's build_binary, without -i.")  # fmt: skip
            return [word.decode("utf-8", "replace") for word in data[at:].split(b"\0") if word]
        stream.seek(0)
        words, inside = [], False
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith("\\"):
                if inside:
                    break
                inside = line == "\\1-grams:"
            elif inside and line.strip():
                words.append(line.split("\t")[1] if line.count("\t") else line.split(" ")[1])
    if not words:
        raise DataError("not a KenLM model (binary or ARPA)", where=path)
    return words


class Pricer:
    """Prices texts; holds the model and its vocabulary between calls.

    Args:
        path: KenLM file.
        segment: ``words`` or ``characters``.

    Raises:
        MissingDependency: kenlm is not installed.
        DataError: the file is no KenLM model.
    """

    def __init__(self, path: Path, *, segment: str = "words") -> None:
        require_kenlm()
        import kenlm

        words = read_vocabulary(path)
        config = kenlm.Config()
        config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        try:
            self._model: Any = kenlm.Model(str(path), config)
        except (OSError, RuntimeError) as error:
            raise DataError(f"kenlm cannot load the model: {error}", where=path) from None
        prices = [self._model.score(word, bos=False, eos=False) for word in words]
        unknown = float(self._model.score("\ue000\ue000", bos=False, eos=False))
        longest = 1 if segment == "characters" else None
        self._vocabulary = Vocabulary.build(words, prices, unknown, longest=longest)

    def price(self, texts: pa.Array) -> tuple[Floats, Floats, Floats]:
        """Perplexity per word, per character, and the share of unknown words; NaN without words.

        Args:
            texts: ``string`` or ``large_string``.
        """
        cut = cut_words(texts, self._vocabulary, spans=SPANS, span_chars=SPAN_CHARS)
        logs, ends = np.zeros(len(texts)), np.zeros(len(texts))
        for row, text in enumerate(cut.lines.to_pylist()):
            sentences = [line for line in text.split("\n") if line]
            ends[row] = len(sentences)
            logs[row] = sum(self._model.score(line, bos=True, eos=True) for line in sentences)
        known = cut.words - cut.unknown
        some = known > 0
        words, chars = np.where(some, known, 1), np.where(some, cut.chars, 1)
        found = (10.0 ** np.minimum(-logs / (words + ends), 300), 10.0 ** np.minimum(-logs / chars,
                 300), cut.unknown / np.maximum(cut.words, 1))  # fmt: skip
        which = (some, some, cut.words > 0)
        per_word, per_char, unknown = (
            np.where(w, f, np.nan).astype(np.float64) for w, f in zip(which, found, strict=True)
        )
        return per_word.round(2), per_char.round(4), unknown.round(4)


def perplexity_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: price one part of the document table.

    Args:
        inputs: the part, then the models.
        parameters: of :func:`steps`.
        out: gets ``perplexity.parquet``, one row a document, in order; null where no model is for
            its language, or it has no words.

    Returns:
        ``{"rows", "priced"}``.
    """
    tables = parameters["models"]
    pricers = [Pricer(path, segment=table["segment"])
               for path, table in zip(inputs[1:], tables, strict=True)]  # fmt: skip
    priced = 0
    with PartWriter(out / "perplexity.parquet", _SCHEMA) as writer:
        for batch in iterate(inputs[:1], columns=["id", "lang", "text"]):
            columns = np.full((len(PERPLEXITY_SIGNALS), batch.num_rows), np.nan)
            lang = np.array(batch.column("lang").to_pylist(), object)
            for pricer, table in zip(pricers, tables, strict=True):
                known = CHINESE if table["language"] == "zh" else (table["language"],)
                rows = np.flatnonzero(np.isin(lang, known))
                if len(rows):
                    texts = batch.column("text").take(pa.array(rows))
                    columns[:, rows] = _signals(pricer.price(texts), table)
            arrays = [pa.array(column, mask=np.isnan(column)) for column in columns]
            writer.write(pa.RecordBatch.from_arrays([batch.column("id"), *arrays], schema=_SCHEMA))
            priced += int((~np.isnan(columns[0])).sum())
    return {"rows": writer.rows, "priced": priced}


def _signals(prices: tuple[Floats, Floats, Floats], table: dict[str, Any]) -> Floats:
    per_word, per_char, unknown = prices
    bucket = np.full(len(per_word), np.nan)
    if table["head"] is not None:
        bucket = np.where(per_word <= table["middle"], MIDDLE, TAIL).astype(np.float64)
        bucket[per_word <= table["head"]] = HEAD
        bucket[np.isnan(per_word)] = np.nan
    return np.stack([per_word, per_char, bucket, unknown])
