"""The mixture plan: how many tokens of each source one pass over token shards reads.

The shards hold every document once; only the plan repeats or samples, and only the trainer's order
(``yanmo.order``) follows it. A plan is one JSON file; where sources are split into buckets of
quality, a Parquet file beside it says which document is in which bucket.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.documents import write_part
from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.files import read_json, sha256_file, sha256_json, write_json
from yanmo.order import Reading, shards_identity, source_codes
from yanmo.packing import Ints, order, order_key
from yanmo.recipe import did_you_mean
from yanmo.shards import Shards

KIND: Final = "mixture"
FORMAT_VERSION: Final = 1
PLAN: Final = "plan.json"
UNSCORED: Final = "unscored"

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Entry:
    """A row of the plan: a source, or one bucket of a source.

    Attributes:
        name: ``source``, or ``source/bucket``.
        source: its name in the shards.
        bucket: ``q1`` (worst) and up, ``unscored``, or ``None``: the whole source.
        licence: as the documents say; several are joined.
        documents, tokens, chars: what the shards hold of it.
        weight: share of the budget that was asked for.
        budget: tokens of it in a pass, exactly.
    """

    name: str
    source: str
    bucket: str | None
    licence: str | None
    documents: int
    tokens: int
    chars: int
    weight: float
    budget: int

    @property
    def epochs(self) -> float:
        """How often its tokens are read in a pass."""
        return self.budget / self.tokens if self.tokens else 0.0

    @property
    def repeated(self) -> float:
        """Share of what is read that was read before in the pass."""
        return max(self.budget - self.tokens, 0) / self.budget if self.budget else 0.0


@dataclass(frozen=True, eq=False)
class Plan:
    """How one pass is made of the sources of some shards.

    Attributes:
        shards: which shards, see :func:`shards_seal`.
        seed: chooses the documents of a fraction of an epoch.
        entries: the rows; together they cover all documents.
        policy: how the weights came about, for a reader.
        buckets: (documents,) the number of each document's bucket, 0 for unscored; ``None`` where
            no source is split.
    """

    shards: Mapping[str, Any]
    seed: int
    entries: tuple[Entry, ...]
    policy: Mapping[str, Any]
    buckets: npt.NDArray[np.uint8] | None = None

    @property
    def budget(self) -> int:
        """Tokens of a pass."""
        return sum(entry.budget for entry in self.entries)

    def table(self) -> dict[str, Any]:
        """What the JSON file holds."""
        rows = [
            {**dataclasses.asdict(e), "epochs": e.epochs, "repeated": e.repeated}
            for e in self.entries
        ]
        return {
            "kind": KIND, "format_version": FORMAT_VERSION, "shards": dict(self.shards),
            "policy": dict(self.policy), "seed": self.seed, "budget": self.budget, "sources": rows,
            "buckets_sha256": None if self.buckets is None else _buckets_sha256(self.buckets),
        }  # fmt: skip

    @property
    def sha256(self) -> str:
        """Identity of the plan: all that decides what is read."""
        rows = [[e.name, e.source, e.bucket, e.budget] for e in self.entries]
        buckets = None if self.buckets is None else _buckets_sha256(self.buckets)
        return sha256_json([self.shards["content_sha256"], self.seed, rows, buckets])


def bucket_name(number: int) -> str:
    """``q3`` for 3; 0 holds what has no score."""
    return f"q{number}" if number else UNSCORED


def _buckets_sha256(buckets: npt.NDArray[np.uint8]) -> str:
    return hashlib.sha256(buckets.tobytes()).hexdigest()


def shards_seal(shards: Shards) -> dict[str, Any]:
    """What a plan remembers of the shards that it was made for.

    ``content_sha256`` covers token files, document tables and tokenizer; it stays when equal shards
    are written again, which the manifest's own hash does not.
    """
    listed = [[part["path"], part["sha256"]] for part in shards.manifest["parts"]]
    return {
        "identity": shards_identity(shards),
        "content_sha256": sha256_json(listed),
        "manifest_sha256": sha256_file(shards.folder / manifests.NAME),
        "tokenizer_sha256": shards.vocabulary.tokenizer_sha256,
        "documents": shards.documents,
        "tokens": shards.tokens,
    }


def plan_path(path: Path) -> Path:
    """The JSON file behind a plan's path, which may name its folder."""
    return path if path.suffix == ".json" else path / PLAN


