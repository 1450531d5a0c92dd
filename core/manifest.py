"""What made a folder: recipe, inputs, versions, seed, counts, and the hash of every part."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yanmo
from yanmo.errors import DataError, UsageError
from yanmo.files import read_json, sha256_file, sha256_json, write_json

NAME: Final = "manifest.json"

# The packages whose version can change bytes that we write.
VERSIONED: Final = (
    "numpy", "numba", "pyarrow", "polars", "xxhash", "zstandard", "fastwarc", "resiliparse",
    "trafilatura", "ftfy", "fasttext-community", "datasketch", "sentencepiece", "tokenizers",
    "torch", "transformers",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Installed versions of the packages that can change results; missing ones are left out."""
    found = {"yanmo": yanmo.__version__, "python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def build(
    kind: str,
    *,
    recipe: Mapping[str, Any] | None = None,
    inputs: Sequence[Mapping[str, Any]] = (),
    seed: int | None = None,
    counts: Mapping[str, Any] | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A manifest as a JSON-able dict.

    Args:
        kind: what the folder is: ``run``, ``shards``, ``tokenizer``, ``checkpoint`` …
        recipe: the resolved recipe as a table; its hash goes in too.
        inputs: identities of what was read (path, bytes, sha256); models are inputs too.
        seed: the seed, if anything was random.
        counts: ledgers and totals.
        parts: ``{"path", "bytes", "sha256", …}`` of every file of the folder that holds data.
    """
    return {
        "kind": kind,
        "format_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": {"machine": platform.machine(), "system": platform.system()},
        "versions": versions(),
        "recipe": dict(recipe) if recipe is not None else None,
        "recipe_sha256": sha256_json(recipe) if recipe is not None else None,
        "inputs": [dict(item) for item in inputs],
        "seed": seed,
        "counts": dict(counts or {}),
        "parts": [dict(part) for part in parts],
    }


def write(folder: str | Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` into a folder."""
    write_json(Path(folder) / NAME, manifest)


def read(folder: str | Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Raises:
        UsageError: there is no such folder.
        DataError: it has none, or it is not one of ours.
    """
    path = Path(folder) / NAME
    if not path.parent.exists():
        raise UsageError("no such folder", where=folder, fix="Check the path.")
    if not path.is_file():
        raise DataError("no manifest.json here", where=folder,
                        fix="Is this the folder that the command wrote?")  # fmt: skip
    manifest = read_json(path)
    if not isinstance(manifest, dict) or "kind" not in manifest:
        raise DataError("not a yanmo manifest", where=path)
    return manifest


def part_entry(folder: Path, path: Path, **more: Any) -> dict[str, Any]:
    """The manifest entry of one file below ``folder``."""
    return {
        "path": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
        **more,
    }


def verify_parts(
    folder: str | Path, manifest: Mapping[str, Any] | None = None, *, hashes: bool = True
) -> int:
    """Check every part; return how many were checked.

    Args:
        folder: what the manifest is of.
        manifest: if it is read already.
        hashes: recompute them; without, a look at the sizes tells what is missing or cut.

    Raises:
        DataError: a part is missing or differs.
    """
    folder = Path(folder)
    manifest = manifest if manifest is not None else read(folder)
    for part in manifest["parts"]:
        path = folder / part["path"]
        if not path.is_file():
            raise DataError("a part is missing", where=path, fix="Write the folder again.")
        if path.stat().st_size != part["bytes"] or (hashes and sha256_file(path) != part["sha256"]):
            raise DataError("the part is not the one that the manifest lists", where=path,
                            fix="It was changed or cut; write the folder again.")  # fmt: skip
    return len(manifest["parts"])
