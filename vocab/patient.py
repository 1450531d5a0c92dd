"""A tokenizer of any family opened for examination, even one that its own library refuses."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

from . import agreement, convert
from .agreement import Encode
from .base import Base, load_base, name_of, take_added
from .cut import cut
from .load import find_tokenizer_file, load_tokenizer, sniff_format
from .spm import Model, Piece, PieceType, dump_model, parse_model, type_of
from .spm_json import SPACE, spm_document
from .spm_specs import bare, claimed_size
from .surfaces import surfaces

_CAN_COME_OUT = (PieceType.NORMAL, PieceType.USER_DEFINED)


@dataclass(frozen=True)
class Patient:
    """What the examination looks at.

    Attributes:
        name: name of its folder or file.
        kind: ``spm-bpe``, ``spm-unigram``, ``byte-bpe``, ``wordpiece``, ``bpe``.
        file: the file that defines the ids.
        pieces: every entry by id in the vocabulary's own spelling; ``""`` is a hole.
        document: its ``tokenizer.json``, read or made.
        model: the SentencePiece model; duplicates in it have been renamed (``renamed``).
        ranks: tiktoken ranks, where that is the format.
        renamed: id and text of pieces that stand a second time (sentencepiece would not load).
        base_size: entries that were there before others were added; ``None`` if unknown.
        base_from: how that is known.
        base: the vocabulary of these entries.
    """

    name: str
    kind: str
    file: Path
    pieces: tuple[str, ...]
    document: Mapping[str, Any]
    model: Model | None = None
    ranks: Mapping[bytes, int] | None = None
    renamed: tuple[tuple[int, str], ...] = ()
    base_size: int | None = None
    base_from: str = ""
    base: Base | None = None

    @property
    def size(self) -> int:
        """The highest id and one."""
        return len(self.pieces)

    def surfaces(self) -> list[bytes]:
        """The bytes behind every id."""
        return surfaces(self.pieces, self.kind)

    def special(self) -> list[str]:
        """What `tokenizers` would parse out of text."""
        return [token["content"] for token in self.document["added_tokens"]]

    def encode(self) -> Encode:
        """By the library that owns the format, as it stands."""
        if self.model is not None:
            return agreement.spm_engine(dump_model(self.model))[0]
        return agreement.plain_engine(self.document)[0]

    def bare_encode(self) -> Encode:
        """As :meth:`encode`, but nothing is put before the text or taken off its ends."""
        if self.model is not None:
            return agreement.spm_engine(dump_model(bare(self.model)))[0]
        return agreement.plain_engine(without_prefix(self.document))[0]

    def probe_ids(self) -> list[int]:
        """The ids that should be able to come out of text."""
        special = set(self.special())
        found = [i for i, piece in enumerate(self.pieces) if piece and piece not in special]
        if self.model is not None:
            return [i for i in found if self.model.pieces[i].type in _CAN_COME_OUT]
        byte = re.compile(r"<0x[0-9A-F]{2}>\Z")
        bytes_are_names = self.kind in ("spm-bpe", "spm-unigram")
        reserved = re.compile(r"\[unused\d+\]\Z")
        return [
            i
            for i in found
            if not (bytes_are_names and byte.match(self.pieces[i]))
            and not (self.kind == "wordpiece" and reserved.match(self.pieces[i]))
        ]


def without_prefix(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what puts a space before the text."""
    found = copy.deepcopy(dict(document))
    normalizer = found.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    kept = [step for step in steps if step["type"] not in ("Prepend", "Strip")]
    found["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    text = json.dumps(found.get("pre_tokenizer"))
    for scheme in ("first", "always"):
        text = text.replace(f'"prepend_scheme": "{scheme}"', '"prepend_scheme": "never"')
    found["pre_tokenizer"] = json.loads(
        text.replace('"add_prefix_space": true', '"add_prefix_space": false')
    )
    return found


def open_patient(path: str | Path, base: str | Path | None = None) -> Patient:
    """Open a tokenizer for examination.

    Args:
        path: tokenizer folder or file. In a folder with both, ``tokenizer.model`` rules.
        base: the vocabulary that it grew from. Without it the size of the base is taken from
            ``yanmo.json``, or from the trainer's settings where a merge has left them as they were.

    Raises:
        UsageError: nothing there, or the base is of another family.
        DataError: damaged beyond reading, or it does not begin with the entries of the base.
    """
    path = Path(path)
    own = path / "tokenizer.model"
    file = own if own.is_file() and sniff_format(own) == "spm" else find_tokenizer_file(path)
    form = sniff_format(file)
    patient = _spm_patient(file) if form == "spm" else _other_patient(file, form)
    return _with_base(patient, Path(base) if base is not None else None)


def _spm_patient(file: Path) -> Patient:
    model, renamed = rename_duplicates(parse_model(file.read_bytes()))
    sidecar = file.with_name("tokenizer.json")
    if sidecar.is_file():
        model = take_added(model, read_json(sidecar).get("added_tokens", []), sidecar)
    kind = f"spm-{type_of(model)}"
    if kind not in ("spm-bpe", "spm-unigram"):
        raise UsageError("only BPE and unigram models can be examined", where=file, value=kind)
    texts = tuple(piece.text for piece in model.pieces)
    document = spm_document(model)
    return Patient(name_of(file), kind, file, texts, document, model, None, renamed)


def rename_duplicates(model: Model) -> tuple[Model, tuple[tuple[int, str], ...]]:
    """Give pieces that sentencepiece refuses (a second time, empty, NUL) a name and no life.

    Their ids stay; they become UNUSED.
    """
    seen: set[str] = set()
    pieces: list[Piece] = []
    renamed: list[tuple[int, str]] = []
    for index, piece in enumerate(model.pieces):
        if not piece.text or piece.text in seen or "\0" in piece.text:
            renamed.append((index, piece.text))
            piece = Piece(f"<duplicate_{index}>", piece.score, PieceType.UNUSED)
        seen.add(piece.text)
        pieces.append(piece)
    return (model.with_pieces(tuple(pieces)) if renamed else model), tuple(renamed)


def _other_patient(file: Path, form: str) -> Patient:
    ranks = None
    if form == "json":
        document = read_json(file)
        loaded = load_tokenizer(file)
        pieces = tuple(loaded.id_to_piece(i) or "" for i in range(loaded.vocab_size))
        if document["model"].get("type", "BPE") == "BPE":
            document = convert.listed_merges(convert.pin_added_tokens(document))
        return Patient(name_of(file), loaded.kind, file, pieces, document)
    if form == "tiktoken":
        ranks, document = convert.read_ranks(file), convert.tiktoken_json(file)
    elif form == "vocab-merges":
        document = convert.vocab_merges_json(file, file.with_name("merges.txt"))
    else:
        config = file.with_name("tokenizer_config.json")
        document = convert.wordpiece_json(file, read_json(config) if config.is_file() else {})
    kind = "wordpiece" if form == "wordpiece" else "byte-bpe"
    pieces = convert.pieces_by_id(document)
    return Patient(name_of(file), kind, file, pieces, document, ranks=ranks)


def _with_base(patient: Patient, path: Path | None) -> Patient:
    if path is not None:
        base = load_base(path)
        _require_same_start(patient, base)
        return replace(patient, base_size=base.size, base_from=base.name, base=base)
    size, origin = _guess_base(patient)
    if size is None or patient.kind not in ("spm-bpe", "byte-bpe"):
        return patient
    whole = as_base(patient)
    return replace(patient, base_size=size, base_from=origin, base=cut(whole, size))


def _require_same_start(patient: Patient, base: Base) -> None:
    if base.kind != patient.kind:
        raise UsageError(
            "base and model are of different families", value=(base.kind, patient.kind)
        )
    pairs = zip(base.pieces, patient.pieces, strict=False)
    wrong = next((i for i, (old, new) in enumerate(pairs) if old != new), None)
    if patient.size < base.size or wrong is not None:
        raise DataError(
            "the model does not begin with the entries of the base",
            where=patient.file,
            value={"id": wrong, "sizes": [base.size, patient.size]},
            fix="Give the vocabulary it was grown from as --base, or none.",
        )


def _guess_base(patient: Patient) -> tuple[int | None, str]:
    notes = patient.file.with_name("yanmo.json")
    if notes.is_file():
        added = read_json(notes).get("added_ids")
        if added and added[0] < patient.size:
            return int(added[0]), "yanmo.json"
    if patient.model is not None:
        claimed = claimed_size(patient.model)
        if claimed is not None and 0 < claimed < patient.size:
            return claimed, "trainer_spec.vocab_size"
    return None, ""


def as_base(patient: Patient) -> Base:
    """The patient as a vocabulary that can be cut (BPE families)."""
    return Base(
        name=patient.name,
        kind=patient.kind,
        path=patient.file,
        sha256="",
        model=patient.model,
        document=patient.document,
        config={},
        pieces=patient.pieces,
    )


def holes(pieces: Sequence[str]) -> list[int]:
    """Ids below the highest that no entry has."""
    return [index for index, piece in enumerate(pieces) if not piece]


def spelled_space(text: str) -> str:
    """A piece's text with SentencePiece's space as a space."""
    return text.replace(SPACE, " ")
