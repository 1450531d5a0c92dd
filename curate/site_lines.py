"""Lines repeated on many pages of one host: found by counting over all parts, then cut. Tasks.

    site_pages    document table                          pages.npy: host, url, text of each page
    site_hosts    these of all parts                      hosts.npy: hosts with pages enough
    site_map      document table, hosts.npy               lines-*.npy, partitioned, sorted
    site_reduce   one partition of all parts, hosts.npy   keys.npy: the lines to cut
    site_apply    document table, keys of all partitions  documents.parquet, edits.parquet

A line goes if it stands on more than ``pages`` pages of its host and on more than ``fraction`` of
them. Pages are counted twice, by address and by text, and the smaller number counts: neither a page
fetched again nor a text that is reachable under many addresses makes a template of its own lines.
What is in memory at once is one part, or one stretch of one partition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import SCHEMA, PartWriter, iterate
from yanmo.recipe import from_table, setting

from .character_ledger import Edits
from .language import Identifier, LanguageOptions
from .line_edits import EDITS_SCHEMA, changed_rows, cut_spans, identified_again, replaced
from .site_kernels import hash_rows, line_keys, marked_lines
from .utf8 import text_buffer

STEP: Final = "site"
RULE: Final = "site_lines"
PARTITIONS: Final = 16
STRETCH_ROWS: Final = 1 << 22
"""Rows of one partition that a reducer holds at once (24 bytes each); more only for one line."""

PAGE_DTYPE: Final = np.dtype([("host", "<u8"), ("url", "<u8"), ("text", "<u8")])
HOST_DTYPE: Final = np.dtype([("host", "<u8"), ("pages", "<i8")])
LINE_DTYPE: Final = np.dtype([("key", "<u8"), ("host", "<u8"), ("url", "<u8"), ("text", "<u8")])
_HOST: Final = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//(?:[^/?#@]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:\\]+)"

U64 = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]


@dataclass(frozen=True)
class SiteOptions:
    """The ``[site]`` table of a recipe: lines repeated on the pages of one host."""

    repeated_lines: bool = setting(
        False, help="Cut lines that stand on many pages of one host (menus, footers, templates)."
    )
    pages: int = setting(
        10, low=1, source="docs/lines.md", help="A line goes if more pages of its host have it."
    )
    fraction: float = setting(
        0.2, low=0.0, high=1.0, source="docs/lines.md",
        help="And if more than this share of the host's pages have it.",
    )  # fmt: skip
    max_chars: int | None = setting(
        200, low=1, source="docs/lines.md", help="Longer lines are never taken for a template."
    )
    min_letters: int = setting(
        4, low=0, source="docs/lines.md", help="Lines with fewer letters and digits never go."
    )
    without_url: str = setting(
        "keep", choices=("keep", "source"),
        help="Documents without an address: leave them alone, or take their source for a host.",
    )  # fmt: skip


def _identities(batch: pa.RecordBatch, without_url: str) -> tuple[U64, U64]:
    """Hashes of host and address of every document; 0 where there is no host."""
    url = batch.column("url")
    found = pc.extract_regex(url, _HOST)
    host = pc.utf8_lower(pc.struct_field(found, "host"))
    if without_url == "source":
        named = pc.binary_join_element_wise("source", batch.column("source"), "\0")
        host = pc.coalesce(host, named)
        url = pc.coalesce(url, batch.column("id"))
    hosts = hash_rows(*text_buffer(host))
    hosts[host.is_null().to_numpy(zero_copy_only=False)] = 0
    return hosts, hash_rows(*text_buffer(url))


def site_pages(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The host, address and text of every page of a part, as hashes: ``pages.npy`` (PAGE_DTYPE).

    Args:
        inputs: the part (document table).
        parameters: ``without_url``.
        out: folder to write.

    Returns:
        ``{"documents", "without_host"}``.
    """
    pieces = [np.empty(0, PAGE_DTYPE)]
    without = rows = 0
    for batch in iterate(inputs, columns=["id", "url", "source", "text"]):
        hosts, urls = _identities(batch, parameters["without_url"])
        pages = np.empty(len(hosts), PAGE_DTYPE)
        pages["host"], pages["url"] = hosts, urls
        pages["text"] = hash_rows(*text_buffer(batch.column("text")))
        rows += len(pages)
        without += int((hosts == 0).sum())
        pieces.append(pages[hosts != 0])
    np.save(out / "pages.npy", _sorted_once(np.concatenate(pieces)))
    return {"documents": rows, "without_host": without}


