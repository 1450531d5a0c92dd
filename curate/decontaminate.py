"""Questions of examinations in the corpus: found, reported, and cut out or dropped. Tasks.

    index_exams    questions                          items.parquet, index.npz
    find_part      kept.parquet of a part, index      places.parquet, counts.npy
    judge          items, places and counts of all    leaks.jsonl, leaks.json, documents.parquet,
                                                      cuts-*.parquet
    clear_part     kept.parquet, cuts of the part     kept.parquet, dropped.parquet

A question is found in a document where n-grams of tokens, compared token by token, cover enough of
it. An n-gram that stands in more than ``max_documents`` documents without the question and its
options is common: it covers, but a find needs one that is not.

Source: GPT-3 (arXiv:2005.14165, appendix C): 13-grams, those in more than 10 documents left out,
200 characters cut on both sides; PaLM (arXiv:2204.02311, section 8): 70 % of a question's n-grams.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, PartWriter, iterate
from yanmo.errors import RecipeError
from yanmo.recipe import setting

from .character_ledger import Edits
from .dropped_rows import dropped_rows
from .exam_items import LETTERS, Against
from .leak_index import load_index
from .leak_kernels import ROW, Index, cut, find, places
from .pii_rewrite import count_characters
from .sketch import character_table
from .utf8 import Bounds, Bytes, chunks, text_buffer

ACTIONS: Final = ("off", "report", "mask", "drop")
RULE: Final = "contaminated"
"""The rule of dropped documents."""
EDIT: Final = "decontaminate"
"""The rule on the character ledger."""
EXCERPT_CHARS: Final = 300
CHUNK_BYTES: Final = 1 << 18
COLUMNS: Final = ("id", "source", "origin", "url", "text")

PLACES_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("item", pa.int64(), nullable=False),
        pa.field("question_tokens", pa.int64(), nullable=False),
        pa.field("option_tokens", pa.int64(), nullable=False),
        pa.field("options_found", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("cut_start", pa.int64(), nullable=False),
        pa.field("cut_end", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("grams", pa.list_(pa.int64()), nullable=False),
    ]
)
"""One row a place where enough of a question stands: ``start`` and ``end`` are code points of the
text, ``cut_*`` bytes of it with the context, ``text`` its beginning, ``grams`` what was found."""

CUTS_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cut_start", pa.int64(), nullable=False),
        pa.field("cut_end", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class DecontaminateOptions:
    """The ``[decontaminate]`` table of a recipe: what becomes of questions found in kept texts."""

    action: str = setting(
        "off", choices=ACTIONS,
        help="report them, mask (cut out) where they stand, or drop the documents.",
    )  # fmt: skip
    act_on: str = setting(
        "any", choices=("any", "both"),
        help="Cut or drop for any find, or only where a question stands with its options.",
    )  # fmt: skip
    chinese_tokens: int = setting(
        13, low=5, high=64, source="docs/decontamination.md",
        help="Tokens of an n-gram of Chinese questions; a hanzi, or a run of letters and digits.",
    )  # fmt: skip
    english_tokens: int = setting(
        13, low=5, high=64, source="GPT-3", help="Tokens of an n-gram of other questions."
    )
    min_share: float = setting(
        0.7, low=0.01, high=1.0, source="PaLM; docs/decontamination.md",
        help="Share of a question (or question and options) that a place must hold.",
    )  # fmt: skip
    max_documents: int | None = setting(
        10, low=0, source="GPT-3",
        help="An n-gram in more documents, without question and options, proves nothing.",
    )  # fmt: skip
    max_questions: int = setting(
        10, low=1, source="docs/decontamination.md",
        help="An n-gram in more questions is a form of words; it is not looked for.",
    )  # fmt: skip
    context_tokens: int = setting(
        36, low=0, source="GPT-3: 200 characters, 36 English words",
        help="What `mask` cuts on both sides, as the answer often follows.",
    )  # fmt: skip
    min_chars: int | None = setting(
        50, low=1, source="datatrove SentenceDedup: 50 words",
        help="A document that `mask` cut goes if fewer visible characters are left of it.",
    )  # fmt: skip
    against: tuple[Against, ...] = setting(
        (), help='Questions, such as [{path = "ceval-exam.zip"}]; exam, question, options, answer '
        "and id name what the path does not.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse to look for nothing."""
        if self.is_on and not self.against:
            raise RecipeError("'decontaminate' has no questions to look for",
                              fix="Name them: [[decontaminate.against]] path = …, or "
                              "`yanmo curate decontaminate --against FILE`.")  # fmt: skip

    @property
    def is_on(self) -> bool:
        """Whether anything is looked for."""
        return self.action != "off"

    @property
    def edits(self) -> bool:
        """Whether documents may change or go."""
        return self.action in ("mask", "drop")


