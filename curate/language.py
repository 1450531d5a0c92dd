"""Language and script of documents: the script histogram first, lid.176 where it leaves doubt.

On 7 751 Chinese and English documents (code-heavy manuals among them) lid.176 alone called 9 % of
the Chinese ones English, because of their code; no English document had a tenth of its tokens in
hanzi. On the first 60 characters of traditional texts it was wrong in 27 % and said Japanese in 7 %
where there was no kana. So hanzi and kana decide when there are enough of them, and the model,
which reads 4 MB/s, sees a bounded sample of the other documents only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.errors import ModelMissing
from yanmo.recipe import setting

from .scripts import (
    HANI,
    HANT,
    KANA,
    KORE,
    LATN,
    NAMES,
    Names,
    count_tokens,
    hanzi_kinds,
    main_scripts,
    share_of_hanzi,
)
from .utf8 import Bounds, Codes, chunks, decode, text_buffer

CHINESE: Final = ("zh", "yue", "wuu")
"""lid.176's names for written Chinese, Cantonese and Wu."""
UNDETERMINED: Final = "und"
MODEL_NAME: Final = "lid.176"
NO_MODEL: Final = (
    "The model lid.176 is not here, so scripts alone decided languages: "
    "`yanmo models fetch lid.176`."
)

_LABEL: Final = "__label__"
# What a script says without the model: those that one language owns.
_SCRIPT_LANGUAGES: Final = {"Kore": "ko", "Thai": "th", "Grek": "el", "Hebr": "he"}
_ENGLISH: Final = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
"""Source: MassiveText (Gopher), appendix A."""
_MIN_ENGLISH: Final = 0.05
"""Share of those words from which Latin text is called English; English prose has about 16 %."""
_WORD: Final = re.compile(r"[a-z]+")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LanguageOptions:
    """The ``[language]`` table of a recipe."""

    min_hanzi_share: float = setting(
        0.3,
        low=0.0,
        high=1.0,
        source="7 751 documents: no English one above 0.1; above 0.3 all others are Chinese.",
        help="From this share of hanzi and kana in the tokens on, a text is Chinese or Japanese.",
    )
    spans: int = setting(3, low=1, high=64, help="The model sees so many spans of a document.")
    span_chars: int = setting(
        256, low=16, high=1 << 16, help="Characters of a span (fastText reads 4 MB/s)."
    )


@dataclass(frozen=True)
class Found:
    """Languages of a column of texts.

    Attributes:
        lang: as lid.176 names it (``zh``, ``en``, ``ja`` …), ``und`` if nothing tells, null for a
            text without letters.
        score: 0..1. The probability that the model gives ``lang``, or, where the script decided,
            the share of the tokens in that script. Null where ``lang`` is.
        script: ``Hans``, ``Hant``, ``Hani``, ``Jpan``, ``Kore``, ``Latn``, ``Cyrl`` …, ``mixed``,
            ``Zyyy`` for a text without letters.
        n_chars: code points, int64 ``[D]``.
    """

    lang: pa.StringArray
    score: pa.DoubleArray
    script: pa.StringArray
    n_chars: npt.NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence["Looked"]) -> "Found":
        """What was found chunk by chunk, as columns."""
        empty = np.zeros(0, object)
        lang, score, script, n_chars = (
            np.concatenate([start, *(part[place] for part in parts)])
            for place, start in enumerate((empty, np.zeros(0), empty, np.zeros(0, np.int64)))
        )
        return cls(
            pa.array(lang, pa.string()),
            pa.array(score, pa.float64(), mask=np.isnan(score)),
            pa.array(script, pa.string()),
            n_chars,
        )


class Looked(NamedTuple):
    """Languages of the documents of a chunk; see :class:`Found`."""

    lang: Names
    score: Floats
    script: Names
    n_chars: npt.NDArray[np.int64]


