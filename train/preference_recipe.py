"""What a reward model's and a DPO run are: everything that changes their results."""

from dataclasses import dataclass, field
from typing import TypeVar

from yanmo.recipe import setting

from .preference_pairs import PairLoss
from .recipe import (
    LoraSettings,
    OptimizerSettings,
    ScheduleSettings,
    attention_setting,
    precision_setting,
)


@dataclass(frozen=True)
class AnswerSettings:
    """``[data]``."""

    max_tokens: int = setting(
        1024, low=4, help="Of a prompt with its answer; longer answers are left out and counted."
    )
    batch_rankings: int = setting(
        16, low=1, help="Rankings (pairs are rankings of two) in a step.",
        source="64 prompts in InstructGPT (2022), with far more data",
    )  # fmt: skip
    heldout_share: float = setting(0.1, low=0.0, high=0.9, help="Held out by prompt; 0: none.")


@dataclass(frozen=True)
class RewardOptimizer(OptimizerSettings):
    """``[optimizer]`` of a reward model."""

    lr: float = setting(1e-5, low=0.0, source="9e-6 in InstructGPT (2022); 1e-4 suits LoRA")
    weight_decay: float = setting(0.0, low=0.0, source="none in trl's RewardConfig")


@dataclass(frozen=True)
class DpoOptimizer(OptimizerSettings):
    """``[optimizer]`` of DPO."""

    lr: float = setting(1e-6, low=0.0, source="DPO (Rafailov et al. 2023); 1e-5 suits LoRA")
    weight_decay: float = setting(0.0, low=0.0, source="none in trl's DPOConfig")


@dataclass(frozen=True)
class PairRun:
    """``[run]``: how the run is carried out; changes no result but by rounding."""

    micro_tokens: int = setting(8192, low=1, help="Tokens of one forward pass, prompts included.")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:1 …")
    attention: str = attention_setting()
    recompute: bool = setting(False, help="Forget activations and compute them again: less memory.")
    eval_steps: int | None = setting(50, low=1, help="off: only before and at the end.")
    save_steps: int | None = setting(100, low=1, help="off: only at the end.")
    keep_last: int | None = setting(2, low=1, help="Checkpoints kept; off: all.")
    tensorboard: bool = setting(True, help="Write TensorBoard events where it is installed.")


@dataclass(frozen=True)
class RewardLoss:
    """``[loss]`` of a reward model."""

    margin: float = setting(0.0, low=0.0, help="By how much the better answer has to lead.")
    centring: float | None = setting(
        None, low=0.0, source="0.01 in Eisenstein et al. 2023", help="Keeps rewards around 0."
    )

    def pair_loss(self) -> PairLoss:
        """The formula."""
        return PairLoss(margin=self.margin, centring=self.centring or 0.0)


@dataclass(frozen=True)
class DpoLoss:
    """``[loss]`` of DPO."""

    kind: str = setting(
        "sigmoid", choices=("sigmoid", "ipo"), source="Rafailov et al. 2023; Azar et al. 2024"
    )
    beta: float = setting(0.1, low=1e-6, source="Rafailov et al. 2023")
    label_smoothing: float = setting(
        0.0, low=0.0, high=0.5, source="conservative DPO (Mitchell 2023)", help="sigmoid."
    )
    length_normalised: bool = setting(False, help="Log-probabilities per token, not summed.")

    def pair_loss(self) -> PairLoss:
        """The formula."""
        return PairLoss(self.kind, label_smoothing=self.label_smoothing, beta=self.beta)


@dataclass(frozen=True)
class Reward:
    """A reward model's run."""

    model: str = setting(help="Model folder to start from (--model).")
    seed: int = setting(0, low=0, help="Of the head, of the split and of the order.")
    epochs: float = setting(
        1.0, low=0.0, help="Passes over the rankings.",
        source="InstructGPT (2022): more than one overfits",
    )  # fmt: skip
    precision: str = precision_setting()
    loss: RewardLoss = RewardLoss()
    data: AnswerSettings = AnswerSettings()
    optimizer: RewardOptimizer = RewardOptimizer()
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    run: PairRun = PairRun()


@dataclass(frozen=True)
class Dpo:
    """A run of direct preference optimisation."""

    model: str = setting(help="Model folder to start from, and the reference (--model).")
    seed: int = setting(0, low=0, help="Of the split, of the order and of adapters.")
    epochs: float = setting(1.0, low=0.0, help="Passes over the rankings.")
    precision: str = precision_setting()
    loss: DpoLoss = DpoLoss()
    data: AnswerSettings = AnswerSettings()
    optimizer: DpoOptimizer = DpoOptimizer()
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    run: PairRun = PairRun()


Recipe = TypeVar("Recipe", Reward, Dpo)
