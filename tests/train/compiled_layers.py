"""Compiled and plain layers give the same losses and gradients; exits with an error where not.

A process of its own: torch's compiler loads setuptools, which refuses to work where a test before
it has loaded the standard library's distutils.
"""

import torch

from yanmo.train.attention import documents_from_lengths
from yanmo.train.config import ModelConfig
from yanmo.train.model import build


def main() -> None:
    """Compare one layer with itself, compiled."""
    config = ModelConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    plain, compiled = (build(config, seed=0) for _ in range(2))
    compiled.compile_blocks()
    generator = torch.Generator().manual_seed(1)
    tokens, labels = (torch.randint(0, 61, (2, 24), generator=generator) for _ in range(2))
    documents = documents_from_lengths([[7, 17], [24]])
    losses = [model(tokens, labels, documents).total for model in (plain, compiled)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=1e-6)
    for loss in losses:
        loss.backward()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)


if __name__ == "__main__":
    main()
