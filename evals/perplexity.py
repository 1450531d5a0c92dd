"""Bits per byte, bits per character and perplexity of a text under a model.

The negative log-likelihood of every token is summed over the corpus and divided by what the text
itself measures (UTF-8 bytes, code points), so that models with different vocabularies can be
compared; perplexity is per token and only comparable within one vocabulary.

A document is one sequence: the beginning-of-sequence token is its context and not counted, an end
token is not predicted. Where it is longer than the model's context, windows of ``L`` tokens advance
by ``S``: every token is scored exactly once, with at least ``L - S`` tokens before it (or all that
there are).
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.documents import texts
from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_json, write_json
from yanmo.progress import track
from yanmo.report import Table, show
from yanmo.stats import bootstrap_ratio
from yanmo.vocab.load import Tokenizer

from .runs import SUMMARY, Samples, open_run
from .score import Scorer

# Above this share of texts that do not survive encoding and decoding, the likelihood is of another
# text and must not be ranked.
LOSSY_LIMIT: Final = 0.001
_BATCH_TEXTS: Final = 64
# Attention costs a window squared; a model made for 32 768 tokens would take hours on a CPU.
_DEFAULT_WINDOW: Final = 2048


@dataclass(frozen=True)
class Window:
    """A stretch of one document.

    Attributes:
        ids: context and what is scored.
        start: index in ``ids`` of the first scored token, at least 1.
        document: which document it belongs to.
    """

    ids: tuple[int, ...]
    start: int
    document: int


@dataclass(frozen=True)
class TextScore:
    """Sums of a corpus, one entry a document.

    Attributes:
        nats: negative log-likelihood, natural logarithm.
        tokens: tokens scored.
        n_bytes: UTF-8 bytes of the text.
        n_chars: code points of the text.
        lossy: the text does not come back when its ids are decoded.
    """

    nats: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]
    n_bytes: npt.NDArray[np.int64]
    n_chars: npt.NDArray[np.int64]
    lossy: npt.NDArray[np.bool_]


def windows(
    ids: Sequence[int], context: Sequence[int], *, length: int, stride: int, document: int = 0
) -> Iterator[Window]:
    """Cut a document into windows.

    Args:
        ids: the document's tokens.
        context: what stands before the first token (the BOS id, or nothing).
        length: most tokens of a window.
        stride: new tokens a window scores, from the second on; less than ``length``.
        document: number of the document.

    Yields:
        Windows whose scored parts, end to end, are the document. Without a context the first token
        has nothing to be predicted from and is left out.
    """
    whole = (*context, *ids)
    at = max(1, len(context))
    while at < len(whole):
        first = at == max(1, len(context))
        end = min(len(whole), length if first else at + stride)
        begin = max(0, end - length)
        yield Window(whole[begin:end], at - begin, document)
        at = end


def context_ids(tokenizer: Tokenizer, policy: str = "auto") -> tuple[tuple[int, ...], str]:
    """What stands before a document, and its name for the report.

    Args:
        tokenizer: the tokenizer.
        policy: ``auto``: BOS, or EOS where there is no BOS (documents in training follow one),
            or nothing; ``none``: nothing.
    """
    if policy == "auto":
        for name, index in (("bos", tokenizer.bos_id), ("eos", tokenizer.eos_id)):
            if index is not None:
                return (index,), name
    return (), "none"


@dataclass(frozen=True)
class TextOptions:
    """How a text is scored.

    Attributes:
        length: tokens of a window; 2048, or the model's limit if that is less, when ``None``.
        stride: tokens by which windows advance; half a window when ``None``.
        context: ``auto`` or ``none``, see ``context_ids``.
        column: column or field that holds the text.
        limit: at most this many documents.
        batch_tokens: tokens of one batch.
        seed: of the bootstrap.
    """

    length: int | None = None
    stride: int | None = None
    context: str = "auto"
    column: str = "text"
    limit: int | None = None
    batch_tokens: int = 2048
    seed: int = 0


def score_texts(
    scorer: Scorer,
    paths: Iterable[str | Path],
    options: TextOptions | None = None,
    *,
    out: Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Bits per byte of documents.

    Args:
        scorer: the model.
        paths: run folders, documents folders, ``.parquet``, ``.jsonl`` (``.gz``, ``.zst``), or
            text files.
        options: windows, context, limits.
        out: folder for the sums of every document and the summary, for later comparison.
        quiet: show no progress.

    Returns:
        ``bits_per_byte``, ``bits_per_character``, ``perplexity``, ``tokens``, ``bytes``,
        ``characters``, with intervals over documents, ``documents``, ``lossy_documents`` and
        whether the numbers may be ranked.

    Raises:
        UsageError: the windows do not fit the model.
        DataError: there is no text.
    """
    options = options or TextOptions()
    length, stride = _window_shape(scorer, options)
    before, context_name = context_ids(scorer.tokenizer, options.context)
    sums = _Sums()
    with track(options.limit, "bits per byte", "documents", quiet=quiet) as progress:
        pending: list[Window] = []
        held = 0
        for batch in _batches(paths, options):
            encoded = scorer.tokenizer.encode_batch(batch)
            for text, ids in zip(batch, encoded, strict=True):
                plain = ids.tolist()
                document = sums.add(text, scorer.tokenizer.decode(ids, skip_special=False) != text)
                cut = windows(plain, before, length=length, stride=stride, document=document)
                for window in cut:
                    if held + len(window.ids) > options.batch_tokens and pending:
                        sums.take(scorer, pending)
                        pending, held = [], 0
                    pending.append(window)
                    held += len(window.ids)
            progress.advance(len(batch))
        if pending:
            sums.take(scorer, pending)
    if not sums.n_bytes:
        raise DataError("no documents to score", where=", ".join(map(str, paths)))
    result = report(sums.result(), seed=options.seed)
    result |= {
        "context": context_name,
        "window": length,
        "stride": stride,
        "tokenizer_sha256": scorer.tokenizer.sha256,
    }
    if out is not None:
        _write(out, scorer, options, sums, result)
    return result


