"""SentencePiece model files, read and written on the wire level.

A ``.model`` is a protobuf message of which we change only the list of pieces; everything else is
kept byte for byte. Sixty lines of wire format replace a dependency on the protobuf package, whose
generated classes are bound to its version.

    ModelProto      1 pieces (repeated)  2 trainer_spec  3 normalizer_spec  4 self_test_data
    SentencePiece   1 piece (string)     2 score (float) 3 type (enum, default NORMAL)

Source: google/sentencepiece, src/sentencepiece_model.proto.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from yanmo.errors import DataError


class PieceType(IntEnum):
    """Kinds of pieces; UNUSED keeps an id and never fires."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """One vocabulary entry; ``raw`` is its encoding as read, so that it is written unchanged."""

    text: str
    score: float
    type: PieceType = PieceType.NORMAL
    raw: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Model:
    """A ``.model`` file: pieces, and every other field as raw bytes in file order."""

    pieces: tuple[Piece, ...]
    rest: bytes

    def with_pieces(self, pieces: tuple[Piece, ...]) -> "Model":
        """The same model with another list of pieces."""
        return replace(self, pieces=pieces)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _write_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is written as its two's complement
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """A whole-number field of a message."""
    return _write_varint(number << 3) + _write_varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field of a message that holds bytes, text or another message."""
    return _write_varint(number << 3 | 2) + _write_varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes, bytes]]:
    """Walk a message: field number, wire type, value (int, or bytes of fixed and long ones), raw.

    Raises:
        DataError: the message is cut short or holds an unknown wire type.
    """
    at = 0
    try:
        while at < len(data):
            start = at
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            value: int | bytes
            if wire == 0:
                value, at = _varint(data, at)
            elif wire in (1, 2, 5):
                length = {1: 8, 5: 4}.get(wire, 0)
                if wire == 2:
                    length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
                if at > len(data):
                    raise IndexError
            else:
                raise DataError("not a SentencePiece model: unknown wire type", value=wire)
            yield number, wire, value, data[start:at]
    except IndexError:
        raise DataError("SentencePiece model is cut short", value=f"{len(data)} bytes") from None


def _parse_piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, PieceType.NORMAL
    for number, _, value, _ in fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = PieceType(value)
    return Piece(text, score, kind, data)


def _dump_piece(piece: Piece) -> bytes:
    if piece.raw is not None:
        return piece.raw
    out = bytes_field(1, piece.text.encode("utf-8")) + b"\x15" + struct.pack("<f", piece.score)
    return out if piece.type is PieceType.NORMAL else out + number_field(3, piece.type)


def parse_model(data: bytes) -> Model:
    """Read a serialized ModelProto.

    Raises:
        DataError: it is not one.
    """
    pieces: list[Piece] = []
    rest: list[bytes] = []
    for number, _, value, raw in fields(data):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_parse_piece(value))
        else:
            rest.append(raw)
    return Model(tuple(pieces), b"".join(rest))


def dump_model(model: Model) -> bytes:
    """Serialize a model; what was read and not changed is written as it was."""
    out = bytearray()
    for piece in model.pieces:
        out += bytes_field(1, _dump_piece(piece))
    return bytes(out) + model.rest


def _spec(model_rest: bytes, number: int) -> dict[int, int | bytes]:
    for found, _, value, _ in fields(model_rest):
        if found == number and isinstance(value, bytes):
            return {inner: content for inner, _, content, _ in fields(value)}
    return {}


def model_type(data: bytes) -> str:
    """The algorithm of a serialized model: ``unigram``, ``bpe``, ``word`` or ``char``."""
    return type_of(parse_model(data))


def type_of(model: Model) -> str:
    """The algorithm of a model: ``unigram``, ``bpe``, ``word`` or ``char`` (TrainerSpec 3)."""
    number = _spec(model.rest, 2).get(3, 1)
    return {1: "unigram", 2: "bpe", 3: "word", 4: "char"}.get(int(number), "unknown")


@dataclass(frozen=True)
class Normalizer:
    """What a model does to text before it looks up pieces (NormalizerSpec)."""

    name: str
    has_charsmap: bool
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool


def normalizer_of(model: Model) -> Normalizer:
    """The normalizer settings of a model (absent booleans default to true, as in the schema)."""
    spec = _spec(model.rest, 3)
    name = spec.get(1, b"")
    return Normalizer(
        name=name.decode() if isinstance(name, bytes) else "",
        has_charsmap=bool(spec.get(2, b"")),
        add_dummy_prefix=bool(spec.get(3, 1)),
        remove_extra_whitespaces=bool(spec.get(4, 1)),
        escape_whitespaces=bool(spec.get(5, 1)),
    )


def charsmap_of(model: Model) -> bytes:
    """The precompiled character map of the normalizer; empty for ``identity``."""
    value = _spec(model.rest, 3).get(2, b"")
    return value if isinstance(value, bytes) else b""


def with_numbers(model: Model, spec: int, numbers: Mapping[int, int]) -> Model:
    """The model with whole-number fields of one of its specs set; they go to the spec's end."""
    out = bytearray()
    for found, _, value, raw in fields(model.rest):
        if found == spec and isinstance(value, bytes):
            kept = b"".join(part for inner, _, _, part in fields(value) if inner not in numbers)
            new = b"".join(number_field(key, numbers[key]) for key in sorted(numbers))
            raw = bytes_field(spec, kept + new)
        out += raw
    return replace(model, rest=bytes(out))


def without_dummy_prefix(model: Model) -> Model:
    """The same model without a space before the text, to probe pieces by their own text."""
    return with_numbers(model, 3, {3: 0})
