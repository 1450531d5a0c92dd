"""Pack a document table into token shards, and hold some out. The format: ``yanmo.shards``.

plan     ids, sources, addresses, duplicates of all parts   who is held out (curate/holdout.py)
pack     one part and the tokenizer                         shard parts, train and heldout
finish   links them into OUT and OUT/heldout; each is a complete shard folder
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.checks import close_documents, document_checks
from yanmo.documents import iterate, part_paths
from yanmo.errors import DataError
from yanmo.manifest import NAME as MANIFEST
from yanmo.progress import track
from yanmo.recipe import to_table
from yanmo.shard_writer import PartsWriter
from yanmo.shards import DOCS_SCHEMA, TOKENIZER_FOLDER, Ids, Vocabulary
from yanmo.tasks import Done, Identities, Input, Task, run
from yanmo.workers import Workers

from . import PRELOAD_PACK
from .pack_options import PackSettings
from .shard_folder import CACHE, finish, refuse_foreign_folder

if TYPE_CHECKING:
    from yanmo.vocab.load import Tokenizer

SPLITS: Final = ("train", "heldout")
DOCUMENT_COLUMNS: Final = (
    "id", "text", "source", "licence", "origin", "url", "n_bytes", "n_chars",
)  # fmt: skip
MADE_HERE: Final = ("end", "cluster", "check")  # columns that no document brings along
BATCH_BYTES: Final = 4 << 20  # text tokenized at a time; a longer document is a batch by itself


def pack_folder(
    documents: Path,
    *,
    tokenizer: Path,
    out: Path,
    settings: PackSettings,
    workers: int = 1,
    quiet: bool = False,
) -> dict[str, Any]:
    """Tokenize documents into ``out``; the held-out ones into ``out/heldout``.

    Args:
        documents: a run folder (its duplicate clusters are used), a folder of parts, or one part.
        tokenizer: folder or file.
        out: the shard folder; its cache lies in ``out/.cache``.
        settings: what changes the result.
        workers: processes; never changes the result.
        quiet: show no progress.

    Returns:
        ``{"tokens", "documents", "parts", "sources", "heldout": {"tokens", "documents", "parts",
        "sources"}, "encoding": {"parts": {engine: n}, "reference", "why_not_kernels",
        "sampled_texts", "sampled_bytes", "handed_texts"}, "clusters_known", "taken_back", "tasks",
        "fresh_tasks", "tokenizer_sha256"}``.

    Raises:
        UsageError: ``out`` holds something else, or there is no such tokenizer.
        DataError: nothing to pack, or the tokenizer has no EOS.
    """
    from yanmo.vocab.load import find_tokenizer_file

    refuse_foreign_folder(out)
    file = find_tokenizer_file(tokenizer)
    cache = out / CACHE
    identities = Identities(cache / "identities.json")
    parts = identities.identify(part_paths(documents))
    known = documents / "duplicates" / "documents.parquet"
    duplicates = identities.identify([known]) if known.is_file() else []
    identities.save()
    with Workers(workers, preload=[PRELOAD_PACK]) as pool:
        made = _run_steps(documents, (duplicates, parts), file, settings,
                          lambda tasks: _run(tasks, cache, pool, quiet), pool)  # fmt: skip
    identity = Input(file, made.vocabulary.tokenizer_sha256)
    inputs = [{"path": str(i.path), "sha256": i.identity, "bytes": i.path.stat().st_size}
              for i in (*duplicates, *parts, identity)]  # fmt: skip
    about = {"recipe": to_table(settings), "inputs": inputs, "seed": settings.seed}
    told = {"about": about, "licences": _by_source(made.packed), "encoding": _engines(made.packed)}
    (out / MANIFEST).unlink(missing_ok=True)
    heldout = finish(out / "heldout", "heldout", made.packed, made.vocabulary, file, told)
    return {
        **finish(out, "train", made.train, made.vocabulary, file, told),
        "heldout": heldout,
        "encoding": told["encoding"],
        "clusters_known": bool(duplicates),
        "tokenizer_sha256": made.vocabulary.tokenizer_sha256,
        "taken_back": made.split[-1].result.get("taken_back", 0),
        "tasks": len(made.split) + len(made.packed),
        "fresh_tasks": sum(not d.cached for d in (*made.split, *made.packed)),
    }


@dataclass(frozen=True)
class _Made:
    """Tasks done: those that split, the last of which holds the split, and those that packed."""

    vocabulary: Vocabulary
    split: list[Done]
    packed: list[Done]
    train: list[Done]


def _run_steps(
    documents: Path,
    inputs: tuple[list[Input], list[Input]],
    tokenizer: Path,
    settings: PackSettings,
    run_tasks: Callable[[list[Task]], list[Done]],
    pool: Workers,
) -> _Made:
    """Split, then pack; ``inputs`` are the table of duplicates, if any, and the parts."""
    parts = inputs[1]
    split = run_tasks([_plan_task(*inputs, settings)])
    if not split[0].result["documents"]:
        raise DataError("no documents to pack", where=documents)
    # After the first task, which runs here: until then the server behind the workers is loading.
    if pool.count > 1:
        pool.pool()
    vocabulary = Vocabulary(**pool.call("yanmo.curate.pack:describe", tokenizer))
    if settings.guards:
        from .heldout_guard import guard

        assert settings.holdout_jaccard is not None
        split += guard(split[0], parts, settings.holdout_jaccard, run_tasks)
    identity = Input(tokenizer, vocabulary.tokenizer_sha256)
    parameters = {"max_part_tokens": settings.max_part_tokens, "vocabulary": asdict(vocabulary)}
    packed = run_tasks(
        [
            Task("pack", "yanmo.curate.pack:pack_part",
                 (part, split[-1].input(f"split-{number:05d}.parquet"), identity), parameters)
            for number, part in enumerate(parts)
        ]
    )  # fmt: skip
    if not settings.shuffle:
        return _Made(vocabulary, split, packed, packed)
    from .shuffle import shuffle

    return _Made(vocabulary, split, packed, shuffle(packed, vocabulary, settings, run_tasks))


def _plan_task(duplicates: Sequence[Input], parts: Sequence[Input], settings: PackSettings) -> Task:
    parameters = {
        "duplicates": bool(duplicates),
        "holdout_fraction": settings.holdout_fraction,
        "seed": settings.seed,
    }
    return Task("split", "yanmo.curate.holdout:plan_split", (*duplicates, *parts), parameters)


def _run(tasks: Sequence[Task], cache: Path, workers: Workers, quiet: bool) -> list[Done]:
    with track(len(tasks), tasks[0].step, quiet=quiet) as watcher:
        return run(tasks, cache=cache, workers=workers, watcher=watcher)


def describe(tokenizer: Path) -> dict[str, Any]:
    """The :class:`Vocabulary` of a tokenizer as a table; the tokenizer stays loaded.

    Raises:
        DataError: it has no EOS, and every document must be closed.
    """
    from yanmo.vocab.load import column_encoder

    found = column_encoder(tokenizer).tokenizer
    if found.eos_id is None:
        raise DataError("the tokenizer has no end-of-sequence token", where=found.path,
                        fix='Name it in tokenizer_config.json: {"eos_token": "</s>"}.')  # fmt: skip
    return asdict(
        Vocabulary(found.sha256, found.vocab_size, found.eos_id, found.bos_id, found.pad_id)
    )


def warm(tokenizer: Path, text: str, *, guards: bool) -> None:
    """Load all that packing needs; processes forked from this one share it. Starts no thread.

    Args:
        tokenizer: what tasks will ask for.
        text: something for the kernels to run on.
        guards: whether held-out documents will be compared with the others.
    """
    from yanmo.vocab.load import column_encoder

    column_encoder(tokenizer).warm(text)
    close_documents(np.zeros(1, np.uint32), np.arange(2), 1, 2)
    document_checks(np.zeros(1, np.uint32), np.ones(1, np.int64))
    if guards:
        from .heldout_guard import warm as warm_guard

        warm_guard(text)


def pack_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Tokenize one part into ``train-*`` and ``heldout-*`` shard parts.

    The fast encoder must give the ids of the tokenizer's own library on a sample of every batch;
    if it does not once, the whole part is encoded by the library.

    Args:
        inputs: the part (document table), its split (:mod:`yanmo.curate.holdout`), the tokenizer.
        parameters: ``max_part_tokens``, and ``vocabulary`` as :func:`describe` gives it.
        out: folder to write.

    Returns:
        For each split ``{"parts": [names], "sources": {source: totals}}``, of both together
        ``licences``: [[source, licence, documents]], and ``encoding``: which engine ran and why.

    Raises:
        DataError: split and part do not line up, or the tokenizer gives ids that cannot be.
    """
    from yanmo.vocab.load import Differs, column_encoder

    if multiprocessing.parent_process() is not None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # parts are the unit of parallelism
    encoder = column_encoder(inputs[2])
    vocabulary, limit = Vocabulary(**parameters["vocabulary"]), parameters["max_part_tokens"]
    encoder.start()
    failed = None
    try:
        made = _pack(inputs, _writers(out, vocabulary, limit), encoder.encode)
    except Differs as error:
        failed = error
        for path in out.iterdir():
            path.unlink()
        made = _pack(inputs, _writers(out, vocabulary, limit), encoder.reference)
    return {**made, "encoding": encoder.told(failed)}


