"""Scorers: transformers gives the same scores; only the last real token counts."""

from pathlib import Path

import pytest
import torch

from yanmo.errors import DataError
from yanmo.train.attention import documents_from_lengths
from yanmo.train.config import ModelConfig
from yanmo.train.folder import save_model
from yanmo.train.model import build
from yanmo.train.scorer import Scorer, load_scorer, save_scorer, scorer_from


def small(*, tied: bool = False) -> ModelConfig:
    return ModelConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
        tie_word_embeddings=tied,
    )  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_gives_the_same_scores(tmp_path: Path, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    scorer = Scorer(build(small(tied=tied), seed=1), seed=2, bias=0.5)
    save_scorer(scorer, tmp_path / "rm")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm")
    theirs.config.pad_token_id = 0
    tokens = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ours = scorer.rewards(tokens, torch.tensor([8, 8, 8]))
        want = theirs(input_ids=tokens).logits.squeeze(1) + 0.5
    torch.testing.assert_close(ours, want, rtol=0, atol=1e-5)


def test_a_stored_scorer_comes_back_as_it_was(tmp_path: Path) -> None:
    scorer = Scorer(build(small(), seed=1), seed=2, bias=-1.25)
    save_scorer(scorer, tmp_path)
    for again in (load_scorer(tmp_path), scorer_from(tmp_path, seed=9)):
        tokens = torch.arange(8).view(2, 4)
        assert torch.equal(again(tokens), scorer(tokens))


def test_padding_behind_and_company_change_nothing() -> None:
    scorer = Scorer(build(small(), seed=1, dtype=torch.float64), seed=2)
    text = torch.tensor([[5, 6, 7]])
    alone = scorer.rewards(text, torch.tensor([2]))
    padded = torch.tensor([[5, 6, 7, 0, 0], [9, 9, 9, 9, 9]])
    found = scorer.rewards(padded, torch.tensor([2, 4]))
    torch.testing.assert_close(found[:1], alone, rtol=0, atol=1e-12)
    packed = scorer(torch.tensor([[1, 2, 5, 6, 7]]), documents_from_lengths([[2, 3]]))
    torch.testing.assert_close(packed[0, 4:], alone, rtol=0, atol=1e-12)


def test_a_language_model_is_no_scorer(tmp_path: Path) -> None:
    model = build(small(tied=True), seed=1)
    save_model(model.config, dict(model.named_parameters()), tmp_path)
    with pytest.raises(DataError, match=r"no head for scores.*train reward"):
        load_scorer(tmp_path)
    one, two = scorer_from(tmp_path, seed=1), scorer_from(tmp_path, seed=1)
    assert torch.equal(one.score, two.score)
    assert torch.equal(one.backbone.model.norm.weight, model.model.norm.weight)
