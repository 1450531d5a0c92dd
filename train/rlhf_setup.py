"""From a recipe, prompts, a model and a reward to all that the loop needs: new or resumed."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.files import read_json
from yanmo.manifest import versions

from . import checkpoint
from .backends import equip
from .checkpoint import resolve
from .distributed import World, spread
from .folder import load_config, load_model
from .optim import Optimizers
from .rlhf_prompts import PromptSet, PromptText, read_prompts, set_apart
from .rlhf_recipe import Ppo, Rlhf, check_same_run
from .rlhf_rewards import Reward, Rules, make_reward, model_identity
from .rollout import MICRO_TOKENS, Policy
from .scorer import Scorer, load_scorer, scorer_from
from .step import weight_dtype

VALUE: Final = "value"


@dataclass(frozen=True)
class Sources:
    """What a run is started from, as the command line names it.

    Attributes:
        prompts: file of prompts.
        model: folder of the SFT model: the policy's start, and the reference.
        reward: folder of a reward model, or a rule.
        gold: rule that the run is judged by, never trained on.
        heldout: file of prompts to be judged on; ``None``: some of ``prompts``.
    """

    prompts: Path
    model: Path
    reward: str
    gold: str | None = None
    heldout: Path | None = None


@dataclass
class Progress:
    """How far a run is; part of every checkpoint.

    All that is random is a function of the seed and ``iteration``, so that this is also the state
    of the sampler.

    Attributes:
        iteration: rounds done.
        samples: responses drawn.
        tokens: tokens of them.
        coefficient: beta now.
        shift, scale: a score becomes ``(score - shift) / scale``; set by the first responses.
        first_ratio: of all ratios of the first mini-batch the one farthest from 1.
        first_kl: KL to the reference of the first responses, nats a response.
        seconds: spent in iterations, over all starts of the run.
        before: the evaluation before the first update.
    """

    iteration: int = 0
    samples: int = 0
    tokens: int = 0
    coefficient: float = 0.0
    shift: float = 0.0
    scale: float = 1.0
    first_ratio: float | None = None
    first_kl: float | None = None
    seconds: float = 0.0
    before: dict[str, Any] | None = None


@dataclass(eq=False)
class Run:
    """A run, ready for its next iteration.

    Attributes:
        policy: what is trained; ``policy_call`` is the same, wrapped for several processes.
        reference: the unchanged SFT model.
        value: PPO's value model, or ``None``; ``value_call`` as above.
        micro: responses in one forward pass.
        tokenizer: folder whose tokenizer files go into checkpoints.
    """

    recipe: Rlhf
    sources: Sources
    out: Path
    world: World
    text: PromptText
    prompts: PromptSet
    heldout: PromptSet
    reward: Reward
    gold: Reward | None
    policy: Policy
    reference: Policy
    value: Scorer | None
    policy_optimizer: Optimizers
    value_optimizer: Optimizers | None
    tokenizer: Path
    lineage: dict[str, Any]
    micro: int
    policy_call: nn.Module = field(init=False)
    value_call: nn.Module | None = field(init=False)
    progress: Progress = field(default_factory=Progress)
    resumed_from: Path | None = None

    def __post_init__(self) -> None:
        precision = self.recipe.precision
        self.policy_call = spread(self.policy, self.world, how="replicate", precision=precision)
        self.value_call = self.value and spread(
            self.value, self.world, how="replicate", precision=precision
        )

    @property
    def algorithm(self) -> str:
        """``ppo``, ``grpo`` or ``rloo``."""
        return "ppo" if isinstance(self.recipe, Ppo) else self.recipe.group.advantage


def prepare(recipe: Rlhf, sources: Sources, out: Path, world: World) -> Run:
    """Set up a run, from its last whole checkpoint if the output folder holds one.

    Raises:
        RecipeError: the run in ``out`` has other settings, or a size does not fit.
        DataError: prompts, model or reward cannot be used, or are not those of the run.
    """
    found = checkpoint.checkpoints(out)
    restored = checkpoint.read(found[-1][1]) if found else None
    if restored is not None:
        _check_recipe(recipe, restored)
    base, dtype = resolve(sources.model), weight_dtype(recipe.precision)
    text = PromptText(base, load_config(base), template=recipe.rollout.template)
    prompts, heldout = read_both(recipe, sources, text)
    reward = make_reward(sources.reward, text, world.device, dtype)
    gold = None if sources.gold is None else Rules(sources.gold)
    for judge in (reward, gold):
        if judge is not None:
            judge.check((*prompts.prompts, *heldout.prompts))
    lineage = _lineage(recipe, sources, base, (prompts, heldout), (reward, gold))
    if restored is not None:
        _check_lineage(restored.state["lineage"], lineage)
    start = base if restored is None else restored.folder
    policy, reference = (_policy(folder, recipe, world) for folder in (start, base))
    reference.requires_grad_(False)
    _check_room(recipe, policy, (prompts, heldout))
    value = _value(recipe, reward, base, None if restored is None else restored.folder, world)
    run = Run(
        recipe, sources, out, world, text, prompts, heldout, reward, gold, policy, reference, value,
        Optimizers(policy.model.named_parameters(), recipe.optimizer.plain()),
        _value_optimizer(recipe, value), base, lineage, _micro(recipe, prompts, world),
    )  # fmt: skip
    run.progress.coefficient = recipe.kl.coefficient
    # Nothing here draws from torch's own generator; with a known state that can be seen.
    torch.manual_seed(recipe.seed)
    if restored is not None:
        _restore(run, restored)
    return run


def _check_recipe(recipe: Rlhf, restored: checkpoint.Restored) -> None:
    """Refuse to go on with a run of other settings, or of something else.

    Raises:
        RecipeError: says what differs.
    """
    before = restored.state["lineage"].get("algorithm")
    if before != type(recipe).__name__.lower():
        raise RecipeError("the run in the output folder is of another kind",
                          value=before, fix="Use another --out.")  # fmt: skip
    check_same_run(recipes.load(type(recipe), restored.recipe), recipe)


def read_both(recipe: Rlhf, sources: Sources, text: PromptText) -> tuple[PromptSet, PromptSet]:
    """Prompts to train on, and those that are held out.

    Raises:
        DataError: a prompt is in both, or a file cannot be used.
    """
    longest = recipe.rollout.max_prompt_tokens
    prompts = read_prompts(sources.prompts, text, max_tokens=longest)
    if sources.heldout is None:
        return set_apart(prompts, recipe.heldout.prompts)
    held = read_prompts(sources.heldout, text, max_tokens=longest)
    known = {p.ids for p in held.prompts}
    if shared := [p for p in prompts.prompts if p.ids in known]:
        raise DataError(
            f"{len(shared)} held-out prompts are also trained on", where=sources.heldout,
            value=shared[0].text, fix="Take them out of one of the two files.",
        )  # fmt: skip
    return prompts, held


def _policy(folder: Path, recipe: Rlhf, world: World) -> Policy:
    names = read_json(folder / "config.json").get("architectures") or [""]
    if names[0].endswith("ForSequenceClassification"):
        raise DataError("a reward model writes nothing", where=folder,
                        fix="--model is the SFT model, --reward this folder.")  # fmt: skip
    model = load_model(folder, dtype=weight_dtype(recipe.precision))
    equip(model, recipe.run, world.device, recipe.precision)
    # eval: nothing drops out, in sampling and in learning alike.
    return Policy(model, recipe.rollout.temperature).to(world.device).eval()


def _value(
    recipe: Rlhf, reward: Reward, base: Path, resumed: Path | None, world: World
) -> Scorer | None:
    """PPO's value model: the reward model's weights, or the policy's with a head of zeros."""
    if not isinstance(recipe, Ppo):
        return None
    dtype = weight_dtype(recipe.precision)
    if resumed is not None:
        value = load_scorer(resumed / VALUE, dtype=dtype)
    elif reward.model is not None:
        value = load_scorer(reward.folder, dtype=dtype)  # type: ignore[attr-defined]
    else:
        value = scorer_from(base, seed=recipe.seed, dtype=dtype)
        nn.init.zeros_(value.score)
    for name, weight in value.backbone.named_parameters():
        weight.requires_grad_(name.startswith("model."))  # a scorer has no use for an output head
    equip(value.backbone, recipe.run, world.device, recipe.precision)
    return value.to(world.device).eval()


