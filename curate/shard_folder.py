"""The folders that ``pack`` writes: parts are linked out of the cache, the manifest comes last."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo import manifest as manifests
from yanmo.errors import UsageError
from yanmo.files import link_or_copy
from yanmo.manifest import NAME as MANIFEST
from yanmo.shard_writer import TOTALS, write_manifest
from yanmo.shards import TOKENIZER_FOLDER, Vocabulary
from yanmo.tasks import Done

CACHE: Final = ".cache"
PART_FILE: Final = re.compile(r"part-\d{5}(\.bin|\.docs\.parquet)")

# What a tokenizer folder may hold beside the file that defines the ids; weights are left behind.
TOKENIZER_FILES: Final = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
    "generation_config.json", "yanmo.json",
)  # fmt: skip


def refuse_foreign_folder(out: Path) -> None:
    """Refuse to write into a folder that holds what is not ours."""
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    ours = {CACHE, MANIFEST, TOKENIZER_FOLDER, "heldout", "packing.json"}
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    foreign = [n for n in names if n not in ours and not (n[0] == "." or PART_FILE.fullmatch(n))]
    if foreign:
        raise UsageError("--out holds other files", where=out, value=foreign[:5],
                         fix="Give a new folder, or one that `pack` wrote.")  # fmt: skip


def finish(
    folder: Path, split: str, done: Sequence[Done], vocabulary: Vocabulary, tokenizer: Path,
    told: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Link the parts of one split into its folder; the manifest comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for old in [path for path in folder.iterdir() if PART_FILE.fullmatch(path.name)]:
        old.unlink()
    known: dict[str, str] = {}
    sources: dict[str, dict[str, int]] = {}
    made = [(d, name) for d in done for name in d.result[split]["parts"]]
    for number, (task, name) in enumerate(made):
        for suffix in (".bin", ".docs.parquet"):
            target = folder / f"part-{number:05d}{suffix}"
            link_or_copy(task.folder / f"{name}{suffix}", target)
            known[target.name] = task.files[f"{name}{suffix}"]
    for task in done:
        for source, totals in task.result[split]["sources"].items():
            sums = sources.setdefault(source, dict.fromkeys(TOTALS, 0))
            for name in TOTALS:
                sums[name] += totals[name]
    copy_tokenizer(tokenizer, folder / TOKENIZER_FOLDER)
    manifest = write_manifest(
        folder,
        vocabulary,
        split=split,
        sources=dict(sorted(sources.items())),
        about=told["about"],
        known=known,
    )
    manifest |= {name: told[name] for name in ("licences", "encoding")}
    manifests.write(folder, manifest)
    return {**manifest["counts"], "parts": len(made), "sources": manifest["sources"]}


def copy_tokenizer(file: Path, folder: Path) -> None:
    """Copy what makes a tokenizer folder: the file that defines the ids, and its companions.

    Args:
        file: the file that defines the ids.
        folder: replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = [name for name in TOKENIZER_FILES if (file.parent / name).is_file()]
    for name in sorted({*names, file.name}):
        shutil.copyfile(file.parent / name, folder / name)