def _write(
    out: Path, scorer: Scorer, options: TextOptions, sums: "_Sums", result: dict[str, Any]
) -> None:
    """``run.json``, one line a document, ``summary.json``."""
    identity = {
        "model": scorer.info.identity(),
        "data_sha256": sha256_json(sums.digests),
        "settings": asdict(options),
    }
    open_run(out, identity, {"kind": "bits_per_byte", "model": asdict(scorer.info)})
    samples = Samples(out, ("document", "text"))
    try:
        samples.add(sums.rows())
    finally:
        samples.close()
    write_json(out / SUMMARY, result)


def _window_shape(scorer: Scorer, options: TextOptions) -> tuple[int, int]:
    limit = scorer.info.max_tokens
    length = options.length or min(limit, _DEFAULT_WINDOW)
    if not 2 <= length <= limit:
        raise UsageError(f"a window must hold 2 to {limit} tokens", value=length)
    stride = options.stride or max(1, length // 2)
    if not 1 <= stride < length:
        raise UsageError(f"the stride must lie in 1..{length - 1}", value=stride)
    return length, stride


def _batches(paths: Iterable[str | Path], options: TextOptions) -> Iterator[list[str]]:
    left = options.limit
    for path in paths:
        for array in texts(path, column=options.column):
            for at in range(0, len(array), _BATCH_TEXTS):
                batch = [text for text in array[at : at + _BATCH_TEXTS].to_pylist() if text]
                batch = batch[:left]
                if batch:
                    yield batch
                if left is not None:
                    left -= len(batch)
                    if left <= 0:
                        return


class _Sums:
    """Running sums by document."""

    def __init__(self) -> None:
        self.nats: list[float] = []
        self.tokens: list[int] = []
        self.n_bytes: list[int] = []
        self.n_chars: list[int] = []
        self.lossy: list[bool] = []
        self.digests: list[str] = []

    def add(self, text: str, lossy: bool) -> int:
        """Open a document; return its number."""
        self.nats.append(0.0)
        self.tokens.append(0)
        self.n_bytes.append(len(text.encode()))
        self.n_chars.append(len(text))
        self.lossy.append(lossy)
        self.digests.append(hashlib.sha256(text.encode()).hexdigest()[:16])
        return len(self.nats) - 1

    def rows(self) -> list[dict[str, Any]]:
        """One record a document."""
        return [
            {"document": i, "text": self.digests[i], "nats": self.nats[i],
             "tokens": self.tokens[i], "bytes": self.n_bytes[i],
             "characters": self.n_chars[i], "lossy": self.lossy[i]}
            for i in range(len(self.nats))
        ]  # fmt: skip

    def take(self, scorer: Scorer, batch: Sequence[Window]) -> None:
        """Score windows and add what they sum to."""
        # Engines that pad waste least on windows of like length.
        order = sorted(batch, key=lambda window: -len(window.ids))
        scored = scorer.token_logprobs([w.ids for w in order], [w.start for w in order])
        for window, logprobs in zip(order, scored, strict=True):
            self.nats[window.document] -= float(logprobs.astype(np.float64).sum())
            self.tokens[window.document] += len(logprobs)

    def result(self) -> TextScore:
        return TextScore(
            np.array(self.nats), np.array(self.tokens), np.array(self.n_bytes),
            np.array(self.n_chars), np.array(self.lossy),
        )  # fmt: skip


def report(score: TextScore, *, seed: int = 0) -> dict[str, Any]:
    """Ratios of sums with bootstrap intervals over documents.

    Args:
        score: sums by document.
        seed: of the bootstrap.
    """
    bits = score.nats / math.log(2.0)
    tokens = int(score.tokens.sum())
    if tokens == 0:
        raise DataError("no token could be scored: every document is a single token")
    mean = float(score.nats.sum()) / tokens
    if not mean < 700.0:  # beyond a float's exponent; no model that was trained is here
        raise DataError("the model gives the text no probability", value=mean,
                        fix="Are its weights damaged?")  # fmt: skip
    lossy_share = float(score.lossy.mean())
    intervals: dict[str, dict[str, float] | None] = {}
    for key, measure in (("bits_per_byte", score.n_bytes), ("bits_per_character", score.n_chars)):
        # One document says nothing about how documents vary.
        found = bootstrap_ratio(bits, measure, seed=seed) if len(bits) > 1 else None
        intervals[key] = {"low": found.low, "high": found.high} if found else None
    return {
        "bits_per_byte": float(bits.sum() / score.n_bytes.sum()),
        "bits_per_character": float(bits.sum() / score.n_chars.sum()),
        "perplexity": math.exp(mean),
        "tokens": tokens,
        "bytes": int(score.n_bytes.sum()),
        "characters": int(score.n_chars.sum()),
        "documents": len(score.nats),
        "intervals": intervals,
        "lossy_documents": int(score.lossy.sum()),
        "rankable": lossy_share <= LOSSY_LIMIT,
    }


def shown(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    rows: list[list[Any]] = []
    for key in ("bits_per_byte", "bits_per_character"):
        bounds = result["intervals"][key]
        shown_bounds = f"{bounds['low']:.4f} to {bounds['high']:.4f}" if bounds else None
        rows.append([key.replace("_", " "), f"{result[key]:.4f}", shown_bounds])
    rows.append(["perplexity per token", f"{result['perplexity']:.2f}", "one vocabulary only"])
    rows += [[key, show(result[key]), ""] for key in ("tokens", "bytes", "characters", "documents")]
    lines = [Table("", ["", "value", "95 %"], rows).text()]
    if result["lossy_documents"]:
        lines.append(
            f"{result['lossy_documents']} documents do not survive the tokenizer (unknown or "
            "normalised characters): their likelihood is of another text."
        )
    if not result["rankable"]:
        lines.append("That is too many: do not rank this model by these numbers.")
    return "\n".join(lines)