def _writers(out: Path, vocabulary: Vocabulary, limit: int) -> dict[str, PartsWriter]:
    return {split: PartsWriter(out, split, vocabulary, limit) for split in SPLITS}


def _pack(
    inputs: list[Path],
    writers: Mapping[str, PartsWriter],
    encode: Callable[[pa.Array], tuple[Ids, npt.NDArray[np.int64]]],
) -> dict[str, Any]:
    split = pq.read_table(inputs[1])
    licences: Counter[tuple[str, str | None]] = Counter()
    start = 0
    try:
        for batch in _batches(inputs[0]):
            some = split.slice(start, batch.num_rows)
            start += batch.num_rows
            if some.num_rows != batch.num_rows:
                break
            ids, bounds = encode(batch.column("text"))
            columns = {n: batch.column(n) for n in DOCS_SCHEMA.names if n not in MADE_HERE}
            rows = pa.table({**columns, "cluster": some["cluster"]})
            heldout = some["heldout"].to_numpy()
            for name, mask in zip(SPLITS, (~heldout, heldout), strict=True):
                if mask.all():
                    writers[name].add_column(ids, bounds, rows.combine_chunks())
                elif mask.any():
                    mine = rows.filter(pa.array(mask)).combine_chunks()
                    writers[name].add_column(*_those(ids, bounds, mask), mine)
            licences.update(_licences(batch))
    finally:
        for writer in writers.values():
            writer.close()
    if start != split.num_rows:
        raise DataError("the split and the documents do not line up", where=inputs[0],
                        value=(start, split.num_rows))  # fmt: skip
    made = {name: {"parts": w.parts, "sources": w.sources} for name, w in writers.items()}
    return {**made, "licences": [[*names, count] for names, count in licences.items()]}