class Identifier:
    """Identifies languages; holds the model between calls.

    Args:
        options: how much the model sees and when.
        model: the lid.176 model; without one the script histogram decides alone.

    Attributes:
        name: "lid.176", or "none" without a model.

    Raises:
        ModelMissing: the model file is not there.
    """

    def __init__(
        self, options: LanguageOptions | None = None, *, model: str | Path | None = None
    ) -> None:
        self.options = options or LanguageOptions()
        self.name = "none" if model is None else MODEL_NAME
        self._model: Any = None
        if model is not None:
            if not Path(model).is_file():
                raise ModelMissing("no such model file", where=model,
                                   fix="Run `yanmo models fetch lid.176`.")  # fmt: skip
            stat = Path(model).stat()
            self._model = _load(str(model), stat.st_size, stat.st_mtime_ns)

    def identify(self, column: pa.Array) -> Found:
        """Language, script and length of every text.

        Args:
            column: ``string`` or ``large_string``.
        """
        buffer, offsets = text_buffer(column)
        return Found.of(
            [
                self.look(*decode(buffer, offsets[part.start : part.stop + 1]))
                for part in chunks(offsets)
            ]
        )

    def look(self, codes: Codes, bounds: Bounds) -> "Looked":
        """Language and script of some documents, given as code points and their bounds."""
        counts = count_tokens(codes, bounds)
        scripts, share = main_scripts(counts)
        lang, score = np.full(len(scripts), None, object), np.full(len(scripts), np.nan)
        hanzi, kinds = share_of_hanzi(counts), hanzi_kinds(counts)
        hangul = counts[:, KORE] / np.maximum(counts.sum(axis=1), 1)
        east = (hanzi >= max(self.options.min_hanzi_share, 1e-9)) & (hanzi > hangul)
        lang[east] = np.where(kinds[east] == "Jpan", "ja", "zh")
        score[east] = hanzi[east]
        # Only the model knows Cantonese and Wu, which are written in traditional characters or in
        # those that are the same in both.
        certain = east & ((kinds == "Hans") | (kinds == "Jpan"))
        rows = np.flatnonzero((scripts != NAMES[0]) & ~certain)
        texts = [self._sample(codes[bounds[row] : bounds[row + 1]]) for row in rows]
        for row, text, guesses in zip(rows, texts, self._predict(texts), strict=True):
            best = next(((g, p) for g, p in guesses if _possible(g, bool(east[row]), counts[row])),
                        None)  # fmt: skip
            if best is not None:
                lang[row], score[row] = best
            elif not east[row]:
                lang[row], score[row] = _by_script(scripts[row], text, counts[row]), share[row]
        # Four decimals: what a probability of this model is worth.
        return Looked(lang, np.round(score, 4), scripts, np.diff(bounds))

    def _sample(self, codes: Codes) -> str:
        """Spans spread evenly over a document, as one line."""
        spans, length = self.options.spans, self.options.span_chars
        if len(codes) > spans * length:
            step = len(codes) // spans
            space = np.array([0x20], np.int32)
            cut = [part for k in range(spans) for part in (codes[k * step :][:length], space)]
            codes = np.concatenate(cut)
        return codes.astype("<i4").tobytes().decode("utf-32-le").replace("\n", " ")

    def _predict(self, texts: list[str]) -> list[list[tuple[str, float]]]:
        """The five best labels of each text with their probabilities; none without a model."""
        if self._model is None or not texts:
            return [[] for _ in texts]
        labels, probabilities = self._model.predict(texts, k=5)
        return [
            [(g.removeprefix(_LABEL), min(1.0, float(p))) for g, p in zip(gs, ps, strict=True)]
            for gs, ps in zip(labels, probabilities, strict=True)
        ]


@lru_cache(maxsize=1)
def _load(path: str, _size: int, _mtime: int) -> Any:
    """The model, kept between tasks: loading it takes 0.012 s, two hundred short documents."""
    import fasttext

    return fasttext.load_model(path)


def _possible(label: str, east: bool, counts: npt.NDArray[np.int64]) -> bool:
    """Do the characters allow the label?"""
    hanzi, kana, hangul = counts[HANI : HANT + 1].sum(), counts[KANA], counts[KORE]
    if label in CHINESE:
        return bool(hanzi)
    if label == "ja":
        return bool(kana)
    return not east and (label != "ko" or bool(hangul))


def _by_script(script: str, text: str, counts: npt.NDArray[np.int64]) -> str:
    """The language without a model: what the script owns, English by its function words."""
    if script in _SCRIPT_LANGUAGES:
        return _SCRIPT_LANGUAGES[script]
    if 2 * counts[LATN] > counts.sum():
        words = _WORD.findall(text.lower())
        if sum(word in _ENGLISH for word in words) >= _MIN_ENGLISH * max(1, len(words)):
            return "en"
    return UNDETERMINED
