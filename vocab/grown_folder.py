"""What lies in the folder of a grown checkpoint beside its weights."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError
from yanmo.files import read_json, sha256_file, sha256_json, write_json

from .base import Base, Notes, write_grown
from .checkpoint import INDEX, Checkpoint, vocabulary_config
from .folder import PROVENANCE, REPORT, TOKENIZER_FILES
from .subtokens import Plan

MANIFEST: Final = "manifest.json"
KIND: Final = "grown checkpoint"
GENERATION: Final = "generation_config.json"
TOKEN_IDS: Final = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
_WEIGHT_SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5")


def write_config(found: Checkpoint, plan: Plan, rows: int, folder: Path, *, moved: bool) -> None:
    """``config.json`` with the number of rows, ``generation_config.json``, and the index."""
    vocabulary_config(found.config, found.folder)["vocab_size"] = rows
    generation = found.folder / GENERATION
    tables = {"config.json": found.config}
    if generation.is_file() and not moved:
        shutil.copyfile(generation, folder / GENERATION)
    elif generation.is_file():
        tables[GENERATION] = read_json(generation)
    place = {int(old): new for new, old in enumerate(plan.origin.tolist()) if old >= 0}
    for name, table in tables.items():
        for key in (key for key in TOKEN_IDS if moved and key in table):
            table[key] = _moved(table[key], place, found.folder / name)
        write_json(folder / name, table)
    if found.index is not None:
        _write_index(found, rows, folder)


def _moved(ids: Any, place: dict[int, int], where: Path) -> Any:
    if isinstance(ids, list):
        return [_moved(index, place, where) for index in ids]
    if not isinstance(ids, int) or ids < 0:
        return ids
    if ids not in place:
        raise DataError("a token that the model needs is not in the new vocabulary", where=where,
                        value=ids)  # fmt: skip
    return place[ids]


def _write_index(found: Checkpoint, rows: int, folder: Path) -> None:
    assert found.index is not None
    index = {**found.index, "weight_map": dict(found.index["weight_map"])}
    for name in found.dropped:
        index["weight_map"].pop(name)
    sizes = [
        (tensor.row_bytes * rows if name in found.grown else tensor.end - tensor.start)
        for name, tensor in found.tensors.items()
        if name not in found.dropped
    ]
    metadata = dict(index.get("metadata") or {})
    metadata["total_size"] = sum(sizes)
    metadata.pop("total_parameters", None)  # transformers writes it anew
    write_json(folder / INDEX, {**index, "metadata": metadata})


def read_files(checkpoint: Path) -> list[Path]:
    """The files of a checkpoint that growing reads or takes along."""
    others = [suffix for suffix in _WEIGHT_SUFFIXES if suffix != ".safetensors"]
    return [
        path
        for path in sorted(checkpoint.iterdir())
        if path.is_file() and path.name[0] != "." and path.suffix not in others
    ]


def copy_rest(checkpoint: Path, folder: Path) -> list[str]:
    """Licence, model card and the like: all that is neither weights, tokenizer nor our own."""
    skip = {*TOKENIZER_FILES, INDEX, MANIFEST, REPORT, "report.html", "config.json",
            GENERATION}  # fmt: skip
    copied = []
    for path in read_files(checkpoint):
        weights = path.suffix in _WEIGHT_SUFFIXES or path.name.endswith(".index.json")
        if path.name not in skip and not weights:
            shutil.copyfile(path, folder / path.name)
            copied.append(path.name)
    return copied


def copy_tokenizer(base: Base, grown: Base, grown_path: Path, folder: Path, *, moved: bool) -> None:
    """The grown tokenizer's files; ``yanmo.json`` says where the base ends, whoever grew it.

    Where ids moved there is no such place but the one that the tokenizer's own notes name.
    """
    about = {"made_by": "vocab embed"}
    if not (grown_path / "tokenizer.json").is_file():  # a bare model file: it gets the others
        with tempfile.TemporaryDirectory() as scratch:
            made = write_grown(Path(scratch) / "tokenizer", base, grown, Notes(about, {}))
            copy_tokenizer(base, grown, made, folder, moved=moved)
        return
    for name in TOKENIZER_FILES:
        if (grown_path / name).is_file():
            shutil.copyfile(grown_path / name, folder / name)
    note = folder / PROVENANCE
    known = read_json(note) if note.is_file() else {}
    if not moved and known.get("base", {}).get("size") != base.size:
        described = {"name": base.name, "sha256": base.sha256, "size": base.size}
        write_json(note, {"kind": "tokenizer", "format_version": 1, **about, "base": described,
                          "added_ids": [base.size, grown.size]})  # fmt: skip


def manifest(
    checkpoint: Path, inputs: dict[str, str], options: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Which files went in and came out; no clock and no path, so that equal runs are equal.

    Args:
        checkpoint: the folder that was grown.
        inputs: name to SHA-256 of weight files and tokenizers.
        options: as in the recipe.
        folder: what was written; every file in it is hashed.
    """
    from yanmo.manifest import part_entry, versions

    relevant = ("yanmo", "python", "numpy", "sentencepiece", "tokenizers")
    inputs = {"config.json": sha256_file(checkpoint / "config.json"), **inputs}
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    return {
        "kind": KIND,
        "format_version": 1,
        "versions": {name: v for name, v in versions().items() if name in relevant},
        "options": options,
        "inputs": inputs,
        "inputs_sha256": sha256_json(inputs),
        "parts": [part_entry(folder, path) for path in files],
    }
