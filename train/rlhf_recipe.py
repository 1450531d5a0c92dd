"""What a run of PPO or GRPO is: all that changes its result, with where each default is from."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from yanmo.errors import RecipeError
from yanmo.recipe import setting

from .algorithms import AGGREGATIONS, KL_KINDS
from .recipe import OptimizerSettings, attention_setting, precision_setting


@dataclass(frozen=True)
class RolloutSettings:
    """``[rollout]``: what is drawn in one iteration."""

    prompts: int = setting(64, low=1, help="Prompts of one iteration.")
    samples: int = setting(1, low=1, help="Responses to each prompt.")
    max_tokens: int = setting(128, low=1, help="Tokens of a response at most.")
    max_prompt_tokens: int = setting(512, low=1, help="Longer prompts are left out, and counted.")
    temperature: float = setting(
        1.0, low=0.01, help="Of sampling and of all log-probabilities alike.",
        source="1.0 in InstructGPT (2022), 0.7 in lm-human-preferences (2019)",
    )  # fmt: skip
    template: str = setting(
        "auto", choices=("auto", "chat", "raw"),
        help="auto: the model's chat template where it has one, and the text itself otherwise.",
    )  # fmt: skip


@dataclass(frozen=True)
class KlSettings:
    """``[kl]``: how far the policy may go from the reference."""

    coefficient: float = setting(
        0.05, low=0.0, source="TRL; 0.02 in InstructGPT (2022)", help="beta."
    )
    estimator: str = setting("k1", choices=KL_KINDS, help="Of the penalty in the reward.")
    target: float | None = setting(
        None, low=1e-6, source="6 nats a response in Ziegler et al. 2019",
        help="beta is adapted until a response has this KL; off: beta stays.",
    )  # fmt: skip
    horizon: float = setting(10_000.0, low=1.0, source="Ziegler et al. 2019", help="Samples.")


@dataclass(frozen=True)
class LossKlSettings:
    """``[kl]`` of GRPO, where the penalty may stand in the loss."""

    coefficient: float = setting(
        0.0, low=0.0, source="TRL; 0.04 in DeepSeekMath (2024)", help="beta."
    )
    place: str = setting(
        "loss", choices=("loss", "reward"),
        source="loss, by k3: DeepSeekMath (2024); reward, by k1: RLOO (Ahmadian et al. 2024)",
    )  # fmt: skip
    target: float | None = setting(None, low=1e-6, help="See the same key of PPO.")
    horizon: float = setting(10_000.0, low=1.0, source="Ziegler et al. 2019", help="Samples.")


@dataclass(frozen=True)
class RewardSettings:
    """``[reward]``: from a score to what is learned from."""

    normalize: bool = setting(
        True, help="Scores of a reward model get mean 0 and deviation 1 on the first responses, "
        "which are the unchanged model's. Rules stay as they are.",
        source="lm-human-preferences (2019)",
    )  # fmt: skip
    missing_end_score: float | None = setting(
        None, help="What a response without an end gets instead of its score; off: its own.",
        source="-1 in Stiennon et al. 2020's code",
    )  # fmt: skip
    missing_end_penalty: float | None = setting(
        None, help="What is taken off the score of a response without an end.", source="TRL"
    )
    whiten: bool = setting(
        False, help="Scale token rewards to deviation 1 over the batch, mean kept (PPO).",
        source="lm-human-preferences (2019)",
    )  # fmt: skip


@dataclass(frozen=True)
class PpoRewardSettings(RewardSettings):
    """``[reward]`` of PPO: a response that runs out of length is worth -1."""

    missing_end_score: float | None = setting(
        -1.0, help="What a response without an end gets instead of its score; off: its own.",
        source="Stiennon et al. 2020's code",
    )  # fmt: skip


@dataclass(frozen=True)
class UpdateSettings:
    """``[update]``: what is made of one iteration's responses."""

    epochs: int = setting(4, low=1, source="PPO (2017), lm-human-preferences (2019)")
    mini_batches: int = setting(4, low=1, help="Optimiser steps of one epoch.")
    clip: float = setting(0.2, low=0.0, source="PPO (Schulman et al. 2017)")
    dual_clip: float | None = setting(None, low=1.0, source="3 in Ye et al. 2020")
    aggregation: str = setting("token-mean", choices=AGGREGATIONS)
    entropy: float = setting(0.0, low=0.0, help="Weight of an entropy bonus.")
    stop_kl: float | None = setting(
        0.05, low=0.0, help="The rest of an update is left out when a mini-batch's KL to the "
        "policy that drew it is above 1.5 times this; off: never.",
        source="Spinning Up (2018) uses 0.01",
    )  # fmt: skip


