"""Instruction-following difficulty: how little a question helps a model to say its answer.

The mean negative log-likelihood of the answer's tokens behind the question, over that of the same
tokens behind the opening of an answer alone. Low: the question all but dictates the answer; near 1:
it does not help; above 1: it misleads. A ratio of losses, not of perplexities.

The tokens of an answer are cut once, behind its question, and both losses are of these very tokens.
Every turn of the assistant is scored behind all turns before it; a dialogue's value is the ratio of
the sums over its turns.

Source: Li et al. 2023, "From Quantity to Quality" (arXiv:2308.12032).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError
from yanmo.files import sha256_file, write_json
from yanmo.messages import Dialogue, Message, read_dialogues
from yanmo.progress import track
from yanmo.vocab.chat import ChatTemplate, Encode, chat_encoder, refuse_markers

from .perplexity import context_ids
from .prompts import plain_encoder
from .runs import SUMMARY, Samples, open_run, write_page
from .score import Scorer

WINDOW: Final = 256
"""Dialogues that are sorted by length together; all in memory at a time."""


@dataclass(frozen=True)
class IfdOptions:
    """How answers are scored.

    Attributes:
        template: ``auto``: the model's chat template if it has one; ``chat``; ``plain``: turns
            joined by line ends.
        batch_tokens: tokens of one batch; a longer sequence is a batch of its own.
        limit: at most this many dialogues.
    """

    template: str = "auto"
    batch_tokens: int = 2048
    limit: int | None = None


@dataclass(frozen=True)
class Pair:
    """The tokens of one answer, behind its question and alone.

    Attributes:
        asked: ids of question and answer; the answer's begin at ``asked_start``.
        alone: ids of an opening and the same answer, from ``alone_start`` on.
        turn: number of the message.
        cut: whether the model's context held only a beginning of the answer.
    """

    asked: tuple[int, ...]
    asked_start: int
    alone: tuple[int, ...]
    alone_start: int
    turn: int
    cut: bool


class Writer:
    """Makes pairs of dialogues for one model.

    Args:
        scorer: the model and its tokenizer.
        template: see :class:`IfdOptions`.

    Raises:
        UsageError: ``chat``, and the model has no template.
    """

    def __init__(self, scorer: Scorer, template: str) -> None:
        self._tokenizer, self._most = scorer.tokenizer, scorer.info.max_tokens
        folder = scorer.tokenizer.path.parent
        self.chat: ChatTemplate | None = None
        if template != "plain":
            default = None if template == "chat" else "\n"
            found = ChatTemplate(folder, default=default)
            self.chat = None if found.source == default else found
        make = chat_encoder if self.chat else plain_encoder
        self._encode: Encode = make(scorer.tokenizer)
        self._context = () if self.chat else context_ids(scorer.tokenizer)[0]

    def pairs(self, dialogue: Dialogue) -> Iterator[Pair]:
        """One pair for each answer of the assistant.

        Raises:
            DataError: a text holds a marker of the model, or the template refuses the messages.
        """
        tables = [message.table() for message in dialogue.messages]
        if self.chat is not None:
            refuse_markers(self._tokenizer, tables, where=dialogue.id)
        for turn, message in enumerate(dialogue.messages):
            if message.role == "assistant" and message.content.strip():
                pair = self._pair(dialogue.messages[:turn], message.content, turn)
                if pair is not None:
                    yield pair

    def _pair(self, before: Sequence[Message], answer: str, turn: int) -> Pair | None:
        prompt, opening = self._texts(before)
        whole, short, opened = self._encode([prompt + answer, prompt, opening])
        whole, short = (*self._context, *whole), (*self._context, *short)
        opened = (*self._context, *opened)
        # A token may reach over the border: it counts as the answer's, on both sides.
        start = next((i for i, (a, b) in enumerate(zip(whole, short, strict=False)) if a != b),
                     min(len(whole), len(short)))  # fmt: skip
        ids = whole[start : self._most]
        cut = len(whole) > self._most
        if not opened:  # nothing stands before it: its first token has no likelihood
            return Pair(whole[: self._most], start + 1, ids, 1, turn, cut) if len(ids) > 1 else None
        alone = (*opened, *ids)[: self._most]
        return Pair(whole[: self._most], start, alone, len(opened), turn, cut) if ids else None

    def _texts(self, before: Sequence[Message]) -> tuple[str, str]:
        """What stands before an answer, and what of it opens any answer."""
        tables = [message.table() for message in before]
        if self.chat is None:
            return "".join(f"{message.content}\n" for message in before), ""
        closed = self.chat.render(tables, open_answer=False)
        opened = self.chat.render(tables, open_answer=True)
        if not opened.startswith(closed):
            raise DataError("the chat template does not open an answer behind the dialogue")
        return opened, opened[len(closed) :]


def score_pairs(
    scorer: Scorer, dialogues: Sequence[Sequence[Pair]], *, batch_tokens: int
) -> list[list[tuple[float, float]]]:
    """Sums of negative log-likelihood, nats: of each answer behind its question, and alone.

    A turn whose tokens are the beginning of a later turn's is read off that one's pass, so that a
    dialogue costs its length and not the square of its turns. Sequences of like length share a
    batch, whichever dialogues they are of.
    """
    sequences: list[tuple[tuple[int, ...], int]] = []
    places: list[list[tuple[int, slice, int]]] = []  # number, part of its values, number alone
    for pairs in dialogues:
        longest = max(pairs, key=lambda p: len(p.asked), default=None)
        shared, mine = len(sequences), []
        if longest is not None:
            sequences.append((longest.asked, min(p.asked_start for p in pairs)))
        for pair in pairs:
            number, size = shared, len(pair.asked)
            if longest is not None and longest.asked[:size] != pair.asked:
                number = len(sequences)
                sequences.append((pair.asked, pair.asked_start))
            first = sequences[number][1]
            part = slice(pair.asked_start - first, size - first)
            mine.append((number, part, len(sequences)))
            sequences.append((pair.alone, pair.alone_start))
        places.append(mine)
    losses = _losses(scorer, sequences, batch_tokens)
    return [[(float(losses[n][part].sum()), float(losses[alone].sum()))
             for n, part, alone in mine] for mine in places]  # fmt: skip


def _losses(scorer: Scorer, sequences: Sequence[tuple[tuple[int, ...], int]],
            batch_tokens: int) -> list[npt.NDArray[np.float64]]:  # fmt: skip
    """Negative log-likelihood of each token from the start of each sequence on, float64."""
    sizes = [len(ids) for ids, _ in sequences]
    order = sorted(range(len(sequences)), key=lambda n: (-sizes[n], n))
    losses: list[npt.NDArray[np.float64]] = [np.zeros(0)] * len(sequences)
    for batch in _batches(order, sizes, batch_tokens):
        found = scorer.token_logprobs([sequences[n][0] for n in batch],
                                      [sequences[n][1] for n in batch])  # fmt: skip
        for number, values in zip(batch, found, strict=True):
            losses[number] = -values.astype(np.float64)
    return losses


def _batches(order: Sequence[int], sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    batch: list[int] = []
    tokens = 0
    for number in order:
        if batch and tokens + sizes[number] > most:
            yield batch
            batch, tokens = [], 0
        batch.append(number)
        tokens += sizes[number]
    if batch:
        yield batch


def score_dialogues(scorer: Scorer, data: Path, options: IfdOptions, *, out: Path,
                    quiet: bool = False) -> dict[str, Any]:  # fmt: skip
    """Score the answers of a file; run again, it goes on where it was cut off.

    Args:
        scorer: the model.
        data: dialogues in any known format.
        options: how.
        out: folder; ``samples.jsonl`` has one row a dialogue: ``id``, ``ifd`` (null if it has no
            answer that fits), ``tokens``, ``nll`` and ``nll_alone`` (means, nats a token), and
            the same for each of its ``turns``.
        quiet: show no progress.

    Returns:
        ``summary.json``.

    Raises:
        UsageError: the folder holds another run.
        DataError: the data is no dialogues, or none has an answer.
    """
    writer = Writer(scorer, options.template)
    identity = {"kind": "ifd", "model": scorer.info.identity(), "data": sha256_file(data),
                "template": writer.chat.source if writer.chat else "plain"}  # fmt: skip
    open_run(out, identity, {"kind": "ifd", "model": asdict(scorer.info)})
    samples = Samples(out, ("row",))
    rows = islice(enumerate(read_dialogues(data)), options.limit)
    with closing(samples), track(options.limit, "ifd", "dialogues", quiet=quiet) as progress:
        while window := list(islice(rows, WINDOW)):
            left = [(row, dialogue) for row, dialogue in window if (row,) not in samples]
            samples.add(_scored(scorer, writer, left, options.batch_tokens))
            progress.advance(len(window))
    done = sorted(samples.rows.values(), key=lambda row: int(row["row"]))
    return _finished(out, done, scorer, writer)


def _finished(out: Path, rows: Sequence[Mapping[str, Any]], scorer: Scorer,
              writer: Writer) -> dict[str, Any]:  # fmt: skip
    """Write the summary and the page."""
    from .ifd_report import page

    summary = summarise(rows)
    summary |= {"model": scorer.info.name, "template": "chat" if writer.chat else "plain"}
    write_json(out / SUMMARY, summary)
    write_page(out / "report.html", page(summary, rows))
    return summary


def _scored(scorer: Scorer, writer: Writer, dialogues: Sequence[tuple[int, Dialogue]],
            batch_tokens: int) -> list[dict[str, Any]]:  # fmt: skip
    made: list[tuple[int, Dialogue, list[Pair], str]] = []
    for row, dialogue in dialogues:
        note, found = "", []
        try:
            found = list(writer.pairs(dialogue))
        except DataError as error:
            note = error.what
        made.append((row, dialogue, found, note or ("" if found else "no answer that fits")))
    sums = score_pairs(scorer, [pairs for _, _, pairs, _ in made], batch_tokens=batch_tokens)
    return [_row(row, dialogue, list(zip(pairs, found, strict=True)), note)
            for (row, dialogue, pairs, note), found in zip(made, sums, strict=True)]  # fmt: skip


def _row(row: int, dialogue: Dialogue, scored: Sequence[tuple[Pair, tuple[float, float]]],
         note: str) -> dict[str, Any]:  # fmt: skip
    turns = [
        {"turn": pair.turn, **_ratio(len(pair.asked) - pair.asked_start, *sums), "cut": pair.cut}
        for pair, sums in scored
    ]
    tokens = sum(turn["tokens"] for turn in turns)
    whole = _ratio(tokens, sum(s[0] for _, s in scored), sum(s[1] for _, s in scored))
    chars = sum(len(m.content) for m in dialogue.messages if m.role == "assistant")
    found = {"row": row, "id": dialogue.id, **whole, "chars": chars, "turns": turns}
    return found | ({"note": note} if note else {})


def _ratio(tokens: int, asked: float, alone: float) -> dict[str, Any]:
    return {
        "ifd": round(asked / alone, 6) if alone > 0 else None, "tokens": tokens,
        "nll": round(asked / tokens, 6) if tokens else None,
        "nll_alone": round(alone / tokens, 6) if tokens else None,
    }  # fmt: skip


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means, and how far the value is one of the answer's length.

    Raises:
        DataError: no row has a value.
    """
    scored = [row for row in rows if row["ifd"] is not None]
    if not scored:
        notes = sorted({str(row.get("note")) for row in rows})
        raise DataError("no dialogue has an answer that can be scored", value=notes[:3])
    values = np.array([row["ifd"] for row in scored], np.float64)
    tokens = np.array([row["tokens"] for row in scored], np.float64)
    points = np.quantile(values, (0.1, 0.5, 0.9))
    edges = np.unique(np.quantile(tokens, (0.0, 0.25, 0.5, 0.75, 1.0)))
    bins = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = (tokens >= low) & ((tokens < high) | (number == len(edges) - 2))
        bins.append({"tokens": [int(low), int(high)], "n": int(inside.sum()),
                     "ifd": float(values[inside].mean()) if inside.any() else None})  # fmt: skip
    return {
        "n": len(rows), "scored": len(scored), "cut": sum(any(t["cut"] for t in row["turns"])
                                                          for row in scored),
        "ifd": {"mean": float(values.mean()), "p10": float(points[0]), "p50": float(points[1]),
                "p90": float(points[2])},
        "above_1": float((values > 1).mean()), "tokens": int(tokens.sum()),
        "length": {"pearson_log_tokens": _correlation(values, np.log(tokens)),
                   "spearman_tokens": _correlation(_ranks(values), _ranks(tokens)),
                   "by_quarter": bins},
    }  # fmt: skip


def _correlation(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float | None:
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Ranks, equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return np.asarray((ends - (count - 1) / 2)[place], np.float64)
