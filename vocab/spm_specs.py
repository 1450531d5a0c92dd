"""The settings inside a SentencePiece model, changed field by field and nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from .spm import Model, fields

_TRAINER: Final = 2
_NORMALIZER: Final = 3
# TrainerSpec: 4 vocab_size. NormalizerSpec: 3 add_dummy_prefix, 4 remove_extra_whitespaces.
# Source: google/sentencepiece, src/sentencepiece_model.proto.
_VOCAB_SIZE: Final = 4


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _with_numbers(model: Model, spec: int, numbers: Mapping[int, int]) -> Model:
    """The model with whole-number fields of one of its specs set; they go to the spec's end."""
    out = bytearray()
    for number, _, value, raw in fields(model.rest):
        if number == spec and isinstance(value, bytes):
            kept = b"".join(part for inner, _, _, part in fields(value) if inner not in numbers)
            new = b"".join(_varint(key << 3) + _varint(numbers[key]) for key in sorted(numbers))
            body = kept + new
            raw = _varint(spec << 3 | 2) + _varint(len(body)) + body
        out += raw
    return replace(model, rest=bytes(out))


def bare(model: Model) -> Model:
    """The same algorithm on the text as it is: no space put before it, none taken away."""
    return _with_numbers(model, _NORMALIZER, {3: 0, 4: 0})


def claimed_size(model: Model) -> int | None:
    """How many pieces the trainer's settings speak of, ``None`` if they do not say."""
    for number, _, value, _ in fields(model.rest):
        if number == _TRAINER and isinstance(value, bytes):
            found = {inner: content for inner, _, content, _ in fields(value)}
            size = found.get(_VOCAB_SIZE)
            return int(size) if size is not None else None
    return None


def with_claimed_size(model: Model, size: int) -> Model:
    """The model with ``trainer_spec.vocab_size`` set to ``size``."""
    return _with_numbers(model, _TRAINER, {_VOCAB_SIZE: size})
