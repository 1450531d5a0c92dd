"""Grow a checkpoint to a grown vocabulary: embedding and output projection, and nothing else.

Tensors are streamed from file to file, so that memory holds a few chunks whatever the model's size.
Base rows and all other tensors keep their bits; what was written is read again and compared before
the folder gets its name.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo.errors import DataError, UsageError, YanmoError
from yanmo.files import atomic_folder, read_json, write_json
from yanmo.recipe import setting, to_table

from .base import Base, load_base
from .checkpoint import Checkpoint, open_checkpoint
from .folder import REPORT, refuse_input
from .grown_folder import (
    KIND,
    MANIFEST,
    TOKEN_IDS,
    copy_rest,
    copy_tokenizer,
    manifest,
    write_config,
)
from .grown_weights import Growth, write_weights
from .new_rows import Method
from .subtokens import Plan, make_plan

_RESERVE: Final = 64 << 20  # bytes for the tokenizer's files and for whoever else writes there


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """How a checkpoint grows."""

    init: str = setting(
        "weighted", choices=("mean", "weighted", "random"), source="docs/embed.md",
        help="Initial values of new rows.",
    )  # fmt: skip
    norm: str = setting(
        "clip", choices=("median", "clip", "none"),
        help="Length of new rows: the base's median; its 1st to 99th percentile at most; any.",
    )  # fmt: skip
    heavier: str = setting(
        "auto", choices=("auto", "first", "last"),
        help="Heaviest part (weighted); auto: first, but last for an embedding of its own.",
    )  # fmt: skip
    decay: float = setting(0.5, low=0.01, high=1.0, help="Weight of a part beside its neighbour's.")
    covariance: str = setting("full", choices=("full", "diagonal"), help="Of random rows.")
    multiple: int = setting(64, low=1, help="Rows are padded to a multiple of this.")
    max_padding: int = setting(
        1024, low=0, help="Rows that the checkpoint may have beyond the base's entries."
    )
    also: tuple[str, ...] = setting((), help="Further tensors with a row a token.")
    leave: tuple[str, ...] = setting((), help="Tensors that have as many rows by chance.")
    remap: str | None = setting(None, help="Table of old and new ids, where base ids moved.")
    seed: int = setting(0, low=0, help="Of random rows, and of the noise on equal ones.")


def embed_checkpoint(
    checkpoint: Path,
    base_path: Path,
    grown_path: Path,
    out: Path,
    options: EmbedOptions,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the checkpoint with rows for the grown vocabulary, and its tokenizer.

    Args:
        checkpoint: Hugging Face folder with safetensors weights.
        base_path: the tokenizer of the checkpoint.
        grown_path: what grew from it; its files go into the new folder.
        out: folder to write; one that this command wrote is replaced.
        options: initialisation, lengths, padding.
        advance: told how many bytes were written.

    Returns:
        The report that also stands in ``report.json``: ``base_size``, ``size``, ``rows``,
        ``added``, ``tied``, ``matrices`` and ``checks``.

    Raises:
        UsageError: a path is wrong, or ``out`` holds something else.
        DataError: checkpoint and vocabularies do not belong together, a file is torn, or a check
            failed; nothing is written then.
    """
    refuse_foreign(out, (checkpoint, base_path, grown_path))
    found = open_checkpoint(checkpoint, also=options.also, leave=options.leave)
    base, grown = load_base(base_path), load_base(grown_path)
    notes = check_belonging(found, base, options)
    moved = options.remap is not None
    plan = make_plan(base, grown, None if options.remap is None else Path(options.remap))
    refuse_claimed_ids(found, grown, base.size, moved=moved)
    if not len(plan.new) and not moved:
        raise UsageError("the grown vocabulary has nothing new", where=grown_path,
                         fix="Are base and grown the same?")  # fmt: skip
    kept = 0 if moved else found.rows
    rows = math.ceil(max(grown.size, kept) / options.multiple) * options.multiple
    growth = Growth(plan, base.size, rows, method_of(options), options.heavier)
    refuse_full_disk(found, growth, out)
    try:
        with atomic_folder(out) as folder:
            matrices, inputs = write_weights(found, growth, folder, advance)
            write_config(found, plan, rows, folder, moved=moved)
            copied = copy_rest(found.folder, folder)
            copy_tokenizer(base, grown, grown_path, folder, moved=moved)
            report = _report(found, (base, grown), growth, matrices)
            report |= {"notes": notes, "copied": copied, "options": to_table(options)}
            write_json(folder / REPORT, report)
            inputs |= {"base tokenizer": base.sha256, "grown tokenizer": grown.sha256}
            write_json(folder / MANIFEST, manifest(found.folder, inputs, report["options"], folder))
    except OSError as error:
        raise YanmoError(
            f"cannot write the checkpoint ({error.strerror or error})", where=out,
            fix="Nothing was left behind; free space or name another --out.",
        ) from error  # fmt: skip
    return report


def method_of(options: EmbedOptions) -> Method:
    """The options that make rows; ``heavier`` is settled for each matrix."""
    return Method(
        options.init, options.heavier, options.decay, options.covariance, options.norm, options.seed
    )


