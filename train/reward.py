"""`yanmo train reward`: a model that gives an answer the number that people's rankings imply."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.errors import DataError
from yanmo.files import atomic_write, read_json
from yanmo.message_formats import parse
from yanmo.messages import read_objects
from yanmo.preference_layouts import is_pair

from . import checkpoint
from .chat_text import ChatText
from .distributed import join, pick_device
from .model import Llama
from .preference_batch import Offsets, PairBatch, lay_out, layout_on, micro_batches
from .preference_data import Ranked, read_judgement
from .preference_loop import PairTrainer, Run, score_rankings
from .preference_pairs import PairLoss
from .preference_recipe import Reward
from .preference_run import (
    SUMMARY,
    Start,
    Task,
    adapt,
    export,
    finish,
    finished,
    page_of,
    prepare,
    source_of,
    store_weights,
    summarize,
    train,
    write_heldout,
)
from .scorer import FACTS, Scorer, load_scorer, save_scorer, scorer_from
from .step import weight_dtype

SCORE_TOKENS: Final = 8192


class Rewards(nn.Module):
    """The reward of each answer of a batch: the score at its last token."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, batch: PairBatch) -> Tensor:
        """(n,) rewards."""
        scores: Tensor = self.scorer(batch.tokens, batch.documents)
        return scores.flatten()[batch.ends]


class RewardObjective:
    """See :class:`yanmo.train.preference_loop.Objective`."""

    kind = "reward"
    offsets: Offsets | None = None

    def __init__(self, recipe: Reward, scorer: Scorer, base: Path) -> None:
        self.recipe, self.scorer, self.base = recipe, scorer, base
        self.module: nn.Module = Rewards(scorer)
        self.backbone: Llama = scorer.backbone
        self.loss: PairLoss = recipe.loss.pair_loss()

    def watched(self, batch: PairBatch, scores: Tensor) -> dict[str, Tensor]:
        """The rewards themselves."""
        return {"reward": scores}

    def write(self, folder: Path) -> None:
        """The scorer's folder."""
        weights = store_weights(self.backbone, self.recipe.lora, str(self.base), folder)
        save_scorer(self.scorer, folder, tokenizer=self.base, weights=weights)


def make_objective(recipe: Reward, start: Start) -> RewardObjective:
    """The scorer to go on with; its bias is 0 while it is trained."""
    base, restored = start.base, start.restored
    dtype = weight_dtype(recipe.precision)
    source = source_of(base, recipe, restored)
    scorer = scorer_from(source, seed=recipe.seed, dtype=dtype)
    scorer.bias = 0.0
    if not scorer.backbone.config.tie_word_embeddings and hasattr(scorer.backbone, "lm_head"):
        scorer.backbone.lm_head.requires_grad_(False)  # no score comes from it
    adapt(scorer.backbone, recipe, restored, start.world)
    if restored is not None and source != restored.folder:
        with torch.no_grad():
            scorer.score.copy_(load_scorer(restored.folder, dtype=dtype).score)
    return RewardObjective(recipe, scorer, base)


def train_reward(recipe: Reward, task: Task, *, quiet: bool = False) -> dict[str, Any]:
    """Train a reward model, or go on, and write the results.

    Args:
        recipe: resolved.
        task: files of rankings or pairs, and the run folder.
        quiet: no live line.

    Returns:
        What ``summary.json`` holds, and ``already_done``.
    """

    with join(recipe.run.device) as world:
        run = prepare(recipe, task, world, lambda start: make_objective(recipe, start))
        if finished(run):
            return {**read_json(task.out / SUMMARY), "already_done": True}
        trainer = train(run, quiet=quiet)
        facts = reference_facts(run)
        summary = {**summarize(run, trainer), "references": facts}
        if world.main:
            _finish(run, trainer, summary)
        world.barrier()
    return {**summary, "already_done": False}


def _finish(run: Run, trainer: PairTrainer, summary: dict[str, Any]) -> None:
    facts = summary["references"]
    export(run, {FACTS: facts})
    write_heldout(run, trainer)
    finish(run, summary, page_of(run, trainer, summary))


def reference_facts(run: Run) -> dict[str, Any]:
    """The bias that makes the mean reward of the reference answers 0, and their spread.

    The references are the best-ranked answers that were trained on. PPO reads absolute rewards, so
    0 should mean "as good as those".

    Source: InstructGPT (Ouyang et al. 2022), section 3.5.
    """
    numbers = sorted(run.order.numbers)
    best = {i: _best(run.data.rankings[i]) for i in numbers}
    rankings = [best.get(i, ranked) for i, ranked in enumerate(run.data.rankings)]
    found = score_rankings(run, rankings, numbers)
    values = np.array([score for row in found for score in row])
    return {"bias": float(-values.mean()), "mean": 0.0, "std": float(values.std()),
            "references": len(values)}  # fmt: skip


