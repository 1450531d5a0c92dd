"""Write a tokenizer folder that `transformers.AutoTokenizer` loads as it stands.

``tokenizer_class`` is ``PreTrainedTokenizerFast``: with ``LlamaTokenizer``, transformers 5 discards
the normalizer of ``tokenizer.json`` and loses a leading space.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo.errors import UsageError
from yanmo.files import atomic_folder, read_json, sha256_file, write_json
from yanmo.manifest import versions

PROVENANCE = "yanmo.json"
REPORT = "report.json"


TOKENIZER_FILES: Final = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
    PROVENANCE,
)  # fmt: skip
"""What a tokenizer folder may hold, for whoever takes a tokenizer along."""


def refuse_input(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace an input by the result.

    Raises:
        UsageError: ``out`` is one of the inputs, or a folder around it.
    """
    target = out.resolve()
    for path in inputs:
        source = path.resolve()
        if target == source or target in source.parents:
            raise UsageError("--out would replace an input", where=out, fix="Name another folder.")


def refuse_foreign(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace an input, or a folder that holds more than a tokenizer that we wrote.

    Raises:
        UsageError: with the first names that are not ours.
    """
    refuse_input(out, inputs)
    if not out.exists():
        return
    note = out / PROVENANCE
    known = read_json(note).get("files", {}) if note.is_file() else {}
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else [out.name]
    foreign = [name for name in names if name not in {*known, PROVENANCE, REPORT}]
    if foreign:
        raise UsageError("--out holds other files", where=out, value=foreign[:5],
                         fix="Give a new folder.")  # fmt: skip


def tokenizer_config(
    roles: Mapping[str, str | None], *, extra_special: Sequence[str] = ()
) -> dict[str, Any]:
    """The ``tokenizer_config.json`` for a folder.

    Args:
        roles: ``{"bos": piece, "eos": piece, "pad": piece, "unk": piece}``; ``None`` for none.
        extra_special: further special tokens.
    """
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }
    config |= {f"{role}_token": piece for role, piece in roles.items() if piece is not None}
    if extra_special:
        config["additional_special_tokens"] = list(extra_special)
    return config


def write_tokenizer(
    out: Path,
    *,
    document: Mapping[str, Any],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    report: Mapping[str, Any],
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the folder atomically; equal arguments and versions give equal bytes.

    Args:
        out: folder to make or replace.
        document: ``tokenizer.json``.
        config: ``tokenizer_config.json``.
        provenance: goes to ``yanmo.json``, together with versions and the hashes of the files.
        report: ``report.json``.
        extra: further files by name, for instance ``tokenizer.model``.

    Returns:
        ``out``.
    """
    import tokenizers

    # Through the library once: the file then has its own form and is known to load.
    fast = tokenizers.Tokenizer.from_str(_json(document))
    with atomic_folder(out) as folder:
        (folder / "tokenizer.json").write_text(fast.to_str(pretty=True), encoding="utf-8")
        write_json(folder / "tokenizer_config.json", config)
        for name, content in (extra or {}).items():
            (folder / name).write_bytes(content)
        write_json(folder / REPORT, report)
        files = sorted(path for path in folder.iterdir() if path.name != REPORT)
        hashes = {path.name: sha256_file(path) for path in files}
        body = {"kind": "tokenizer", "format_version": 1, "versions": _versions(), "files": hashes}
        write_json(folder / PROVENANCE, {**body, **provenance})
    return out


def _versions() -> dict[str, str]:
    """The programs that can change the ids."""
    relevant = ("yanmo", "python", "sentencepiece", "tokenizers", "xxhash")
    return {name: version for name, version in versions().items() if name in relevant}


def _json(document: Mapping[str, Any]) -> str:
    import json

    return json.dumps(document, ensure_ascii=False)


def input_identities(inputs: Iterable[Path]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of every file behind the inputs, in reading order."""
    from yanmo.documents import part_paths

    return [
        {"path": part.name, "bytes": part.stat().st_size, "sha256": sha256_file(part)}
        for path in inputs
        for part in part_paths(path)
    ]
