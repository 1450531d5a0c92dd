"""Text in, text out: a model folder with its tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo.errors import DataError

from .checkpoint import resolve
from .config import ModelConfig
from .distributed import pick_device
from .folder import load_model
from .generate import Sampling, generate
from .model import Llama

if TYPE_CHECKING:
    from yanmo.vocab.load import Tokenizer


def continue_texts(
    checkpoint: Path, prompts: Sequence[str], sampling: Sampling
) -> list[dict[str, Any]]:
    """Continue texts with the model in a folder.

    Args:
        checkpoint: a model folder, a checkpoint or a run folder; its tokenizer lies in it.
        prompts: texts; an empty one starts from the opening token alone.
        sampling: how to choose tokens.

    Returns:
        Per prompt {prompt, text, tokens, stopped}.

    Raises:
        DataError: there is no model, or its tokenizer has no token to start from.
    """
    from yanmo.vocab.load import load_tokenizer

    folder = resolve(checkpoint)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder).to(pick_device("auto"))
    return sample_texts(model, tokenizer, prompts, sampling)


def sample_texts(
    model: Llama, tokenizer: "Tokenizer", prompts: Sequence[str], sampling: Sampling
) -> list[dict[str, Any]]:
    """Continue texts with a model in memory; see :func:`continue_texts`."""
    opening, end = opening_and_end(model.config, tokenizer)
    ids = [[opening, *(int(i) for i in tokenizer.encode(prompt))] for prompt in prompts]
    stop = () if end is None else (end,)
    samples = generate(model, ids, sampling, stop=stop)
    return [
        {
            "prompt": prompt,
            "text": _continuation(tokenizer, prompt, given[1:], sample.tokens),
            "tokens": len(sample.tokens),
            "stopped": sample.stopped,
        }
        for prompt, given, sample in zip(prompts, ids, samples, strict=True)
    ]


def opening_and_end(config: ModelConfig, tokenizer: "Tokenizer") -> tuple[int, int | None]:
    """The id that stands before a text, and the one that closes it.

    Raises:
        DataError: neither model nor tokenizer names one.
    """
    opening = config.bos_token_id
    if opening is None:
        opening = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if opening is None:
        raise DataError("neither model nor tokenizer names an opening or closing token",
                        where=tokenizer.path)  # fmt: skip
    return opening, config.eos_token_id if tokenizer.eos_id is None else tokenizer.eos_id


def _continuation(
    tokenizer: "Tokenizer", prompt: str, given: Sequence[int], new: Sequence[int]
) -> str:
    """The text of the new tokens *after* the prompt: a space between the two would be lost, and a
    character whose bytes lie in both would break, if they were decoded alone."""
    whole = tokenizer.decode([*given, *new])
    return whole[len(prompt) :] if whole.startswith(prompt) else tokenizer.decode(new)
