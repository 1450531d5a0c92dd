"""Merged SentencePiece models for the tests of the doctor, and sentencepiece as their judge."""

import json
from pathlib import Path
from typing import Any

import sentencepiece

from yanmo.vocab.doctor import DoctorOptions
from yanmo.vocab.spm import Model, Piece, dump_model, parse_model, without_dummy_prefix

QUICK = DoctorOptions(libraries=False, random_count=100)
ENGLISH = ["People create features in 2016.", "  def main(x):  return 1"] * 20


def by_itself(model: Model) -> Any:
    """The oracle: sentencepiece on a copy without dummy prefix."""
    data = dump_model(without_dummy_prefix(model))
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def changed(file: Path, out: Path, pieces: list[Piece]) -> Path:
    """A model file with pieces appended."""
    model = parse_model(file.read_bytes())
    out.mkdir(exist_ok=True)
    path = out / "tokenizer.model"
    path.write_bytes(dump_model(model.with_pieces((*model.pieces, *pieces))))
    return path


def byte_document(byte_folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((byte_folder / "tokenizer.json").read_text("utf-8"))
    return found


def write_document(document: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
