"""From exam questions to the table of n-grams that documents are searched with.

    index_exams    files of questions → items.parquet, index.npz

A question and each of its options are sections of their own, so that options may stand in another
order. What is looked up: the n-grams of a question and of its long options; of a shorter question
all of it. What counts: tokens under an n-gram that at most ``max_questions`` questions share, and
all tokens of shorter options, which are compared where the question stands.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import write_part
from yanmo.errors import UsageError
from yanmo.recipe import from_table

from .exam_items import Against, ExamItem, read_items
from .leak_kernels import SEED_TOKENS, Index, cut, hash_table, keys_of
from .sketch import character_table
from .utf8 import text_buffer

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

ITEMS_SCHEMA: Final = pa.schema(
    [
        pa.field(name, pa.string(), nullable=False)
        for name in ("name", "exam", "split", "subject", "id", "sha256")
    ]
    + [
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("own_question", pa.int64(), nullable=False),
        pa.field("own_options", pa.int64(), nullable=False),
        pa.field("options", pa.int64(), nullable=False),
        pa.field("judged", pa.bool_(), nullable=False),
    ]
)
"""One row a question: its tokens, those that count, its options, and whether it can be found: it
has as many own tokens as an n-gram, and something of it is looked up."""

_BITS_PER_KEY: Final = 16


class Sections(NamedTuple):
    """Tokens of all sections of all items, as :class:`yanmo.curate.leak_kernels.Index` has them."""

    tokens: U64
    bounds: I64
    item_of: I64
    item_sections: I64
    shortest: I64


def index_exams(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Read questions and build their index.

    Args:
        inputs: files of questions.
        parameters: ``against``: a list of ``{"spec": table of Against, "files": [name, …]}``, names
            in the order of the inputs; ``chinese_tokens``, ``english_tokens``, ``max_questions``.
        out: gets ``items.parquet`` and ``index.npz``.

    Returns:
        ``{"questions", "judged", "grams", "common_grams"}``.

    Raises:
        DataError: a file is wrong.
        UsageError: two questions have one name.
    """
    items: list[ExamItem] = []
    start = 0
    for entry in parameters["against"]:
        spec = from_table(Against, entry["spec"], where="decontaminate.against")
        names = entry["files"]
        files = list(zip(names, inputs[start : start + len(names)], strict=True))
        items += read_items(spec, files)
        start += len(names)
    check_names(items)
    lengths = (parameters["chinese_tokens"], parameters["english_tokens"])
    index, table, common = build(items, lengths, max_questions=parameters["max_questions"])
    write_part(out / "items.parquet", table)
    np.savez(out / "index.npz", **index._asdict())
    judged = int(np.count_nonzero(table["judged"].to_numpy()))
    return {"questions": len(items), "judged": judged, "grams": len(index.keys),
            "common_grams": common}  # fmt: skip


@lru_cache(maxsize=1)
def load_index(path: Path) -> Index:
    """Read ``index.npz``; kept for the next part, as its folder is named by its content."""
    with np.load(path) as stored:
        return Index(*(stored[name] for name in Index._fields))


def check_names(items: Sequence[ExamItem]) -> None:
    """Refuse two questions of one name.

    Raises:
        UsageError: there are.
    """
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise UsageError("two questions have one name", where="decontaminate.against",
                             value=item.name,
                             fix="Give one copy of the data, or each an exam name of its own "
                             "(--against NAME=PATH).")  # fmt: skip
        seen.add(item.name)


def build(
    items: Sequence[ExamItem], lengths: tuple[int, int], *, max_questions: int
) -> tuple[Index, pa.Table, int]:
    """Build the index.

    Args:
        items: questions.
        lengths: tokens of an n-gram of a Chinese question, and of another.
        max_questions: an n-gram in more of them is not looked for.

    Returns:
        The index, ``ITEMS_SCHEMA`` rows, and how many n-grams were too common.
    """
    cut_up = sections(items, lengths)
    places, sizes, seeds = _occurrences(cut_up)
    gram_of, first = _distinct(cut_up.tokens, places, sizes)
    item_of_place = cut_up.item_of[_section_of(cut_up)[places]] if len(places) else places
    pairs = np.unique(np.column_stack([gram_of, item_of_place]), axis=0)
    holders = np.bincount(pairs[:, 0], minlength=len(first))
    good = holders <= max_questions
    number = np.cumsum(good) - 1
    kept = good[gram_of] if len(places) else np.zeros(0, np.bool_)
    places, sizes, seeds = places[kept], sizes[kept], seeds[kept]
    gram_of, first = number[gram_of[kept]], first[good]
    index = _assemble(cut_up, (places, sizes, seeds), (gram_of, first))
    return index, _table(items, cut_up, index), int(np.count_nonzero(~good))


def sections(items: Sequence[ExamItem], lengths: tuple[int, int]) -> Sections:
    """Cut questions and options into tokens."""
    texts = [text for item in items for text in (item.question, *item.options)]
    counts = np.array([1 + len(item.options) for item in items], np.int64)
    data, offsets = text_buffer(pa.array(texts, pa.large_string()))
    tokens, starts, ends, bounds = cut(data, offsets, character_table())
    item_sections = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    edges = bounds[item_sections]
    wide = _wide(data, starts, ends)
    share = np.diff(np.concatenate([[0], np.cumsum(wide)])[edges]) / np.maximum(np.diff(edges), 1)
    shortest = np.where(share >= 0.5, *lengths).astype(np.int64)
    item_of = np.repeat(np.arange(len(items)), counts)
    return Sections(tokens.copy(), bounds, item_of, item_sections, shortest)