@dataclass(frozen=True)
class GrpoUpdateSettings(UpdateSettings):
    """``[update]`` of GRPO: one step on each iteration's responses."""

    epochs: int = setting(1, low=1, source="TRL")
    mini_batches: int = setting(1, low=1, help="Optimiser steps of one epoch.")


@dataclass(frozen=True)
class ValueSettings:
    """``[value]``: advantages of PPO and the model behind them."""

    gamma: float = setting(1.0, low=0.0, high=1.0, source="InstructGPT (2022)")
    lam: float = setting(0.95, low=0.0, high=1.0, source="GAE (Schulman et al. 2016)")
    clip: float | None = setting(0.2, low=0.0, source="OpenAI baselines")
    coefficient: float = setting(0.1, low=0.0, source="lm-human-preferences (2019)")
    whiten: bool = setting(True, help="Whiten advantages over the global batch.")
    lr: float = setting(
        3e-6, low=0.0, help="Learning rate of the value model.", source="TRL's recipes"
    )


@dataclass(frozen=True)
class GroupSettings:
    """``[group]``: advantages of GRPO and RLOO."""

    advantage: str = setting(
        "grpo", choices=("grpo", "rloo"),
        help="Minus the group's mean, or minus the mean of the others.",
    )  # fmt: skip
    scale: bool = setting(
        True, help="grpo: divide by the group's deviation; false is Dr. GRPO (2025)."
    )


@dataclass(frozen=True)
class AdamSettings:
    """``[optimizer]``: Adam on all weights, no decay."""

    lr: float = setting(
        3e-6, low=0.0, source="1e-6 to 3e-6 for models of a billion weights (TRL, OpenRLHF)",
        help="Small models want more: 1e-4 at a million weights.",
    )  # fmt: skip
    schedule: str = setting("constant", choices=("constant", "linear"), help="linear: down to 0.")
    beta1: float = setting(0.9, low=0.0, high=1.0)
    beta2: float = setting(0.999, low=0.0, high=1.0, source="Adam (Kingma and Ba 2015)")
    eps: float = setting(1e-5, low=0.0, source="OpenAI baselines, lm-human-preferences (2019)")
    weight_decay: float = setting(0.0, low=0.0)
    clip: float | None = setting(1.0, low=0.0, help="Largest norm of the gradient; off: none.")

    def plain(self, lr: float | None = None) -> OptimizerSettings:
        """As the trainer's optimisers want it."""
        return OptimizerSettings(
            lr=self.lr if lr is None else lr, beta1=self.beta1, beta2=self.beta2, eps=self.eps,
            weight_decay=self.weight_decay, clip=self.clip,
        )  # fmt: skip


@dataclass(frozen=True)
class HeldoutSettings:
    """``[heldout]``: prompts that are never trained on; what the run is judged by."""

    prompts: int = setting(
        64, low=0, help="So many of PROMPTS are set apart, unless a file of them is given."
    )
    evaluate: int | None = setting(
        None, low=1, help="Also every so many iterations; off: before and after."
    )