def _value_optimizer(recipe: Rlhf, value: Scorer | None) -> Optimizers | None:
    if value is None or not isinstance(recipe, Ppo):
        return None
    return Optimizers(value.named_parameters(), recipe.optimizer.plain(recipe.value.lr))


def _micro(recipe: Rlhf, prompts: PromptSet, world: World) -> int:
    """Responses in one forward pass.

    Raises:
        RecipeError: a mini-batch cannot be shared by the processes.
    """
    rollout = recipe.rollout
    size = rollout.prompts * rollout.samples // recipe.update.mini_batches
    if size % world.size:
        raise RecipeError(f"a mini-batch of {size} responses cannot be shared by {world.size} "
                          "processes", fix="Change rollout.prompts.")  # fmt: skip
    longest = max(len(p.ids) for p in prompts.prompts) + rollout.max_tokens
    return recipe.run.micro_samples or max(MICRO_TOKENS // longest, 1)


def _check_room(recipe: Rlhf, policy: Policy, sets: tuple[PromptSet, PromptSet]) -> None:
    longest = max(len(p.ids) for one in sets for p in one.prompts)
    room = policy.model.config.max_position_embeddings
    if longest + recipe.rollout.max_tokens > room:
        raise RecipeError(
            "prompts with their responses are longer than the model's context",
            value=(longest, recipe.rollout.max_tokens, room),
            fix="Lower rollout.max_tokens or rollout.max_prompt_tokens.",
        )


def _lineage(
    recipe: Rlhf,
    sources: Sources,
    base: Path,
    sets: tuple[PromptSet, PromptSet],
    rewards: tuple[Reward, Reward | None],
) -> dict[str, Any]:
    reward, gold = rewards
    return {
        "algorithm": type(recipe).__name__.lower(),
        "model": {"path": str(sources.model), "sha256": model_identity(base)},
        "reward": {"path": sources.reward, "sha256": reward.identity},
        "gold": None if gold is None else gold.identity,
        "prompts": {"path": str(sources.prompts), "sha256": sets[0].sha256},
        "heldout": {"path": str(sources.heldout), "sha256": sets[1].sha256},
        "versions": versions(),
    }


def _check_lineage(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with another model, reward or other prompts.

    Raises:
        DataError: says which.
    """
    for key in ("model", "reward", "prompts", "heldout"):
        if before[key]["sha256"] != now[key]["sha256"]:
            raise DataError(f"the run was started with another {key}", where=now[key]["path"],
                            value=now[key]["sha256"],
                            fix=f"It was {before[key]['sha256']}; use another --out.")  # fmt: skip
    if before["gold"] != now["gold"]:
        raise DataError("the run was started with another gold rule", value=now["gold"],
                        fix=f"It was {before['gold']}.")  # fmt: skip


def _restore(run: Run, restored: checkpoint.Restored) -> None:
    run.policy_optimizer.load(_part(restored.optimizer, "policy/"))
    if run.value_optimizer is not None:
        run.value_optimizer.load(_part(restored.optimizer, "value/"))
    checkpoint.restore_generators(restored.generators, run.world.rank)
    run.progress = Progress(**restored.state["progress"])
    run.lineage, run.resumed_from = restored.state["lineage"], restored.folder


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def progress_table(run: Run) -> dict[str, Any]:
    """The progress as JSON."""
    return dataclasses.asdict(run.progress)
