"""A reward model as a judge: each answer has one number, whatever stands beside it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from yanmo.errors import UsageError
from yanmo.train.chat_text import ChatText
from yanmo.train.scorer import Scorer, load_scorer

from .answers import Answer, Question
from .judge_sources import without_markers
from .judges import FIRST, NEITHER, SECOND, Game, Grade, Verdict
from .score import context_limit, weights_sha256


class RewardJudge:
    """Prefers the answer with the higher reward.

    Args:
        folder: of the reward model (``yanmo train reward``).
        margin: rewards that are no further apart are a tie.
        device: a torch device.
    """

    position_free = True

    def __init__(self, folder: Path, *, margin: float = 0.0, device: str = "cpu") -> None:
        if margin < 0:
            raise UsageError("a tie margin is not negative", value=margin)
        if not (folder / "config.json").is_file():
            raise UsageError("no model folder (no config.json)", where=folder,
                             fix="Give the folder of a reward model.")  # fmt: skip
        self.margin, self.name = margin, folder.resolve().name
        self._device = torch.device(device)
        self._scorer: Scorer = load_scorer(folder).to(self._device).eval()
        self._text = ChatText(folder)
        self._limit = context_limit(self._scorer.backbone.config.to_hf(), None)
        self._sha256 = weights_sha256(folder)
        self._known: dict[tuple[str, str], tuple[float | None, str]] = {}

    def identity(self) -> dict[str, Any]:
        """See ``judges.Judge``."""
        return {"kind": "reward", "sha256": self._sha256, "margin": self.margin,
                "bias": self._scorer.bias, "tokenizer_sha256": self._text.tokenizer.sha256,
                "chat_template": self._text.template.source}  # fmt: skip

    def decide(self, games: Iterable[Game]) -> Iterator[Verdict]:
        """See ``judges.Judge``."""
        for game in games:
            found = [self._score(game.question, a) for a in (game.first, game.second)]
            (first, why), (second, other) = found
            if first is None or second is None:
                yield Verdict(None, {"invalid": why or other})
                continue
            gap = first - second
            letter = NEITHER if abs(gap) <= self.margin else FIRST if gap > 0 else SECOND
            yield Verdict(letter, {"rewards": [round(first, 6), round(second, 6)]})

    def grade(self, answers: Iterable[tuple[Question, Answer]]) -> Iterator[Grade]:
        """See ``judges.Judge``."""
        for question, answer in answers:
            value, why = self._score(question, answer)
            yield Grade(value, {"invalid": why} if why else {})

    @torch.inference_mode()
    def _score(self, question: Question, answer: Answer) -> tuple[float | None, str]:
        """The reward at the token that ends the answer's turn; both orders ask for it once."""
        name = (question.id, answer.text)
        if name not in self._known:
            tokenizer = self._text.tokenizer
            messages = without_markers(tokenizer, (m.table() for m in question.messages))
            # The answer is text: what looks like a marker in it is none.
            ids = [*self._text.prompts([messages])[0], *self._text.answers([answer.text])[0]]
            if len(ids) > self._limit:
                self._known[name] = None, f"too long for the model ({len(ids)} tokens)"
            else:
                tokens = torch.tensor([ids], device=self._device)
                ends = torch.tensor([len(ids) - 1], device=self._device)
                self._known[name] = float(self._scorer.rewards(tokens, ends)), ""
        return self._known[name]
