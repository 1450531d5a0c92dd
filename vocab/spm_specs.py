"""The settings inside a SentencePiece model, changed field by field and nothing else."""

from typing import Final

from .spm import Model, fields, with_numbers

_TRAINER: Final = 2
_NORMALIZER: Final = 3
# TrainerSpec: 4 vocab_size. NormalizerSpec: 3 add_dummy_prefix, 4 remove_extra_whitespaces.
# Source: google/sentencepiece, src/sentencepiece_model.proto.
_VOCAB_SIZE: Final = 4


def bare(model: Model) -> Model:
    """The same algorithm on the text as it is: no space put before it, none taken away."""
    return with_numbers(model, _NORMALIZER, {3: 0, 4: 0})


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
    return with_numbers(model, _TRAINER, {_VOCAB_SIZE: size})
