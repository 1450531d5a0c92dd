"""Small models and shards for the training tests."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanmo.train.config import ModelConfig


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Bit-for-bit comparisons need a fixed number of threads, and tiny models want one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., ModelConfig]:
    """Makes model shapes of two narrow layers; keyword arguments change them."""

    def make(**changes: Any) -> ModelConfig:
        shape: dict[str, Any] = {
            "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        }  # fmt: skip
        return ModelConfig(**(shape | changes))

    return make
