"""Batches of answers: both layouts, any company and any cut give the same scores and gradients."""

from typing import Any

import numpy as np
import pytest
import torch

from yanmo.train.attention import documents_from_lengths
from yanmo.train.chat_text import ChatText
from yanmo.train.distributed import World
from yanmo.train.model import build
from yanmo.train.preference import AnswerLogs
from yanmo.train.preference_batch import Order, lay_out, micro_batches
from yanmo.train.preference_data import Ranked, load_answers
from yanmo.train.preference_loop import accumulate_pairs
from yanmo.train.preference_pairs import PairLoss, pair_weight
from yanmo.train.reward import Rewards
from yanmo.train.scorer import Scorer

from .preference_runs import chat_model, star_rankings, write_rows


@pytest.fixture(scope="module")
def rankings(tmp_path_factory: pytest.TempPathFactory) -> list[Ranked]:
    folder = tmp_path_factory.mktemp("batch")
    chat = ChatText(chat_model(folder / "m"))
    rows = write_rows(folder / "r.jsonl", star_rankings(12))
    return load_answers([rows], chat, max_tokens=64).rankings


def scorer_of(tiny: Any) -> Scorer:
    shape = tiny(vocab_size=300)
    return Scorer(build(shape, seed=3, dtype=torch.float64), seed=4)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_company_changes_no_reward(tiny: Any, rankings: list[Ranked], layout: str) -> None:
    rewards = Rewards(scorer_of(tiny))
    batch = lay_out(rankings, range(12), layout=layout)
    with torch.no_grad():
        found = rewards(batch).tolist()
        for (i, k), value in zip(batch.answers, found, strict=True):
            alone = torch.tensor([[*rankings[i].prompt, *rankings[i].answers[k]]])
            assert rewards.scorer(alone)[0, -1].item() == pytest.approx(value, abs=1e-10)


def test_padding_on_the_left_changes_no_reward(tiny: Any, rankings: list[Ranked]) -> None:
    """As transformers' tokenizers pad for generation: the padding is a document of its own."""
    scorer = scorer_of(tiny)
    texts = [[*r.prompt, *r.answers[0]] for r in rankings]
    longest = max(map(len, texts)) + 1
    rows = [[0] * (longest - len(text)) + text for text in texts]
    documents = documents_from_lengths([[longest - len(text), len(text)] for text in texts])
    with torch.no_grad():
        left = scorer.rewards(torch.tensor(rows), torch.full((12,), longest - 1), documents)
        right = Rewards(scorer)(lay_out(rankings, range(12), layout="padded"))
        first = lay_out(rankings, range(12), layout="padded").answers
    want = [value for (_, k), value in zip(first, right.tolist(), strict=True) if k == 0]
    assert left.tolist() == pytest.approx(want, abs=1e-10)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_log_probabilities_are_sums_over_answers(
    tiny: Any, rankings: list[Ranked], layout: str
) -> None:
    model = build(tiny(vocab_size=300), seed=3, dtype=torch.float64)
    batch = lay_out(rankings, range(12), layout=layout)
    with torch.no_grad():
        found = AnswerLogs(model)(batch).tolist()
        for (i, k), value in zip(batch.answers, found, strict=True):
            prompt, said = rankings[i].prompt, rankings[i].answers[k]
            logs = model.logits(torch.tensor([[*prompt, *said]]))[0].log_softmax(1)
            want = sum(logs[len(prompt) - 1 + at, token].item() for at, token in enumerate(said))
            assert value == pytest.approx(want, abs=1e-9)


def loss_of(scorer: Scorer, rankings: list[Ranked], parts: list[list[int]]) -> Any:
    """Mean loss and gradients of a step cut into these micro-batches."""
    from types import SimpleNamespace

    module = Rewards(scorer)
    module.zero_grad()
    run: Any = SimpleNamespace(
        world=World(torch.device("cpu")), call=module, recipe=SimpleNamespace(precision="float64"),
        objective=SimpleNamespace(loss=PairLoss(margin=0.3), watched=lambda b, s: {"reward": s}),
    )  # fmt: skip
    means, _ = accumulate_pairs(run, [lay_out(rankings, part) for part in parts])
    return means, {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def test_the_cut_into_micro_batches_changes_nothing(tiny: Any, rankings: list[Ranked]) -> None:
    scorer = scorer_of(tiny)
    whole, slopes = loss_of(scorer, rankings, [list(range(12))])
    for tokens in (1, 150, 400):
        parts = micro_batches(rankings, range(12), tokens)
        assert sorted(i for part in parts for i in part) == list(range(12))
        means, found = loss_of(scorer, rankings, parts)
        assert means == pytest.approx(whole, rel=1e-12)
        for name, value in found.items():
            torch.testing.assert_close(value, slopes[name], rtol=0, atol=1e-12)


def test_a_ranking_costs_what_numpy_says(tiny: Any, rankings: list[Ranked]) -> None:
    """InstructGPT's mean over the pairs of each prompt, ties left out."""
    assert any(len(set(r.ranks)) < len(r.ranks) for r in rankings)
    assert {len(r.ranks) for r in rankings} >= {2, 3, 4}
    scorer = scorer_of(tiny)
    means, _ = loss_of(scorer, rankings, [list(range(12))])
    total, weights, right = 0.0, 0.0, 0.0
    for ranked in rankings:
        with torch.no_grad():
            said = [scorer(torch.tensor([[*ranked.prompt, *a]]))[0, -1].item()
                    for a in ranked.answers]  # fmt: skip
        for i, one in enumerate(ranked.ranks):
            for j, other in enumerate(ranked.ranks):
                if one < other:
                    weight = 2 / (len(said) * (len(said) - 1))
                    total += weight * np.log1p(np.exp(-(said[i] - said[j] - 0.3)))
                    right += weight * (said[i] > said[j])
                    weights += weight
    assert means["loss"] == pytest.approx(total / weights, abs=1e-10)
    assert means["accuracy"] == pytest.approx(right / weights, abs=1e-12)


def test_rankings_of_two_are_pairs(tiny: Any, rankings: list[Ranked]) -> None:
    two = [Ranked(r.id, r.prompt, r.answers[:2], (2, 1)) for r in rankings]
    scorer = scorer_of(tiny)
    means, _ = loss_of(scorer, two, [list(range(12))])
    batch = lay_out(two, range(12))
    assert batch.weights.tolist() == [1.0] * 12
    with torch.no_grad():
        scores = Rewards(scorer)(batch)
        lead = scores[1::2] - scores[0::2] - 0.3
        want = -torch.nn.functional.logsigmoid(lead).mean().item()
    assert means["loss"] == pytest.approx(want, abs=1e-12)


def test_weights_of_a_process_without_a_share_are_nothing(rankings: list[Ranked]) -> None:
    assert lay_out(rankings, [0], counts=False).weights.sum().item() == 0
    sums = [lay_out(rankings, [i]).weights.sum().item() for i in range(12)]
    want = [len(r.pairs) * pair_weight(len(r.answers)) for r in rankings]
    assert sums == pytest.approx(want)


def test_every_epoch_reads_every_ranking_once() -> None:
    order = Order((3, 5, 8, 9, 11), batch=2, total=13, seed=1)
    read = [i for step in range(order.steps) for i in order.step(step)]
    assert order.steps == 7
    assert len(read) == 13
    assert sorted(read[:5]) == sorted(read[5:10]) == [3, 5, 8, 9, 11]
    assert read[:5] != read[5:10]
