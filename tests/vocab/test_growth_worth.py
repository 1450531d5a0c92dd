"""Go or no-go by hand: what rows cost, what tokens save, and where the verdict turns."""

import re
from dataclasses import replace

import pytest

from yanmo.errors import UsageError
from yanmo.model_cost import ModelShape
from yanmo.vocab.growth_worth import Plan, Swap, cheapest, weigh

# A layer: 2*8*8 + 2*8*4 + 3*8*16 = 576 weights, two of them 1152; 100 rows of 8, tied.
TINY = ModelShape("tiny", vocab_size=100, hidden_size=8, layers=2, heads=2, kv_heads=1, head_dim=4,
                  intermediate_size=16, gated=True, tied=True, max_positions=9)  # fmt: skip


def test_a_swap_by_hand() -> None:
    """200 ids are padded to 256 rows: 6720 operations forward instead of 4224; half the tokens."""
    plan = Plan(adapt_tokens=1000, context=9)
    found = weigh(TINY, Swap(before=0.8, after=0.4, size=200, new_rows=100), plan)
    assert found["after"]["rows"] == 256
    assert found["added_parameters"] == 156 * 8
    assert found["before"]["training_flops_per_token"] == 12672
    assert found["after"]["training_flops_per_token"] == 20160
    assert found["after"]["training_flops_per_char"] == pytest.approx(8064)
    assert found["tokens_saved"] == pytest.approx(0.5)
    assert found["tokens_that_must_be_saved"] == pytest.approx(1 - 12672 / 20160)
    saved = 12672 - 0.5 * 20160  # 2592 a token of the old tokenizer
    assert found["operations_saved"] == pytest.approx(saved / 12672)
    assert found["break_even_train_tokens"] == pytest.approx(1000 * 20160 / saved)
    assert found["break_even_serve_tokens"] == pytest.approx(3000 * 20160 / saved)
    assert found["after"]["vocabulary_bytes"] == 256 * 8 * 2
    assert found["after"]["vocabulary_training_bytes"] == 256 * 8 * 16
    assert found["after"]["logits_bytes"] == 4 * 9 * 256
    assert found["before"]["cache_bytes_per_1000_chars"] == pytest.approx(800 * 32)
    assert found["after"]["cache_bytes_per_1000_chars"] == pytest.approx(400 * 32)
    assert found["cache_saved"] == pytest.approx(0.5)
    assert found["verdict"] == "depends"
    assert "Quality gain not established" in found["quality"]


@pytest.mark.parametrize(
    ("train", "serve", "verdict"),
    [(7778, None, "go"), (7777, None, "no-go"), (None, 23334, "go"), (None, 23333, "no-go"),
     (4000, 11334, "go"), (4000, 11332, "no-go"), (0, None, "no-go")],
)  # fmt: skip
def test_the_verdict_turns_at_break_even(
    train: float | None, serve: float | None, verdict: str
) -> None:
    """1000 * 20160 / 2592 = 7777.8 tokens trained, three times as many served, or a mix."""
    plan = Plan(train_tokens=train, serve_tokens=serve, adapt_tokens=1000, context=9)
    found = weigh(TINY, Swap(0.8, 0.4, 200, 100), plan)
    assert found["verdict"] == verdict
    assert (found["net_flops"] >= 0) is (verdict == "go")


def test_what_never_pays() -> None:
    """62.9 % of the tokens is what 256 rows cost here; with fewer saved no budget helps."""
    even = 12672 / 20160
    for ratio, verdict in ((even - 1e-6, "go"), (even + 1e-6, "no-go")):
        plan = Plan(train_tokens=1e15, adapt_tokens=1, context=9)
        found = weigh(TINY, Swap(1.0, ratio, 256, 1), plan)
        assert found["verdict"] == verdict
    assert found["break_even_train_tokens"] is None
    assert re.search(r"37\.1% of the\s+tokens are saved, 37\.1% would have to be", found["reason"])


def test_rows_in_reserve_cost_nothing() -> None:
    found = weigh(replace(TINY, vocab_size=256), Swap(0.8, 0.4, 250, 50), Plan(context=9))
    assert found["added_parameters"] == 0
    assert found["operations_saved"] == pytest.approx(0.5)
    assert found["adapt_tokens"] == 50 * 200_000
    assert found["adapt_assumed"]


def test_another_tokenizer_may_need_fewer_rows() -> None:
    found = weigh(TINY, Swap(0.8, 0.8, 40, 40, extends=False), Plan(context=9))
    assert found["after"]["rows"] == 64
    assert found["added_parameters"] == -36 * 8
    kept = weigh(TINY, Swap(0.8, 0.8, 40, 40), Plan(context=9))
    assert kept["after"]["rows"] == 100  # never fewer than the model has


def test_a_tokenizer_that_loses_text_is_no_go() -> None:
    plan = Plan(train_tokens=1e9, adapt_tokens=0, context=9)
    found = weigh(TINY, Swap(0.8, 0.4, 100, 0, exact_share=0.75), plan)
    assert found["verdict"] == "no-go"
    assert "25.0% of the documents do not come back, 0.0% with the old one" in found["reason"]
    # What the old one loses too is no reason against the new one.
    for before, verdict in ((0.75, "go"), (0.7, "go"), (0.8, "no-go")):
        swap = Swap(0.8, 0.4, 100, 0, exact_share=0.75, exact_before=before)
        assert weigh(TINY, swap, plan)["verdict"] == verdict


def test_the_cheapest_size_by_hand() -> None:
    """2 * (1152 + rows * 8) + 320 operations forward: 4224 for 100 rows, 4672 and 6720."""
    sizes = {100: 1.0, 128: 0.8, 256: 0.7}
    best, saved = cheapest(TINY, sizes, 9, 64)
    costs = {100: 4224.0, 128: 0.8 * 4672, 256: 0.7 * 6720}
    assert best == min(costs, key=lambda size: costs[size]) == 128
    assert saved == pytest.approx(1 - costs[128] / costs[100])


def test_a_budget_is_no_debt() -> None:
    with pytest.raises(UsageError, match="a budget cannot be negative, got -1"):
        weigh(TINY, Swap(1, 1, 100, 0), Plan(train_tokens=-1))
    with pytest.raises(UsageError, match="no token of this text"):
        weigh(TINY, Swap(0.0, 1, 100, 0), Plan())