def refuse_foreign(out: Path, inputs: tuple[Path, ...]) -> None:
    """Refuse to replace a folder that this command did not write, or one of its inputs.

    Raises:
        UsageError: with the fix.
    """
    refuse_input(out, inputs)
    if not out.exists():
        return
    note = out / MANIFEST
    ours = note.is_file() and read_json(note).get("kind") == KIND
    if not ours and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("--out is there and was not written by `yanmo vocab embed`", where=out,
                         fix="Give a new folder.")  # fmt: skip


def check_belonging(found: Checkpoint, base: Base, options: EmbedOptions) -> list[str]:
    """Refuse a tokenizer that is not the checkpoint's; return what could not be checked.

    Raises:
        DataError: too few or too many rows, or the checkpoint's own tokenizer is another one.
    """
    if found.rows < base.size:
        raise DataError(
            f"the checkpoint has {found.rows} rows, its tokenizer {base.size} entries",
            where=found.folder, fix=f"{base.path} is not its tokenizer.",
        )  # fmt: skip
    if found.rows - base.size > options.max_padding:
        raise DataError(
            f"the checkpoint has {found.rows} rows, its tokenizer only {base.size} entries",
            where=found.folder,
            fix=f"{base.path} is not its tokenizer, or the padding is large: --max-padding.",
        )  # fmt: skip
    notes = []
    if found.rows > base.size:
        notes.append(f"{found.rows - base.size} rows of the checkpoint are padding")
    if found.dropped:
        notes.append(f"{found.dropped[0]} is the embedding stored twice; it is left out")
    try:
        own = load_base(found.folder)
    except UsageError as error:
        return [*notes, f"only the checkpoint's size was compared with the tokenizer: {error}"]
    for index, (mine, theirs) in enumerate(zip(own.pieces, base.pieces, strict=False)):
        if mine != theirs:
            raise DataError(
                f"id {index} is {mine!r} in the checkpoint's own tokenizer and {theirs!r} in "
                f"{base.path}", where=found.folder, fix="Give the tokenizer of the checkpoint.",
            )  # fmt: skip
    if own.size > base.size:
        raise DataError(
            f"the checkpoint's own tokenizer has {own.size} entries, {base.path} {base.size}",
            where=found.folder, fix="Was it grown already? Give its own tokenizer as the base.",
        )  # fmt: skip
    return notes


def refuse_full_disk(found: Checkpoint, growth: Growth, out: Path) -> None:
    """Say before anything is written that there is no room.

    Raises:
        YanmoError: with the number of bytes that are missing.
    """
    need = _RESERVE + sum(
        tensor.row_bytes * growth.rows if name in found.grown else tensor.end - tensor.start
        for name, tensor in found.tensors.items()
    )
    parent = next(path for path in (out, *out.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(parent).free
    if need > free:
        raise YanmoError(f"{need >> 20} MiB are needed, {free >> 20} are free", where=parent,
                         fix="Free space or name another --out.")  # fmt: skip


def refuse_claimed_ids(found: Checkpoint, grown: Base, base_size: int, *, moved: bool) -> None:
    """Refuse to give a new entry an id by which the model knows a special token already.

    Raises:
        DataError: with the id.
    """
    for key in TOKEN_IDS:
        said = found.config.get(key)
        for index in said if isinstance(said, list) else [said]:
            if not moved and isinstance(index, int) and base_size <= index < grown.size:
                raise DataError(
                    f"config.json has {key} {index}, which the base tokenizer lacks and which "
                    f"would become {grown.pieces[index]!r}", where=found.folder,
                    fix="Give the tokenizer that has it, or correct config.json.",
                )  # fmt: skip


def _report(
    found: Checkpoint, pair: tuple[Base, Base], growth: Growth, matrices: dict[str, Any]
) -> dict[str, Any]:
    base, grown = pair
    lengths = growth.plan.lengths()
    outside = sum(matrix["outside"] or 0 for matrix in matrices.values())
    return {
        "base_size": base.size,
        "size": grown.size,
        "added": len(growth.plan.new),
        "base_rows": found.rows,
        "rows": growth.rows,
        "padding_rows": growth.rows - grown.size + int((growth.plan.origin == -2).sum()),
        "tied": found.tied,
        "tensors": len(found.tensors) - len(found.dropped),
        "parts": {
            "mean": float(lengths.mean()) if len(lengths) else 0.0,
            "longest": int(lengths.max(initial=0)),
            "same_multiset": same_multisets(growth.plan),
        },
        "matrices": matrices,
        "checks": {  # the first four: nothing is written otherwise
            "base rows keep their bits": True,
            "other tensors keep their bits": True,
            "new rows are finite": True,
            "no two new rows are equal": True,
            "lengths within the base's 1st to 99th percentile": outside == 0,
        },
    }


def same_multisets(plan: Plan) -> int:
    """New entries whose parts are those of an earlier one in another order: equal plain means."""
    cut = np.split(plan.parts, plan.ends[:-1]) if len(plan.ends) else []
    seen = [tuple(sorted(part.tolist())) for part in cut]
    return len(seen) - len(set(seen))
