"""Floating-point operations of training, and what a card could do at most."""

from typing import Final

import torch

from .config import ModelConfig

# Dense bfloat16 tensor-core peaks in FLOP/s, NVIDIA's data sheets; the first name that the card's
# name contains counts. A card that is not listed has no MFU: a wrong peak is worse than none.
PEAKS: Final = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10", 125e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)


def flops_per_token(config: ModelConfig, sequence_tokens: int) -> int:
    """Operations to train on one token, forward and backward.

    ``6 N + 12 L H d T``: ``N`` are the weights that are multiplied (layers and output projection,
    not the embedding's lookup); attention is counted over the whole square, though half of it is
    masked and documents are shorter: the usual convention.

    Source: PaLM, appendix B (Chowdhery et al. 2022).
    """
    layer = config.hidden_size * (
        2 * config.query_width + 2 * config.key_width + 3 * config.intermediate_size
    )
    matrices = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    attention = 12 * config.num_hidden_layers * config.query_width * sequence_tokens
    return 6 * matrices + attention


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Peak of a device in FLOP/s; ``None`` where it is not known (any CPU, other precisions)."""
    if device.type != "cuda" or precision != "bfloat16":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS if part in name), None)
