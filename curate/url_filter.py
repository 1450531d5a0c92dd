"""Judge pages by their address, before anybody extracts them.

    allow list, then domains, addresses, expressions, hard words, soft words, sub-words

The first that drops a page is its verdict. Words are looked for in the address as people read it
(Punycode and percent signs decoded): Latin ones stand alone between signs, hanzi anywhere;
sub-words also across signs.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import PartWriter, iterate
from yanmo.files import read_json

from .blocked_pages import VERDICTS, VERDICTS_FILE
from .ledger import ByteLedger, Quarantine
from .stretch import pages_of
from .url_keys import Addresses, Listed, look_up, normalize_addresses, unicode_host
from .url_lists import PATTERNS_FILE, TABLES, load_tables
from .utf8 import text_buffer
from .word_trie import Trie, build, find, fold_codes, fold_table, folded, kind_table

ADDRESSES_FILE: Final = "addresses.parquet"
_ADDRESSES: Final = pa.schema([pa.field("origin", pa.string(), nullable=False),
                               ("url", pa.string())])  # fmt: skip
INDEX_FILES: Final = (*(f"{t}.{part}.npy" for t in TABLES for part in ("keys", "lists")),
                      PATTERNS_FILE)  # fmt: skip
RULES: Final = ("url_domain", "url_address", "url_expression", "url_hard_word", "url_soft_words",
                "url_subword")  # fmt: skip
"""In the order in which they are tried."""

Flags = npt.NDArray[np.bool_]


def list_addresses(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: the addresses of the pages that an ingest task reads, in their order.

    Args:
        inputs, parameters: as for :func:`yanmo.curate.stretch.pages_of`.
        out: gets ``addresses.parquet``.

    Returns:
        ``{"pages", "without_url"}``.
    """
    without = 0
    with (
        Quarantine(None) as quarantine,
        PartWriter(out / ADDRESSES_FILE, _ADDRESSES, intermediate=True) as writer,
    ):
        _, pages = pages_of(inputs, parameters, ByteLedger(quarantine))
        for batch in pages:
            writer.write(batch.select(["origin", "url"]))
            without += batch.column("url").null_count
    return {"pages": writer.rows, "without_url": without}


