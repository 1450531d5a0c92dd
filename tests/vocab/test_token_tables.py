"""Facts by id, and the Rényi efficiency of known distributions."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.token_tables import count_han, renyi_efficiency, token_tables


def test_renyi_of_known_distributions() -> None:
    assert renyi_efficiency(np.array([5, 5, 0, 5, 5])) == pytest.approx(1.0)
    assert renyi_efficiency(np.array([5, 5, 5, 5]), 16) == pytest.approx(0.5)
    # 3/4 and 1/4 at order 2: -log2(9/16 + 1/16) of one bit at most.
    assert renyi_efficiency(np.array([3, 1]), alpha=2.0) == pytest.approx(math.log2(1.6))
    assert math.isnan(renyi_efficiency(np.array([7, 0])))


@given(st.text(max_size=30))
def test_count_han_is_the_sum_of_its_characters(text: str) -> None:
    from yanmo.vocab.charsets import is_han

    plain = sum(is_han(c) or 0xF900 <= ord(c) <= 0xFAFF or 0x2F800 <= ord(c) <= 0x2FA1F
                for c in text)  # fmt: skip
    assert count_han(text) == plain


def test_an_unknown_token_is_no_text(tmp_path: Path) -> None:
    """Even where it is spelt with a Han character: what it stands for is lost, not whole."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    fast = tokenizers.Tokenizer(models.WordLevel({"缺": 0, "好": 1}, unk_token="缺"))
    fast.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast.save(str(tmp_path / "tokenizer.json"))
    tables = token_tables(load_tokenizer(tmp_path))
    assert tables.whole_han.tolist() == tables.han_length.tolist() == [0, 1]


def test_tables_by_id(byte_folder: Path) -> None:
    tokenizer = load_tokenizer(byte_folder)
    tables = token_tables(tokenizer)
    for index in range(tokenizer.vocab_size):
        shown = tokenizer.decode([index])
        whole = "\ufffd" not in shown
        assert bool(tables.partial[index]) is not whole
        if whole:
            assert tables.whole_han[index] == count_han(shown)
