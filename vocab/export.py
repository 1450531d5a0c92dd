"""Write a tokenizer in another format, after showing on text that its ids are the same."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, MissingDependency, UsageError
from yanmo.files import atomic_folder, read_json, sha256_file, write_json

from . import agreement, folder
from .agreement import Encode
from .load import guess_roles
from .patient import Patient, open_patient
from .probes import WRITTEN, random_texts
from .reach_bytes import byte_reach
from .spm import Model, dump_model
from .to_spm import spm_model
from .to_tiktoken import rank_encode, tiktoken_ranks

FORMATS: Final = ("hf", "spm", "tiktoken")
_ROLES: Final = ("bos", "eos", "pad", "unk")
_RANDOM: Final = 2000


@dataclass(frozen=True)
class Export:
    """A tokenizer in another format, in memory.

    Attributes:
        files: name to content (``hf``: none, the folder is written by :mod:`.folder`).
        encoders: libraries, or their rule, on what will be written.
    """

    files: Mapping[str, bytes]
    encoders: Mapping[str, Encode]


def export_tokenizer(
    path: Path, out: Path, form: str, *, lines: Iterable[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Export, prove, write.

    Args:
        path: any tokenizer.
        out: folder to write.
        form: ``hf`` (``tokenizer.json`` and configuration), ``spm`` (``tokenizer.model``),
            ``tiktoken`` (ranks, and beside them pattern and special tokens).
        lines: text to prove it on, besides written and random texts.
        seed: seed of the random ones.

    Returns:
        The report: ``kind``, ``to``, ``size``, ``files``, ``proof``.

    Raises:
        UsageError: the format cannot express the tokenizer, or ``out`` holds something else.
        DataError: a text gets other ids; nothing is written then.
    """
    folder.refuse_foreign(out, [path])
    patient = open_patient(path)
    made = _make(patient, form)
    texts = _texts(lines, seed)
    report: dict[str, Any] = {"kind": patient.kind, "to": form, "size": patient.size}
    report["proof"] = prove(patient, made.encoders, texts)
    provenance = {
        "made_by": "vocab export",
        "options": {"to": form},
        "inputs": folder.input_identities([patient.file]),
    }
    if form == "hf":
        _write_hf(patient, out, provenance, report)
    else:
        _write_files(out, made, provenance, report)
    return {**report, "files": sorted(file.name for file in out.iterdir())}


def _make(patient: Patient, form: str) -> Export:
    if form == "hf":
        return Export({}, {"tokenizers": agreement.plain_engine(patient.document)[0]})
    if form == "spm":
        model = patient.model if patient.model is not None else _model(patient)
        data = dump_model(model)
        return Export({"tokenizer.model": data}, {"sentencepiece": agreement.spm_engine(data)[0]})
    if form == "tiktoken":
        return _tiktoken(patient)
    raise UsageError("no such format", value=form, fix=f"Known: {', '.join(FORMATS)}.")


def _model(patient: Patient) -> Model:
    return spm_model(patient.document, _roles(patient))


def _roles(patient: Patient) -> dict[str, str | None]:
    """The configuration's word first, then well-known special tokens."""
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if patient.file.with_name(name).is_file():
            config.update(read_json(patient.file.with_name(name)))
    guessed = guess_roles(set(patient.special())) if not config else {}
    found: dict[str, str | None] = {}
    for role in _ROLES:
        said = config.get(f"{role}_token")
        said = said["content"] if isinstance(said, dict) else said
        found[role] = said or guessed.get(role)
    return found


def _tiktoken(patient: Patient) -> Export:
    if patient.kind != "byte-bpe":
        raise UsageError(
            "only byte-level BPE can be written as tiktoken ranks",
            where=patient.file,
            value=patient.kind,
            fix="SentencePiece and WordPiece work on characters; tiktoken merges bytes of words.",
        )
    ranks = tiktoken_ranks(patient, byte_reach(patient))
    encoders = {"ranks": rank_encode(ranks, patient)}
    with suppress(MissingDependency):
        encoders["tiktoken"] = agreement.tiktoken_engine(
            ranks.ranks, pattern=ranks.pattern, special=ranks.special, nfc=ranks.nfc
        )[0]
    settings = json.dumps(ranks.settings(), ensure_ascii=False, indent=2) + "\n"
    files = {"tokenizer.tiktoken": ranks.file(), "tiktoken.json": settings.encode()}
    return Export(files, encoders)


def _texts(lines: Iterable[str], seed: int) -> Iterator[str]:
    yield from WRITTEN
    yield from random_texts(_RANDOM, seed)
    yield from lines


def prove(patient: Patient, encoders: Mapping[str, Encode], texts: Iterable[str]) -> dict[str, Any]:
    """Compare the ids of the original and of what will be written, text by text.

    Args:
        patient: the original.
        encoders: what will be written, by library.
        texts: read once.

    Returns:
        How many texts were compared, how many were left out and why, and by which libraries.

    Raises:
        DataError: one differs; it is shown.
    """
    sides = {"original": patient.encode(), **encoders}
    found = agreement.agreement(
        {name: (encode, _no_text) for name, encode in sides.items()},
        texts,
        special=patient.special(),
        spaces_lost=patient.kind.startswith("spm"),
        round_trip=False,
    )
    if found["example"] is not None:
        raise DataError(
            f"{found['different']} texts get other ids from what would be written",
            where=patient.file,
            value=found["example"],
            fix="Nothing is written. `yanmo vocab doctor` says why, and repairs equal scores.",
        )
    return {
        "compared": found["equal"],
        "with_special_token": found["with_special_token"],
        "with_u2581": found["with_u2581"],
        "libraries": sorted(encoders),
    }


def _no_text(ids: list[int]) -> str:
    raise NotImplementedError  # ids alone are compared


def _write_hf(
    patient: Patient, out: Path, provenance: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    config = folder.tokenizer_config(_roles(patient))
    file = patient.file.with_name("tokenizer_config.json")
    old = read_json(file) if file.is_file() else {}
    for key in ("chat_template", "model_max_length", "additional_special_tokens"):
        if old.get(key):
            config[key] = old[key]
    model = {"tokenizer.model": dump_model(patient.model)} if patient.model is not None else {}
    folder.write_tokenizer(
        out,
        document=patient.document,
        config=config,
        provenance=provenance,
        report=report,
        extra=model,
    )


def _write_files(
    out: Path, made: Export, provenance: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    with atomic_folder(out) as place:
        for name, content in made.files.items():
            (place / name).write_bytes(content)
        hashes = {name: sha256_file(place / name) for name in sorted(made.files)}
        write_json(place / folder.REPORT, report)
        write_json(place / folder.PROVENANCE, {"kind": "export", "files": hashes, **provenance})