def buckets_path(path: Path) -> Path:
    """The file beside a plan that says which document is in which bucket."""
    return path.with_suffix(".buckets.parquet")


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan; its buckets, if any, first."""
    path = plan_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if plan.buckets is not None:
        write_part(buckets_path(path), pa.table({"bucket": plan.buckets}))
    else:
        buckets_path(path).unlink(missing_ok=True)
    write_json(path, plan.table())


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        UsageError: there is no such file.
        DataError: it is no plan, was edited into one that does not add up, or lacks its buckets.
    """
    path = plan_path(Path(path))
    if not path.is_file():
        raise UsageError("no such mixture plan", where=path,
                         fix="`yanmo curate mix SHARDS --out PLAN` makes one.")  # fmt: skip
    table = read_json(path)
    if not isinstance(table, dict) or table.get("kind") != KIND:
        raise DataError("not a mixture plan", where=path,
                        fix="`yanmo curate mix SHARDS --out PLAN` makes one.")  # fmt: skip
    if table.get("format_version") != FORMAT_VERSION:
        raise DataError("unknown version of the plan format", where=path,
                        value=table.get("format_version"), fix="Mix again.")  # fmt: skip
    try:
        plan = plan_of_table(table, _read_buckets(path, table["buckets_sha256"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the plan lacks a key ({error})", where=path, fix="Mix again.") from None
    _check_plan(path, plan, table)
    return plan


def plan_of_table(table: Mapping[str, Any], buckets: npt.NDArray[np.uint8] | None) -> Plan:
    """The plan that :meth:`Plan.table` was made of, with its buckets."""
    names = {field.name for field in dataclasses.fields(Entry)}
    rows = [{k: v for k, v in row.items() if k in names} for row in table["sources"]]
    entries = tuple(Entry(**row) for row in rows)
    return Plan(table["shards"], table["seed"], entries, table["policy"], buckets)


def _check_plan(path: Path, plan: Plan, table: Mapping[str, Any]) -> None:
    for entry in plan.entries:
        if type(entry.budget) is not int or entry.budget < 0 or (entry.budget and not entry.tokens):
            raise DataError(f"the budget of '{entry.name}' cannot be read", where=path,
                            value=entry.budget, fix="A whole number of tokens.")  # fmt: skip
    if plan.budget != table.get("budget"):
        raise DataError("the budgets of the sources do not add up", where=path,
                        value=plan.budget, fix=f"'budget' says {table.get('budget')}.")  # fmt: skip


def _read_buckets(path: Path, sha256: str | None) -> npt.NDArray[np.uint8] | None:
    if sha256 is None:
        return None
    file = buckets_path(path)
    if not file.is_file():
        raise DataError("the plan's buckets are missing", where=file,
                        fix="The two files of a plan belong together.")  # fmt: skip
    found: npt.NDArray[np.uint8] = pq.read_table(file).column("bucket").to_numpy()
    if _buckets_sha256(found) != sha256:
        raise DataError("these are not the plan's buckets", where=file, fix="Mix again.")
    return found


def check_shards(plan: Plan, shards: Shards) -> None:
    """Refuse a plan that was made for other shards.

    Raises:
        DataError: it was.
    """
    seal = shards_seal(shards)
    if seal["content_sha256"] != plan.shards.get("content_sha256"):
        fix = (f"It was made for {plan.shards.get('tokens')} tokens in "
               f"{plan.shards.get('documents')} documents, these have {seal['tokens']} in "
               f"{seal['documents']}; mix again.")  # fmt: skip
        raise DataError("the mixture plan was made for other shards", where=shards.folder,
                        value=seal["content_sha256"], fix=fix)  # fmt: skip


def strata(plan: Plan, names: Sequence[str], codes: Codes) -> Codes:
    """The entry that each document belongs to, (documents,).

    Args:
        plan: the plan.
        names, codes: as from :func:`yanmo.order.source_codes`.

    Raises:
        DataError: a document belongs to none.
    """
    numbers = {(e.source, e.bucket): i for i, e in enumerate(plan.entries)}
    highest = 0 if plan.buckets is None or len(plan.buckets) == 0 else int(plan.buckets.max())
    lookup = np.full((len(names), highest + 1), -1, np.int32)
    for code, name in enumerate(names):
        for bucket in range(highest + 1):
            own = None if plan.buckets is None else bucket_name(bucket)
            lookup[code, bucket] = numbers.get((name, own), -1)
    found: Codes = lookup[codes, 0 if plan.buckets is None else plan.buckets]
    if (found < 0).any():
        number = int(np.argmax(found < 0))
        raise DataError("a document belongs to no row of the mixture plan",
                        where=f"document {number}", value=names[codes[number]],
                        fix="Mix again.")  # fmt: skip
    return found


def reading(plan: Plan, shards: Shards, *, multiple: int = 1) -> Reading:
    """What one pass of a plan reads of its shards.

    Args:
        plan: the plan.
        shards: the shards it was made for.
        multiple: see :class:`yanmo.order.Reading`.

    Raises:
        DataError: the plan was made for other shards, or reads nothing.
    """
    check_shards(plan, shards)
    if plan.budget == 0:
        raise DataError("the mixture reads nothing", where=shards.folder)
    own = strata(plan, *source_codes(shards))
    begins, ends = ranges(plan, shards.document_ends, own)
    return Reading(begins, ends, [e.name for e in plan.entries], own, multiple)


def ranges(plan: Plan, document_ends: Ints, own: Codes) -> tuple[Ints, Ints]:
    """Begins and ends of all that one pass reads.

    Whole epochs read every document. The last, broken one reads a fixed random choice of documents
    until its tokens are spent; the document in which that happens is read up to there. So each
    source is read for exactly its budget.

    Args:
        plan: the plan.
        document_ends: (documents,) of the shards it was made for.
        own: from :func:`strata`.

    Raises:
        DataError: the plan does not count the tokens that there are.
    """
    starts = np.concatenate([np.zeros(1, np.int64), document_ends[:-1]])
    begins_of: list[Ints] = []
    ends_of: list[Ints] = []
    for number, entry in enumerate(plan.entries):
        documents = np.flatnonzero(own == number)
        lengths = document_ends[documents] - starts[documents]
        if int(lengths.sum()) != entry.tokens:
            raise DataError(f"the plan counts other tokens of '{entry.name}' than the shards hold",
                            value=entry.tokens,
                            fix=f"They hold {int(lengths.sum())}; mix again.")  # fmt: skip
        if entry.budget == 0:
            continue
        whole, part = divmod(entry.budget, entry.tokens)
        key = order_key("mixture", plan.shards["identity"], plan.seed, entry.name)
        some, kept = _choose(lengths, part, key)
        chosen = np.sort(np.concatenate([np.tile(np.arange(len(documents)), whole), some]))
        numbers = documents[chosen]
        stop = document_ends[numbers]
        if part:  # the last of the choice is cut; one of its copies stands for it
            at = int(np.searchsorted(chosen, some[-1]))
            stop[at] = starts[numbers[at]] + kept
        begins_of.append(starts[numbers])
        ends_of.append(stop)
    return np.concatenate(begins_of), np.concatenate(ends_of)


def _choose(lengths: Ints, part: int, key: int) -> tuple[Ints, int]:
    """Documents in scrambled order until ``part`` tokens, and how much of the last is read."""
    if part == 0:
        return np.empty(0, np.int64), 0
    scrambled = order(len(lengths), key)
    tokens = np.cumsum(lengths[scrambled])
    last = int(np.searchsorted(tokens, part))
    before = int(tokens[last - 1]) if last else 0
    return scrambled[: last + 1], part - before


def plan_of_epochs(shards: Shards, epochs: Mapping[str, float], seed: int) -> Plan:
    """A plan that says how often each source is read; sources that are not named are read once.

    Raises:
        RecipeError: no such source, or nothing is left to read.
    """
    names, codes = source_codes(shards)
    for name in epochs:
        if name not in names:
            raise RecipeError("no such source in the shards", where="data.sources", value=name,
                              fix=did_you_mean(name, names))  # fmt: skip
    lengths = np.diff(shards.document_ends, prepend=0)
    tokens = np.bincount(codes, lengths, len(names)).astype(np.int64).tolist()
    documents = np.bincount(codes, minlength=len(names)).tolist()
    budgets = [round(epochs.get(n, 1.0) * t) for n, t in zip(names, tokens, strict=True)]
    total = sum(budgets)
    if total == 0:
        raise RecipeError("the mixture reads nothing", where="data.sources", value=dict(epochs))
    entries = tuple(
        Entry(name, name, None, licence_of(shards, name), documents[i], tokens[i],
              _chars(shards, name), budgets[i] / total, budgets[i])
        for i, name in enumerate(names)
    )  # fmt: skip
    return Plan(shards_seal(shards), seed, entries, {"name": "epochs", "epochs": dict(epochs)})


def licence_of(shards: Shards, source: str) -> str | None:
    """The licences of a source's documents, most frequent first, joined; ``None``: not known."""
    found: Mapping[str, int] = shards.manifest.get("licences", {}).get(source, {})
    listed = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    if not any(found):  # none of the documents names one
        return None
    return ", ".join(name or "?" for name, _ in listed)


def _chars(shards: Shards, source: str) -> int:
    return int(shards.manifest["sources"].get(source, {}).get("chars", 0))
