"""A global shuffle of packed documents in two passes: by hash into partitions, then each sorted.

    scatter   the shard parts of one task      its documents sorted by key, cut into partitions
    gather    one partition of all tasks       shard parts in the order of the keys

The key is a hash of seed and id, so the order depends on these alone, not on how the documents were
cut into parts. A task holds one part, or one partition, in memory.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from yanmo.shard_writer import PartsWriter
from yanmo.shards import DOCS_SCHEMA, DTYPES, Ids, Vocabulary
from yanmo.tasks import Done, Task

if TYPE_CHECKING:
    from .pack_options import PackSettings

PARTITION_TOKENS: Final = 1 << 26
"""Tokens of a partition, about: 128 or 256 MiB of ids are in memory at a time."""

U64 = npt.NDArray[np.uint64]


def partitions(tokens: int) -> int:
    """Into how many partitions so many tokens are cut."""
    return max(-(-tokens // PARTITION_TOKENS), 1)


def document_keys(ids: pa.ChunkedArray, seed: int) -> U64:
    """The sort key of each document."""
    names = (f"{seed}\0{name}".encode() for name in ids.to_pylist())
    return np.fromiter((xxhash.xxh3_64_intdigest(n) for n in names), np.uint64, len(ids))


def _order(keys: U64, ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rows by key; the id decides where two have one key."""
    frame = pl.DataFrame({"key": keys, "id": pl.from_arrow(ids)}).with_row_index("row")
    rows: npt.NDArray[np.int64] = frame.sort("key", "id")["row"].to_numpy().astype(np.int64)
    return rows


def shuffle(
    done: Sequence[Done],
    vocabulary: Vocabulary,
    settings: "PackSettings",
    run_tasks: Callable[[list[Task]], list[Done]],
) -> list[Done]:
    """The training documents in their global order: one task a partition.

    Args:
        done: tasks of ``pack_part``.
        vocabulary: of the shards.
        settings: seed and size of a part.
        run_tasks: runs tasks of one step.
    """
    tokens = sum(t["tokens"] for d in done for t in d.result["train"]["sources"].values())
    count = partitions(tokens)
    common = {"partitions": count, "seed": settings.seed, "dtype": vocabulary.dtype}
    scattered = run_tasks(
        [
            Task("scatter", "yanmo.curate.shuffle:scatter",
                 tuple(d.input(f"{name}{suffix}") for name in d.result["train"]["parts"]
                       for suffix in (".bin", ".docs.parquet")), common)
            for d in done
        ]
    )  # fmt: skip
    names = ("shuffled.bin", "shuffled.parquet", "bounds.npy")
    inputs = tuple(d.input(name) for d in scattered for name in names)
    common = {"seed": settings.seed, "vocabulary": dataclasses.asdict(vocabulary),
              "max_part_tokens": settings.max_part_tokens}  # fmt: skip
    return run_tasks(
        [
            Task("gather", "yanmo.curate.shuffle:gather", inputs, {**common, "partition": number})
            for number in range(count)
        ]
    )


def scatter(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Sort the documents of some shard parts by key.

    Args:
        inputs: ``.bin`` and ``.docs.parquet`` of each part, by turns.
        parameters: ``partitions``, ``seed``, ``dtype``.
        out: gets ``shuffled.bin``, ``shuffled.parquet`` (a row group a partition that has any) and
            ``bounds.npy`` (2, partitions + 1): first document and first token of each partition.
    """
    count, kind = parameters["partitions"], DTYPES[parameters["dtype"]]
    tables, texts = [], list[Ids]()
    for binary, docs in zip(inputs[::2], inputs[1::2], strict=True):
        tables.append(pq.read_table(docs))
        ends = tables[-1].column("end").to_numpy().astype(np.int64)
        texts += np.split(np.fromfile(binary, kind), ends[:-1])
    table = pa.concat_tables(tables) if tables else DOCS_SCHEMA.empty_table()
    keys = document_keys(table.column("id"), parameters["seed"])
    rows = _order(keys, table.column("id"))
    chosen = ((keys[rows] >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)
    first = np.searchsorted(chosen, np.arange(count + 1))
    sizes = np.array([len(texts[row]) for row in rows.tolist()], np.int64)
    tokens = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[first]
    np.save(out / "bounds.npy", np.stack([first, tokens]))
    with (out / "shuffled.bin").open("wb") as stream:
        for row in rows.tolist():
            stream.write(texts[row].tobytes())
    sorted_ = table.take(pa.array(rows)).append_column("tokens", pa.array(sizes))
    with pq.ParquetWriter(out / "shuffled.parquet", sorted_.schema) as writer:
        for low, high in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
            if low < high:
                writer.write_table(sorted_.slice(low, high - low), row_group_size=high - low)
    return {"documents": len(rows)}


def gather(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write one partition of all documents, in the order of their keys.

    Args:
        inputs: ``shuffled.bin``, ``shuffled.parquet`` and ``bounds.npy`` of each task, by turns.
        parameters: ``partition``, ``seed``, ``vocabulary``, ``max_part_tokens``.
        out: folder to write.

    Returns:
        ``{"train": {"parts": [names], "sources": {source: totals}}}``, as ``pack_part`` does.
    """
    number, vocabulary = parameters["partition"], Vocabulary(**parameters["vocabulary"])
    kind = DTYPES[vocabulary.dtype]
    tables, texts = [], list[Ids]()
    for binary, docs, index in zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True):
        (first, tokens) = np.load(index)
        if first[number] == first[number + 1]:
            continue
        group = len(np.unique(first[: number + 1][first[: number + 1] < first[number]]))
        with pq.ParquetFile(docs) as file:
            tables.append(file.read_row_group(group))
        low, high = int(tokens[number]), int(tokens[number + 1])
        ids = np.fromfile(binary, kind, high - low, offset=low * kind.itemsize)
        texts += np.split(ids, np.cumsum(tables[-1].column("tokens").to_numpy())[:-1])
    writer = PartsWriter(out, "train", vocabulary, parameters["max_part_tokens"])
    if tables:
        table = pa.concat_tables(tables)
        rows = _order(document_keys(table.column("id"), parameters["seed"]), table.column("id"))
        given = [name for name in DOCS_SCHEMA.names if name not in ("end", "check")]
        # The closing EOS is the writer's to add.
        writer.add([texts[row][:-1] for row in rows.tolist()],
                   table.select(given).take(pa.array(rows)).combine_chunks())  # fmt: skip
    writer.close()
    return {"train": {"parts": writer.parts, "sources": writer.sources}}