def _wide(data: npt.NDArray[np.uint8], starts: I64, ends: I64) -> npt.NDArray[np.bool_]:
    """Which tokens begin with an ideograph, kana or the like (three or four bytes, from 0x2E80)."""
    return (data[starts] >= 0xE2) & (ends - starts >= 3)


def _section_of(cut_up: Sections) -> I64:
    return np.repeat(np.arange(len(cut_up.bounds) - 1), np.diff(cut_up.bounds))


def _occurrences(cut_up: Sections) -> tuple[I64, I64, I64]:
    """Place, tokens, and tokens looked up, of every n-gram of every section."""
    lengths = np.diff(cut_up.bounds)
    shortest = cut_up.shortest[cut_up.item_of]
    count = np.maximum(lengths - shortest + 1, 0)
    starts = np.repeat(cut_up.bounds[:-1], count)
    within = np.arange(len(starts)) - np.repeat(np.cumsum(count) - count, count)
    size = np.repeat(shortest, count)
    is_question = np.zeros(len(lengths), np.bool_)
    is_question[cut_up.item_sections[:-1]] = True
    short = np.flatnonzero(is_question & (lengths < shortest) & (lengths >= SEED_TOKENS))
    places = np.concatenate([starts + within, cut_up.bounds[short]])
    sizes = np.concatenate([size, lengths[short]])
    return places, sizes, np.concatenate([size, np.full(len(short), SEED_TOKENS)])


def _distinct(tokens: U64, places: I64, sizes: I64) -> tuple[I64, I64]:
    """Which n-gram each occurrence is, and the first occurrence of each n-gram (as a row)."""
    keys = np.zeros(len(places), np.uint64)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        keys[rows] = keys_of(tokens, places[rows], size)
    _, first, gram_of = np.unique(keys, return_index=True, return_inverse=True)
    # Two n-grams of one key (2^-64 a pair) would be taken for one: all are compared with the first.
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        twins = first[gram_of[rows]]
        for k in range(size):
            equal = tokens[places[rows] + k] == tokens[places[twins] + k]
            if not equal.all() or not (sizes[twins] == size).all():
                raise UsageError("two n-grams of the questions have one hash",
                                 fix="Change decontaminate.chinese_tokens by one.")  # fmt: skip
    return gram_of.astype(np.int64), first.astype(np.int64)


def _assemble(cut_up: Sections, found: tuple[I64, I64, I64], distinct: tuple[I64, I64]) -> Index:
    places, sizes, seeds = found
    gram_of, _ = distinct
    order = np.lexsort((places, gram_of))
    grams, at = np.unique(gram_of[order], return_index=True)
    first = order[at]
    counts = np.bincount(gram_of, minlength=len(grams))
    keys = np.zeros(len(grams), np.uint64)
    for seed in np.unique(seeds).tolist():
        rows = np.flatnonzero(seeds[first] == seed)
        keys[rows] = keys_of(cut_up.tokens, places[first[rows]], seed)
    table = np.full(1 << max((2 * len(keys)).bit_length(), 4), -1, np.int64)
    following = np.full(len(keys), -1, np.int64)
    hash_table(keys, table, following)
    edges = np.zeros(len(cut_up.tokens) + 1, np.int64)
    np.add.at(edges, places, 1)
    np.add.at(edges, places + sizes, -1)
    own = (np.cumsum(edges)[:-1] > 0).astype(np.uint8)
    lengths = np.diff(cut_up.bounds)
    shorter = lengths < cut_up.shortest[cut_up.item_of]
    shorter[cut_up.item_sections[:-1]] = False
    own[np.repeat(shorter, lengths)] = 1
    return Index(
        lengths=np.unique(seeds).astype(np.int64), bits=_filter(keys), table=table, keys=keys,
        following=following, first=places[first], length=sizes[first],
        post_bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        posts=places[order], tokens=cut_up.tokens, own=own, section_of=_section_of(cut_up),
        section_bounds=cut_up.bounds, item_of=cut_up.item_of, item_sections=cut_up.item_sections,
        shortest=cut_up.shortest,
    )  # fmt: skip


def _filter(keys: U64) -> U64:
    """One bit a key, in 16 bits a key and more: one lookup in twenty passes that should not."""
    words = 1 << max(int(_BITS_PER_KEY * len(keys) // 64).bit_length(), 4)
    bits = np.zeros(words, np.uint64)
    bit = keys & np.uint64(64 * words - 1)
    np.bitwise_or.at(bits, (bit >> np.uint64(6)).astype(np.int64),
                     np.uint64(1) << (bit & np.uint64(63)))  # fmt: skip
    return bits


def _table(items: Sequence[ExamItem], cut_up: Sections, index: Index) -> pa.Table:
    edges = cut_up.bounds[cut_up.item_sections]
    middles = cut_up.bounds[cut_up.item_sections[:-1] + 1]
    own = np.concatenate([[0], np.cumsum(index.own.astype(np.int64))])
    own_question = own[middles] - own[edges[:-1]]
    own_options = own[edges[1:]] - own[middles]
    looked_up = np.zeros(len(items), np.bool_)
    looked_up[index.item_of[index.section_of[index.posts]]] = True
    columns: dict[str, Any] = {
        name: [getattr(item, name) for item in items]
        for name in ("name", "exam", "split", "subject", "id")
    }
    columns |= {
        "sha256": [item.digest for item in items],
        "tokens": np.diff(edges),
        "own_question": own_question,
        "own_options": own_options,
        "options": np.diff(cut_up.item_sections) - 1,
        "judged": looked_up & (own_question + own_options >= cut_up.shortest),
    }
    return pa.table(columns, schema=ITEMS_SCHEMA)