def _sorted_once(records: Records) -> Records:
    """Sorted by all columns, the first one first, and each row once; faster than np.unique."""
    names = records.dtype.names or ()
    records = records[np.lexsort([records[name] for name in reversed(names)])]
    new = np.ones(len(records), np.bool_)
    new[1:] = np.any([records[name][1:] != records[name][:-1] for name in names], axis=0)
    return records[new]


def site_hosts(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Hosts with more than ``pages`` pages: ``hosts.npy`` (HOST_DTYPE), sorted.

    Args:
        inputs: ``pages.npy`` of every part.
        parameters: ``pages``.
        out: folder to write.

    Returns:
        ``{"hosts", "enough"}``: hosts in all, and with pages enough.
    """
    pages = np.concatenate([np.empty(0, PAGE_DTYPE), *(np.load(path) for path in inputs)])
    hosts, counts = _distinct(pages["host"], pages["url"], pages["text"])
    enough = counts > parameters["pages"]
    table = np.empty(int(enough.sum()), HOST_DTYPE)
    table["host"], table["pages"] = hosts[enough], counts[enough]
    np.save(out / "hosts.npy", table)
    return {"hosts": len(hosts), "enough": len(table)}


def _distinct(keys: U64, urls: U64, texts: U64) -> tuple[U64, npt.NDArray[np.int64]]:
    """Each key once, sorted, with the smaller of its numbers of addresses and of texts."""
    counts = []
    found = np.unique(keys)
    for values in (urls, texts):
        order = np.lexsort((values, keys))
        ordered, inner = keys[order], values[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]) | (inner[1:] != inner[:-1])
        counts.append(np.bincount(np.searchsorted(found, ordered[new]), minlength=len(found)))
    return found, np.minimum(*counts).astype(np.int64)


def site_map(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Likely lines of pages of hosts that have pages enough: ``lines-00.npy`` … (LINE_DTYPE).

    Partitioned by the highest bits of the key (a hash of host and line), sorted, each once a page.

    Args:
        inputs: the part (document table), ``hosts.npy``.
        parameters: ``without_url``, ``max_chars``, ``min_letters``.
        out: folder to write.

    Returns:
        ``{"lines"}``.
    """
    enough = np.load(inputs[1])["host"]
    pieces = [np.empty(0, LINE_DTYPE)]
    for batch in iterate(inputs[:1], columns=["id", "url", "source", "text"]):
        hosts, urls = _identities(batch, parameters["without_url"])
        hosts = np.where(np.isin(hosts, enough), hosts, 0).astype(np.uint64)
        buffer, offsets = text_buffer(batch.column("text"))
        keys, rows = line_keys(
            buffer, offsets, hosts, parameters["max_chars"], parameters["min_letters"]
        )
        lines = np.empty(len(keys), LINE_DTYPE)
        lines["key"], lines["host"], lines["url"] = keys, hosts[rows], urls[rows]
        lines["text"] = hash_rows(buffer, offsets)[rows]
        pieces.append(_sorted_once(lines))
    lines = _sorted_once(np.concatenate(pieces))
    cuts = np.searchsorted(lines["key"], _partition_starts())
    for number, part in enumerate(np.split(lines, cuts[1:])):
        np.save(out / partition_name(number), part)
    return {"lines": len(lines)}


def partition_name(partition: int) -> str:
    """File name of a partition."""
    return f"lines-{partition:02d}.npy"


def _partition_starts() -> U64:
    return np.arange(PARTITIONS, dtype=np.uint64) * np.uint64(2**64 // PARTITIONS)


def site_reduce(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The keys of the lines that go: ``keys.npy``, uint64, sorted.

    Args:
        inputs: this partition of every part, then ``hosts.npy``.
        parameters: ``pages``, ``fraction``.
        out: folder to write.

    Returns:
        ``{"distinct_lines", "repeated"}``.
    """
    files = [np.load(path, mmap_mode="r") for path in inputs[:-1]]
    hosts = np.load(inputs[-1])
    chosen = [np.empty(0, np.uint64)]
    distinct = 0
    for lines in _stretches(files):
        keys, counts = _distinct(lines["key"], lines["url"], lines["text"])
        distinct += len(keys)
        _, first = np.unique(lines["key"], return_index=True)
        pages = hosts["pages"][np.searchsorted(hosts["host"], lines["host"][first])]
        repeated = (counts > parameters["pages"]) & (counts > parameters["fraction"] * pages)
        chosen.append(keys[repeated])
    found = np.concatenate(chosen)
    np.save(out / "keys.npy", found)
    return {"distinct_lines": distinct, "repeated": len(found)}


def _stretches(files: Sequence[Records]) -> Iterator[Records]:
    """The rows of sorted files in ascending stretches of keys, none cut, of bounded size."""
    starts = [0] * len(files)
    step = max(1, STRETCH_ROWS // max(1, len(files)))
    while any(start < len(file) for start, file in zip(starts, files, strict=True)):
        # Up to the smallest of the keys that lie a step ahead: no file gives more than a step and
        # the rows of one key.
        ahead = [f["key"][min(s + step, len(f)) - 1] for s, f in zip(starts, files, strict=True)
                 if s < len(f)]  # fmt: skip
        limit = min(ahead)
        ends = [s + int(np.searchsorted(f["key"][s:], limit, side="right"))
                for s, f in zip(starts, files, strict=True)]  # fmt: skip
        yield np.concatenate([f[s:e] for f, s, e in zip(files, starts, ends, strict=True)])
        starts = ends


def site_apply(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Cut the repeated lines out of the documents of a part.

    A document of repeated lines alone keeps its text: it is for the other rules to judge.

    Args:
        inputs: the part (document table), ``keys.npy`` of all partitions in order; and, if there is
            one, the lid.176 model.
        parameters: ``without_url``, ``max_chars``, ``min_letters``, ``language`` (table of
            ``LanguageOptions``).
        out: gets ``documents.parquet`` and ``edits.parquet``.

    Returns:
        ``{"edits", "chars_in", "chars_out", "rows", "changed", "lines"}``.

    Raises:
        LedgerError: the characters do not balance.
    """
    keys = np.concatenate([np.load(path) for path in inputs[1 : 1 + PARTITIONS]])
    language = from_table(LanguageOptions, parameters["language"], where="language")
    model = inputs[1 + PARTITIONS] if len(inputs) > 1 + PARTITIONS else None
    identifier = Identifier(language, model=model)
    total = Edits((RULE,))
    changed = lines = 0
    with (
        PartWriter(out / "documents.parquet", SCHEMA, intermediate=True) as writer,
        PartWriter(out / "edits.parquet", EDITS_SCHEMA) as diff,
    ):
        for batch in iterate(inputs[:1]):
            hosts, _ = _identities(batch, parameters["without_url"])
            buffer, offsets = text_buffer(batch.column("text"))
            spans, cut = marked_lines(
                buffer, offsets, hosts, keys, parameters["max_chars"], parameters["min_letters"]
            )
            pieces = cut_spans(buffer, offsets, spans)
            table, edits = replaced(batch, pieces, step=STEP, rules=(RULE,))
            table = identified_again(table, changed_rows(pieces), identifier)
            total.chars_in += int(batch.column("n_chars").to_numpy().sum())
            total.chars_out += int(table["n_chars"].to_numpy().sum())
            total.counts[0, 0] += int((spans[:, 2] - spans[:, 1]).sum())
            changed += len(np.unique(spans[:, 0]))
            lines += cut
            writer.write(table)
            diff.write(edits)
    total.check(inputs[0])
    return {"edits": total.by_rule(), "chars_in": total.chars_in, "chars_out": total.chars_out,
            "rows": writer.rows, "changed": changed, "lines": lines}  # fmt: skip