def find_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Find the questions that stand in a part.

    Args:
        inputs: the part (document table), ``index.npz``.
        parameters: ``min_share``, ``context_tokens``.
        out: gets ``places.parquet`` and ``counts.npy``: documents that hold each n-gram without
            question and options, int64 ``[G]``.

    Returns:
        ``{"documents", "places"}``.
    """
    index = load_index(inputs[1])
    counts = np.zeros((len(index.keys) + 1, 3), np.int64)
    documents = 0
    with PartWriter(out / "places.parquet", PLACES_SCHEMA) as writer:
        for batch in iterate([inputs[0]], columns=COLUMNS):
            documents += batch.num_rows
            for table in find_places(batch, index, counts, parameters):
                writer.write(table)
    np.save(out / "counts.npy", counts[:-1, 0].copy())
    return {"documents": documents, "places": writer.rows}


def find_places(
    batch: pa.RecordBatch, index: Index, counts: npt.NDArray[np.int64], parameters: dict[str, Any]
) -> Iterator[pa.Table]:
    """The places of a batch of documents, chunk by chunk.

    Args:
        batch: with ``COLUMNS``.
        index: the questions.
        counts: int64 ``[G + 1, 3]``, see :func:`yanmo.curate.leak_kernels.places`.
        parameters: ``min_share``, ``context_tokens``.
    """
    data, offsets = text_buffer(batch.column("text"))
    for rows in chunks(offsets, chunk_bytes=CHUNK_BYTES):
        limits = offsets[rows.start : rows.stop + 1]
        tokens, starts, ends, bounds = cut(data, limits, character_table())
        hits, hit_bounds = find(tokens, bounds, index)
        if not len(hits):
            continue
        found, grams = places(tokens, bounds, hits, hit_bounds, index, parameters["min_share"],
                              counts)  # fmt: skip
        if len(found):
            context = parameters["context_tokens"]
            spans = _spans(found, (starts, ends, bounds), limits, context)
            part = batch.slice(rows.start, rows.stop - rows.start)
            yield _place_table(part, found, grams, (data, limits, spans))


def _spans(
    found: npt.NDArray[np.int64],
    cut_up: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Bounds],
    limits: Bounds,
    context: int,
) -> npt.NDArray[np.int64]:
    """First byte and byte after the last of each place, alone and with its context: ``[R, 4]``."""
    starts, ends, bounds = cut_up
    document = found[:, 0]
    low, high = bounds[document], bounds[document + 1]
    before, after = found[:, 2] - context, found[:, 3] + context
    cut_start = np.where(before <= low, limits[document], starts[np.maximum(before, low)])
    cut_end = np.where(after >= high, limits[document + 1], ends[np.minimum(after, high) - 1])
    if context == 0:
        cut_start, cut_end = starts[found[:, 2]], ends[found[:, 3] - 1]
    return np.column_stack([starts[found[:, 2]], ends[found[:, 3] - 1], cut_start, cut_end])


def _place_table(
    part: pa.RecordBatch,
    found: npt.NDArray[np.int64],
    grams: npt.NDArray[np.int64],
    where: tuple[Bytes, Bounds, npt.NDArray[np.int64]],
) -> pa.Table:
    data, limits, spans = where
    documents = found[:, 0]
    first = limits[documents]
    at: list[list[Any]] = [[], [], []]
    for zero, start, end in zip(first.tolist(), *spans[:, :2].T.tolist(), strict=True):
        before = _code_points(data, zero, start)
        at[0].append(before)
        at[1].append(before + _code_points(data, start, end))
        at[2].append(data[start:end].tobytes().decode("utf-8", "replace")[:EXCERPT_CHARS])
    columns = {name: part.column(name).take(pa.array(documents)) for name in COLUMNS[:4]}
    ends = pa.array(np.concatenate([[0], found[:, ROW - 1]]), pa.int32())
    columns |= {
        "item": found[:, 1], "question_tokens": found[:, 4], "option_tokens": found[:, 5],
        "options_found": ["".join(x for i, x in enumerate(LETTERS) if marks >> i & 1)
                          for marks in found[:, 6].tolist()],
        "start": at[0], "end": at[1], "text": at[2],
        "cut_start": spans[:, 2] - first, "cut_end": spans[:, 3] - first,
        "grams": pa.ListArray.from_arrays(ends, pa.array(grams)),
    }  # fmt: skip
    return pa.table([columns[name] for name in PLACES_SCHEMA.names], schema=PLACES_SCHEMA)


def _code_points(data: Bytes, start: int, end: int) -> int:
    return int(count_characters(data, np.array([start, end], np.int64))[0])


def clear_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Cut questions out of a part, or drop the documents that hold them.

    What was cut becomes one line end, so that the texts before and after do not run together; a
    document of which too little is left is dropped.

    Args:
        inputs: the part (document table), its cuts (``CUTS_SCHEMA``).
        parameters: ``action`` (``mask`` or ``drop``), ``min_chars``, ``min_share``,
            ``keep_dropped``, ``sample_fraction``.
        out: gets ``kept.parquet`` and ``dropped.parquet``.

    Returns:
        ``{"cleared", "dropped": {rule: {documents, chars}}, "edits", "chars_in", "chars_out"}``.

    Raises:
        LedgerError: the characters do not balance.
    """
    cuts = _cuts_by_id(pq.read_table(inputs[1]))
    total = Edits((EDIT,))
    by_rule: dict[str, list[int]] = {}
    cleared = 0
    with (
        PartWriter(out / "kept.parquet", SCHEMA) as kept,
        PartWriter(out / "dropped.parquet", DROPPED_SCHEMA) as dropped,
    ):
        for batch in iterate([inputs[0]]):
            hit = [i for i, name in enumerate(batch.column("id").to_pylist()) if name in cuts]
            texts, edits = _cleared(batch, hit, cuts, parameters)
            gone = np.zeros(batch.num_rows, np.bool_)
            gone[[row for row, text in texts.items() if text is None]] = True
            cleared += len(hit) - int(gone.sum())
            total.add(edits)
            kept.write(_rewritten(batch, texts).filter(pa.array(~gone)))
            lost = batch.filter(pa.array(gone))
            dropped.write(dropped_rows(lost, _verdicts(lost, cuts, parameters), parameters,
                                       by_rule))  # fmt: skip
    total.check(inputs[0])
    rules = {rule: {"documents": n, "chars": c} for rule, (n, c) in by_rule.items()}
    return {"cleared": cleared, "dropped": rules, "edits": total.by_rule(),
            "chars_in": total.chars_in, "chars_out": total.chars_out}  # fmt: skip