def _those(
    ids: Ids, bounds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]
) -> tuple[Ids, npt.NDArray[np.int64]]:
    """The ids of some documents."""
    sizes = np.diff(bounds)
    ends = np.cumsum(sizes[mask])
    return ids[np.repeat(mask, sizes)], np.concatenate([np.zeros(1, np.int64), ends])


def _licences(batch: pa.RecordBatch) -> dict[tuple[str, str | None], int]:
    """How many documents of each source go by each licence."""
    pairs = pa.table({n: batch.column(n) for n in ("source", "licence")})
    rows = pairs.group_by(["source", "licence"]).aggregate([([], "count_all")]).to_pylist()
    return {(row["source"], row["licence"]): row["count_all"] for row in rows}


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Rows in order, at most BATCH_BYTES of text at a time, or a single longer document."""
    for batch in iterate([path], columns=DOCUMENT_COLUMNS, batch_rows=1024):
        ends = np.cumsum(batch.column("n_bytes").to_numpy())
        start = before = 0
        while start < batch.num_rows:
            stop = int(np.searchsorted(ends, before + BATCH_BYTES, side="right"))
            stop = max(stop, start + 1)
            yield batch.slice(start, stop - start)
            start, before = stop, int(ends[stop - 1])


def _by_source(done: Sequence[Done]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for task in done:
        for source, licence, count in task.result["licences"]:
            found.setdefault(source, Counter())[licence or ""] += count
    return {source: dict(sorted(counts.items())) for source, counts in sorted(found.items())}


def _engines(done: Sequence[Done]) -> dict[str, Any]:
    """How many parts each engine encoded, why, and what was compared and left to the reference."""
    told = [task.result["encoding"] for task in done]
    sums = {name: sum(part[name] for part in told)
            for name in ("sampled_texts", "sampled_bytes", "handed_texts")}  # fmt: skip
    engines = Counter(part["engine"] for part in told)
    why = sorted({part["why"] for part in told if part["why"]})
    return {"parts": dict(sorted(engines.items())), "reference": told[0]["reference"],
            "why_not_kernels": why, **sums}  # fmt: skip


def shards_tokenizer(folder: Path) -> "Tokenizer":
    """The tokenizer that lies in a shard folder."""
    from yanmo.vocab.load import load_tokenizer

    return load_tokenizer(folder / TOKENIZER_FOLDER)
