"""Where scores come from: a reward model's folder, or a rule's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file, sha256_json
from yanmo.recipe import did_you_mean

from .checkpoint import resolve
from .folder import TOKENIZER_DEFINITIONS, weight_files
from .rlhf_prompts import Prompt, PromptText
from .rlhf_rules import RULES, RuleReward, is_rule
from .rollout import Responses, chosen, rows_of
from .scorer import Scorer, load_scorer


class Reward(Protocol):
    """Scores responses.

    Attributes:
        name: for reports.
        identity: changes with what it says.
        model: the scorer behind it, if there is one.
    """

    name: str
    identity: str
    model: Scorer | None

    def __call__(
        self, prompts: Sequence[Prompt], responses: Responses, text: PromptText, at_once: int
    ) -> Tensor: ...

    def check(self, prompts: Sequence[Prompt]) -> None: ...


class Rules:
    """Scores by a rule."""

    model: Scorer | None = None

    def __init__(self, name: str) -> None:
        self.rule = RuleReward(name)
        self.name = self.identity = f"rule:{self.rule.name}"

    def __call__(
        self, prompts: Sequence[Prompt], responses: Responses, text: PromptText, at_once: int
    ) -> Tensor:
        """(N,) float64 scores.

        Raises:
            DataError: the rule failed; names the prompt.
        """
        scores = [
            self.rule(text.decode(responses.ids(row, end=False)), prompt.meta, where=prompt.id)
            for row, prompt in enumerate(prompts)
        ]
        return torch.tensor(scores, dtype=torch.float64)

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Refuse prompts that lack what the rule needs, before anything is drawn.

        Raises:
            DataError: the rule cannot even judge an empty response; names the prompt.
        """
        for prompt in prompts:
            self.rule("", prompt.meta, where=prompt.id)


class RewardModel:
    """Scores by a reward model: what it says at the last real token.

    Raises:
        DataError: the folder holds no scorer, or one for another tokenizer.
    """

    def __init__(
        self, folder: Path, text: PromptText, device: torch.device, dtype: torch.dtype
    ) -> None:
        folder = resolve(folder)
        self.name, self.folder = str(folder), folder
        self.identity = model_identity(folder)
        if any((folder / name).is_file() for name in TOKENIZER_DEFINITIONS):
            from yanmo.vocab.load import load_tokenizer

            if load_tokenizer(folder).sha256 != text.tokenizer.sha256:
                raise DataError("the reward model reads by another tokenizer than the policy",
                                where=folder, fix="Train one from the same SFT model.")  # fmt: skip
        self.model: Scorer | None = load_scorer(folder, dtype=dtype).to(device).eval()
        self.model.requires_grad_(False)

    @torch.no_grad()
    def __call__(
        self, prompts: Sequence[Prompt], responses: Responses, text: PromptText, at_once: int
    ) -> Tensor:
        """(N,) float64 scores."""
        assert self.model is not None
        device, found = self.model.score.device, []
        for at in range(0, len(responses), at_once):
            part = range(at, min(at + at_once, len(responses)))
            rows = rows_of(chosen(responses, part), device)
            found.append(self.model.rewards(rows.tokens, rows.ends).double().cpu())
        return torch.cat(found)

    def check(self, prompts: Sequence[Prompt]) -> None:
        """A reward model needs nothing but the text."""


def make_reward(name: str, text: PromptText, device: torch.device, dtype: torch.dtype) -> Any:
    """The reward that a command line names: a folder, or a rule.

    Raises:
        UsageError: it is neither.
        DataError: see :class:`RewardModel`.
    """
    if is_rule(name) and not Path(name).is_dir():
        return Rules(name)
    if not Path(name).exists():
        raise UsageError("no such reward: neither a folder nor a rule", value=name,
                         fix=did_you_mean(name.partition(":")[0], RULES))  # fmt: skip
    return RewardModel(Path(name), text, device, dtype)


def model_identity(folder: Path) -> str:
    """Hash of a model's configuration and weights."""
    return sha256_json([sha256_file(f) for f in (folder / "config.json", *weight_files(folder))])