Cuts = dict[str, tuple[float, list[tuple[int, int]]]]


def _cuts_by_id(table: pa.Table) -> Cuts:
    """Largest share, and merged byte spans, by document."""
    found: Cuts = {}
    rows = sorted(zip(*(table[name].to_pylist() for name in CUTS_SCHEMA.names), strict=True))
    for name, start, end, share in rows:
        best, spans = found.get(name, (0.0, []))
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
        found[name] = (max(best, share), spans)
    return found


def _cleared(
    batch: pa.RecordBatch, hit: list[int], cuts: Cuts, parameters: dict[str, Any]
) -> tuple[dict[int, str | None], Edits]:
    """The new text of the documents that change, None for one that goes; and the ledger."""
    edits = Edits((EDIT,))
    texts: dict[int, str | None] = {}
    least = max(1, parameters["min_chars"] or 0)  # there is no document without text
    for row in hit:
        old = batch.column("text")[row].as_py()
        new, added = _without(old, cuts[batch.column("id")[row].as_py()][1])
        if parameters["action"] == "drop" or len("".join(new.split())) < least:
            texts[row] = None
            continue
        texts[row] = new
        edits.counts[0] += (len(old) - len(new) + added, added)
        edits.chars_in += len(old)
        edits.chars_out += len(new)
    return texts, edits


def _without(text: str, spans: list[tuple[int, int]]) -> tuple[str, int]:
    """A text without some spans of its bytes, and how many line ends took their place."""
    data = text.encode()
    pieces, at = [], 0
    for start, end in spans:
        pieces.append(data[at:start])
        at = end
    pieces.append(data[at:])
    inner = [piece for piece in pieces if piece]
    return b"\n".join(inner).decode(), max(len(inner) - 1, 0)


def _rewritten(batch: pa.RecordBatch, texts: dict[int, str | None]) -> pa.Table:
    table = pa.Table.from_batches([batch]).select(SCHEMA.names)
    rows = sorted(row for row, text in texts.items() if text is not None)
    if not rows:
        return table
    mask = np.zeros(batch.num_rows, np.bool_)
    mask[rows] = True
    changed = pa.array([texts[row] for row in rows], pa.large_string())
    text = pc.replace_with_mask(batch.column("text"), pa.array(mask), changed)
    buffer, offsets = text_buffer(text)
    for name, column in (("text", text), ("n_bytes", pa.array(np.diff(offsets))),
                         ("n_chars", pa.array(count_characters(buffer, offsets)))):  # fmt: skip
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    return table


def _verdicts(lost: pa.RecordBatch, cuts: Cuts, parameters: dict[str, Any]) -> pa.Table:
    shares = [cuts[name][0] for name in lost.column("id").to_pylist()]
    n = len(shares)
    return pa.table({
        "step": pa.array([EDIT] * n, pa.string()), "rule": pa.array([RULE] * n, pa.string()),
        "value": pa.array(shares, pa.float64()),
        "threshold": pa.array([parameters["min_share"]] * n, pa.float64()),
    })  # fmt: skip