def _best(ranked: Ranked) -> Ranked:
    top = min(ranked.ranks)
    answers = tuple(a for a, r in zip(ranked.answers, ranked.ranks, strict=True) if r == top)
    return Ranked(ranked.id, ranked.prompt, answers, (top,) * len(answers))


@torch.no_grad()
def score_texts(
    model: Path,
    dialogues: Sequence[Sequence[Mapping[str, Any]]],
    *,
    device: str = "auto",
    micro_tokens: int = SCORE_TOKENS,
) -> list[float]:
    """Rewards of dialogues.

    Args:
        model: a reward model's folder, or a run of `train reward`.
        dialogues: messages of {role, content} each; the last one is the answer that is judged.
        device: auto, cpu, cuda …
        micro_tokens: tokens of one forward pass; changes nothing but rounding.

    Returns:
        One reward a dialogue; 0 is the mean of the answers that the model took for good.

    Raises:
        DataError: the folder holds no reward model, or a dialogue does not end with an answer.
    """
    folder = checkpoint.resolve(model)
    scorer, place = load_scorer(folder), pick_device(device)
    scorer.to(place)
    rewards = Rewards(scorer).eval()
    rankings = _encode(ChatText(folder), dialogues)
    layout = layout_on(place)
    found = [0.0] * len(rankings)
    for part in micro_batches(rankings, range(len(rankings)), micro_tokens):
        batch = lay_out(rankings, part, layout=layout).to(place)
        for (number, _), value in zip(batch.answers, rewards(batch).tolist(), strict=True):
            found[number] = value
    return found


def _encode(chat: ChatText, dialogues: Sequence[Sequence[Mapping[str, Any]]]) -> list[Ranked]:
    """Each dialogue as a ranking of its one answer."""
    prompts = [list(turns[:-1]) for turns in dialogues]
    for number, turns in enumerate(dialogues):
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise DataError("the dialogue does not end with an answer", where=f"dialogue {number}",
                            value=[turn["role"] for turn in turns])  # fmt: skip
        chat.check(prompts[number], [turns[-1]["content"]], where=f"dialogue {number}")
    answers = chat.answers([turns[-1]["content"] for turns in dialogues])
    ids = zip(chat.prompts(prompts), answers, strict=True)
    return [Ranked(str(i), p, (a,), (1,)) for i, (p, a) in enumerate(ids)]


def score_files(model: Path, data: Sequence[Path], out: Path | None) -> dict[str, Any]:
    """Score the answers in files.

    Args:
        model: see :func:`score_texts`.
        data: dialogues, {id, messages} each, the last turn an answer; rankings and pairs, of which
            every answer is scored, judged or not.
        out: JSON lines to write, {id, reward}, or {id, rewards} of a ranking; ``None``: nowhere.

    Returns:
        ``n``, ``mean``, ``std``, ``lowest``, ``highest``.
    """
    records = [record for path in data for record in _records(path)]
    if not records:
        raise DataError("no dialogue to score", where=", ".join(map(str, data)))
    talks = [talk for _, talks, _ in records for talk in talks]
    rewards = score_texts(model, talks)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        left = iter(rewards)
        with atomic_write(out, text=True) as stream:
            for name, mine, many in records:
                found = [next(left) for _ in mine]
                row = {"id": name, **({"rewards": found} if many else {"reward": found[0]})}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    names = [name for name, mine, _ in records for _ in mine]
    values = np.array(rewards)
    ends = [{"id": names[i], "reward": rewards[i], "answer": talks[i][-1]["content"]}
            for i in (int(values.argmin()), int(values.argmax()))]  # fmt: skip
    return {"n": len(rewards), "mean": float(values.mean()), "std": float(values.std()),
            "lowest": ends[0], "highest": ends[1]}  # fmt: skip


def _records(path: Path) -> Iterator[tuple[str, list[list[dict[str, str]]], bool]]:
    """Per record: its id, dialogues to score, and whether they are answers to one prompt."""
    for where, record in read_objects(path):
        if "responses" in record or is_pair(record):
            judged = read_judgement(record, where)
            prompt = [message.table() for message in judged.prompt]
            yield judged.id, [[*prompt, {"role": "assistant", "content": answer}]
                              for answer in judged.answers], True  # fmt: skip
        else:
            for found in parse(record, where=where):
                yield found.name(where), [[m.table() for m in found.messages]], False
