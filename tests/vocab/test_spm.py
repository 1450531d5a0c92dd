"""The wire format, against sentencepiece's own generated classes."""

from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError
from yanmo.vocab.spm import (
    Piece,
    PieceType,
    dump_model,
    normalizer_of,
    parse_model,
    type_of,
    without_dummy_prefix,
)


@pytest.fixture(scope="session")
def pb2() -> Any:
    pytest.importorskip("google.protobuf", reason="protobuf is not a dependency of yanmo")
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2


def test_bytes_come_back(spm_file: Path, english_spm: Path, chinese_unigram: Path) -> None:
    for path in (spm_file, english_spm, chinese_unigram):
        data = path.read_bytes()
        assert dump_model(parse_model(data)) == data


def test_appending_equals_protobuf(english_spm: Path, pb2: Any) -> None:
    oracle = pb2.ModelProto()
    oracle.ParseFromString(english_spm.read_bytes())
    new = [("研墨", 0.0, 1), ("笔", -7.25, 1), ("<pad>", 0.0, 3), ("龘" * 50, -1e9, 4)]
    for text, score, kind in new:
        piece = oracle.pieces.add()
        piece.piece, piece.score = text, score
        if kind != 1:
            piece.type = kind
    model = parse_model(english_spm.read_bytes())
    added = tuple(Piece(text, score, PieceType(kind)) for text, score, kind in new)
    ours = dump_model(model.with_pieces(model.pieces + added))
    assert ours == oracle.SerializeToString()
    assert parse_model(ours).pieces[-4:] == added


def test_fields_equal_protobuf(english_spm: Path, chinese_unigram: Path, pb2: Any) -> None:
    for path in (english_spm, chinese_unigram):
        oracle = pb2.ModelProto()
        oracle.ParseFromString(path.read_bytes())
        model = parse_model(path.read_bytes())
        assert [(p.text, p.score, int(p.type)) for p in model.pieces] == [
            (p.piece, p.score, p.type) for p in oracle.pieces
        ]
        spec, ours = oracle.normalizer_spec, normalizer_of(model)
        assert ours.name == spec.name
        assert ours.has_charsmap == bool(spec.precompiled_charsmap)
        assert ours.add_dummy_prefix == spec.add_dummy_prefix
        assert ours.remove_extra_whitespaces == spec.remove_extra_whitespaces
    assert type_of(parse_model(chinese_unigram.read_bytes())) == "unigram"


def test_without_dummy_prefix(english_spm: Path) -> None:
    import sentencepiece

    model = parse_model(english_spm.read_bytes())
    bare = dump_model(without_dummy_prefix(model))
    processor = sentencepiece.SentencePieceProcessor(model_proto=bare)
    assert processor.encode("the", out_type=str)[0][0] != "\u2581"
    assert processor.get_piece_size() == len(model.pieces)


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_cut_files_are_errors(english_spm: Path, cut: int) -> None:
    data = english_spm.read_bytes()
    with pytest.raises(DataError, match=r"cut short|unknown wire type"):
        parse_model(data[: len(data) // 2 + cut])