@dataclass(frozen=True)
class LoopSettings:
    """``[run]``: how the run is carried out; changes no result but by rounding."""

    micro_samples: int | None = setting(
        None, low=1, help="Responses in one forward pass; off: about 8192 tokens."
    )
    device: str = setting("auto", help="auto, cpu, cuda, cuda:1 …")
    attention: str = attention_setting()
    recompute: bool = setting(False, help="Forget activations and compute them again: less memory.")
    save_iterations: int | None = setting(10, low=1, help="off: only at the end.")
    keep_last: int | None = setting(2, low=1, help="Checkpoints kept; off: all.")
    sample_iterations: int = setting(5, low=1, help="Write samples to the log so often.")
    samples: int = setting(4, low=0, help="Responses written down each time.")
    tensorboard: bool = setting(True, help="Write TensorBoard events where it is installed.")


@dataclass(frozen=True)
class Ppo:
    """A run of PPO."""

    seed: int = setting(0, low=0, help="Of the order of prompts, of sampling and of mini-batches.")
    iterations: int = setting(50, low=1, help="Rounds of sampling and learning.")
    precision: str = precision_setting()
    rollout: RolloutSettings = RolloutSettings()
    kl: KlSettings = KlSettings()
    reward: PpoRewardSettings = PpoRewardSettings()
    update: UpdateSettings = UpdateSettings()
    value: ValueSettings = ValueSettings()
    optimizer: AdamSettings = AdamSettings()
    heldout: HeldoutSettings = HeldoutSettings()
    run: LoopSettings = LoopSettings()

    def __post_init__(self) -> None:
        _check_batches(self.rollout, self.update)


@dataclass(frozen=True)
class GroupRolloutSettings(RolloutSettings):
    """``[rollout]`` of GRPO: several responses to each prompt."""

    prompts: int = setting(8, low=1, help="Prompts of one iteration.")
    samples: int = setting(8, low=2, source="TRL", help="Responses to each prompt.")


@dataclass(frozen=True)
class Grpo:
    """A run of GRPO or RLOO: advantages from the group, no value model."""

    seed: int = setting(0, low=0, help="Of the order of prompts, of sampling and of mini-batches.")
    iterations: int = setting(50, low=1, help="Rounds of sampling and learning.")
    precision: str = precision_setting()
    rollout: GroupRolloutSettings = GroupRolloutSettings()
    kl: LossKlSettings = LossKlSettings()
    reward: RewardSettings = RewardSettings()
    update: GrpoUpdateSettings = GrpoUpdateSettings()
    group: GroupSettings = GroupSettings()
    optimizer: AdamSettings = AdamSettings()
    heldout: HeldoutSettings = HeldoutSettings()
    run: LoopSettings = LoopSettings()

    def __post_init__(self) -> None:
        _check_batches(self.rollout, self.update)


Rlhf = Ppo | Grpo


def _check_batches(rollout: RolloutSettings, update: UpdateSettings) -> None:
    count = rollout.prompts * rollout.samples
    if count % update.mini_batches:
        raise RecipeError(
            "the responses of an iteration cannot be shared by the mini-batches",
            value=(count, update.mini_batches),
            fix="Make rollout.prompts x rollout.samples a multiple of update.mini_batches.",
        )


MAY_CHANGE: Final = ("iterations", "run")


def check_same_run(before: Rlhf, now: Rlhf) -> None:
    """Refuse to go on with a run under other settings.

    Raises:
        RecipeError: names the keys that differ.
    """
    old, new = dataclasses.asdict(before), dataclasses.asdict(now)
    changed = [key for name in new if name not in MAY_CHANGE for key in _differs(name, old, new)]
    if changed:
        raise RecipeError("the run in the output folder was started with other settings",
                          value=changed, fix="Use them, or another --out.")  # fmt: skip


def _differs(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    if old[name] == new[name]:
        return []
    if not isinstance(new[name], dict):
        return [name]
    return [f"{name}.{key}" for key in new[name] if old[name][key] != new[name][key]]


def loss_kl(recipe: Rlhf) -> bool:
    """Whether the KL penalty stands in the loss rather than in the reward."""
    return isinstance(recipe, Grpo) and recipe.kl.place == "loss"