def judge_addresses(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: which of these pages are left out.

    Args:
        inputs: the addresses, then the files of ``INDEX_FILES``.
        parameters: ``max_soft_words``, ``below``, ``limit`` (first pages that are used, or None).
        out: gets ``verdicts.parquet``.

    Returns:
        ``{"pages", "without_url", "allowed", "dropped": {rule: {list: pages}}}``; ``allowed`` are
        pages that the allow list names, dropped or not otherwise.
    """
    index = load_index(*inputs[1:])
    told: dict[str, Any] = {"pages": 0, "without_url": 0, "allowed": 0}
    dropped: dict[str, dict[str, int]] = {}
    with PartWriter(out / VERDICTS_FILE, VERDICTS) as writer:
        for batch in iterate(inputs[:1], columns=["origin", "url"]):
            if parameters["limit"] is not None:
                batch = batch.slice(0, max(0, parameters["limit"] - told["pages"]))
            found = judge(batch.column("url"), index, max_soft_words=parameters["max_soft_words"],
                          below=parameters["below"])  # fmt: skip
            for row in found.rows:
                row["origin"] = batch.column("origin")[row["page"]].as_py()
                row["page"] += told["pages"]
                name, by_list = row.pop("list"), dropped.setdefault(row["rule"], {})
                by_list[name] = by_list.get(name, 0) + 1
            writer.write(pa.Table.from_pylist(found.rows, VERDICTS))
            told["pages"] += batch.num_rows
            told["without_url"] += found.without
            told["allowed"] += found.allowed
    return {**told, "dropped": dropped}


@dataclass(frozen=True)
class Index:
    """All lists, ready to be asked."""

    tables: dict[str, Listed]
    names: list[str]
    expressions: list[tuple[str, str]]
    hard: "_Words"
    soft: "_Words"
    sub: "_Words"


@dataclass(frozen=True)
class _Words:
    """Words and the list that each is on."""

    words: list[str]
    lists: list[str]
    trie: Trie


@dataclass(frozen=True)
class Found:
    """The pages of a batch that are left out: dicts in ``VERDICTS``, with ``list``."""

    rows: list[dict[str, Any]]
    without: int
    allowed: int


@cache
def load_index(*files: Path) -> Index:
    """Read the files of ``INDEX_FILES``."""
    by_name = {path.name: path for path in files}
    patterns = read_json(by_name[PATTERNS_FILE])
    words = patterns["words"]
    return Index(load_tables(by_name), patterns["names"],
                 [(name, text) for name, text in patterns["expressions"]],
                 *(_words(words.get(kind, [])) for kind in ("hard_words", "soft_words",
                                                            "subwords")))  # fmt: skip


def _fold() -> npt.NDArray[np.int32]:
    return fold_table(case=True, variants=False)


def _words(listed: list[list[str]]) -> _Words:
    known: dict[str, str] = {}
    for name, word in listed:
        known.setdefault(folded(word, _fold()), name)
    return _Words(list(known), list(known.values()), build(list(known)))


def judge(urls: pa.Array, index: Index, *, max_soft_words: int, below: bool) -> Found:
    """Judge pages by their addresses.

    Args:
        urls: string, null where a page has none.
        index: the lists.
        max_soft_words: different soft words that may be in an address.
        below: listed addresses hold those below them.
    """
    buffer, offsets = text_buffer(urls)
    found = normalize_addresses(buffer, offsets[:-1], offsets[1:])
    tables = index.tables
    allowed = look_up(found, tables["allow-domains"], tables["allow-urls"], below=below)[:, 0] > 0
    listed = look_up(found, tables["domains"], tables["urls"], below=below)
    verdicts: dict[int, dict[str, Any]] = {}
    for row in np.flatnonzero((listed[:, 0] > 0) & ~allowed).tolist():
        kind, number, start, end = listed[row].tolist()
        entry = found.address(row)[start:end].decode("utf-8", "replace")
        shown = unicode_host(entry) if kind == 1 and "xn--" in entry else entry
        verdicts[row] = _verdict(row, RULES[kind - 1], index.names[number], shown)
    left = ~allowed & (listed[:, 0] == 0) & (np.diff(found.bounds) > 0)
    if index.expressions and left.any():
        _match_expressions(found, index, left, verdicts)
    if left.any():
        _match_words(found, index, left, verdicts, max_soft_words)
    rows = [verdicts[row] for row in sorted(verdicts)]
    without = urls.null_count + int(pc.sum(pc.equal(pc.utf8_length(urls), 0)).as_py() or 0)
    return Found(rows, without, int(allowed.sum()))


def _verdict(
    row: int, rule: str, name: str, entry: str, value: float | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {"page": row, "rule": rule, "value": value, "threshold": threshold,
            "matched": f"{entry} ({name})", "list": name}  # fmt: skip


def _match_expressions(
    found: Addresses, index: Index, left: Flags, verdicts: dict[int, dict[str, Any]]
) -> None:
    """RE2, by way of Arrow: no expression takes more than linear time."""
    rows = np.flatnonzero(left)
    texts = pa.array([found.address(row).decode("utf-8", "replace") for row in rows.tolist()])
    for name, text in index.expressions:
        hits = pc.match_substring_regex(texts, text, ignore_case=True)
        for row in rows[hits.to_numpy(zero_copy_only=False)].tolist():
            if left[row]:
                verdicts[row] = _verdict(row, RULES[2], name, text)
                left[row] = False


def _match_words(
    found: Addresses, index: Index, left: Flags, verdicts: dict[int, dict[str, Any]],
    max_soft_words: int,
) -> None:  # fmt: skip
    rows = np.flatnonzero(left)
    if not (index.hard.words or index.soft.words or index.sub.words):
        return
    texts = [_as_read(found, row) for row in rows.tolist()]
    plain = _matches(texts, index.hard, "words"), _matches(texts, index.soft, "words")
    squeezed = ["".join(filter(str.isalnum, text)) for text in texts] if index.sub.words else []
    inside = _matches(squeezed, index.sub, "off")
    for place, row in enumerate(rows.tolist()):
        hard, soft, sub = (m.get(place, []) for m in (*plain, inside))
        if hard:
            verdicts[row] = _of_words(row, RULES[3], index.hard, hard[:1])
        elif len(soft) > max_soft_words:
            verdicts[row] = _of_words(row, RULES[4], index.soft, soft, value=float(len(soft)),
                                      threshold=float(max_soft_words))  # fmt: skip
        elif sub:
            verdicts[row] = _of_words(row, RULES[5], index.sub, sub[:1])


def _of_words(
    row: int, rule: str, words: _Words, terms: list[int], *, value: float | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    entry = ", ".join(words.words[term] for term in terms)
    return _verdict(row, rule, words.lists[terms[0]], entry, value, threshold)


def _as_read(found: Addresses, row: int) -> str:
    address = found.address(row).decode("utf-8", "replace")
    if "xn--" not in address:
        return address
    host = found.host(row).decode("utf-8", "replace")
    return unicode_host(host) + address[len(host) :]


def _matches(texts: list[str], words: _Words, boundaries: str) -> dict[int, list[int]]:
    """The different words in each text, in the order in which they come."""
    if not words.words or not texts:
        return {}
    joined = "".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), "<u4").astype(np.int32)
    bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    matches = find(fold_codes(codes, _fold()), bounds, words.trie, kind_table(boundaries))
    found: dict[int, list[int]] = {}
    for row, term in zip(matches.document.tolist(), matches.term.tolist(), strict=True):
        terms = found.setdefault(row, [])
        if term not in terms:
            terms.append(term)
    return found
