"""What supervised fine-tuning is: its recipe, and what the trainer makes of it."""

# ruff: noqa: RUF009 (frozen dataclasses are fine as defaults)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from yanmo.errors import RecipeError
from yanmo.recipe import setting

from .recipe import (
    DataSettings,
    GuardSettings,
    LoraSettings,
    OptimizerSettings,
    PlateauSettings,
    Pretrain,
    RunSettings,
    ScheduleSettings,
    TrainableSettings,
    precision_setting,
)

FULL_LR: Final = 1e-5
LORA_LR: Final = 2e-4


@dataclass(frozen=True)
class Dialogues:
    """``[data]``: how dialogues become rows."""

    max_tokens: int = setting(
        1024, low=4, help="Longest dialogue, and the room of a packed row.",
        source="1024 in TRL's SFTTrainer",
    )  # fmt: skip
    batch_sequences: int = setting(
        16, low=1, help="Rows of a global batch; without packing: dialogues.",
        source="16 to 128 dialogues in Alpaca, Vicuna and LLaMA-Factory's examples",
    )  # fmt: skip
    packing: bool = setting(
        True, help="Put several dialogues into a row; none of them sees another.",
        source="best fit decreasing (Ding et al. 2024)",
    )  # fmt: skip
    too_long: str = setting(
        "drop", choices=("drop", "cut"),
        help="What to do with a longer dialogue: leave it out, or cut its oldest turns.",
    )  # fmt: skip
    loss_weight: str = setting(
        "token", choices=("token", "example"),
        help="What counts alike in a batch: every trained token, or every dialogue.",
    )  # fmt: skip


@dataclass(frozen=True)
class SftOptimizer:
    """``[optimizer]``: AdamW, or Muon for the matrices of the layers and AdamW for the rest."""

    kind: str = setting("adamw", choices=("adamw", "muon"))
    lr: float | None = setting(
        None, low=0.0, help="Peak; off: 1e-5, or 2e-4 with adapters.",
        source="1e-5 to 2e-5 in Llama 2 chat and Alpaca; 2e-4 in QLoRA (Dettmers et al. 2023)",
    )  # fmt: skip
    beta1: float = setting(0.9, low=0.0, high=1.0, source="Adam (Kingma and Ba 2015)")
    beta2: float = setting(
        0.999, low=0.0, high=1.0, source="Adam; transformers' Trainer, with which Alpaca was made"
    )
    eps: float = setting(1e-8, low=0.0)
    weight_decay: float = setting(0.0, low=0.0, source="Alpaca (Taori et al. 2023)")
    clip: float | None = setting(
        1.0,
        low=0.0,
        help="Largest norm of the gradient; off: none.",
        source="transformers' Trainer",
    )


@dataclass(frozen=True)
class SftSchedule:
    """``[schedule]``: the learning rate over the run."""

    kind: str = setting("cosine", choices=("cosine", "wsd", "constant"), source="Alpaca")
    warmup_share: float = setting(0.03, low=0.0, high=1.0, source="Alpaca (Taori et al. 2023)")
    decay_share: float = setting(0.2, low=0.0, high=1.0, help="wsd.")
    decay_shape: str = setting("linear", choices=("linear", "sqrt", "cosine"), help="wsd.")
    min_lr_ratio: float = setting(
        0.0, low=0.0, high=1.0, help="The last rate, as a share of the peak.",
        source="transformers' cosine schedule ends at 0",
    )  # fmt: skip


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning on dialogues; the loss is on the assistant's tokens."""

    seed: int = setting(0, low=0, help="Of the order, of fresh adapters and of noise.")
    epochs: float = setting(
        2.0, low=0.0, help="Length of the run.", source="2 in Llama 2 chat, 3 in Alpaca"
    )
    steps: int | None = setting(None, low=1, help="Length of the run in steps; off: see epochs.")
    precision: str = precision_setting()
    neftune_alpha: float | None = setting(
        None, low=0.0, help="Noise on the embeddings in training; off: none.",
        source="5 to 15 in NEFTune (Jain et al. 2023)",
    )  # fmt: skip
    data: Dialogues = Dialogues()
    optimizer: SftOptimizer = SftOptimizer()
    schedule: SftSchedule = SftSchedule()
    lora: LoraSettings = LoraSettings()
    trainable: TrainableSettings = TrainableSettings()
    plateau: PlateauSettings = PlateauSettings()
    guard: GuardSettings = GuardSettings()
    run: RunSettings = field(default=RunSettings(eval_first=True, eval_steps=100, save_steps=100))

    def __post_init__(self) -> None:
        if self.steps is None and self.epochs <= 0:
            raise RecipeError("the run has no length", value="epochs = 0, steps = off")

    @property
    def lr(self) -> float:
        """The peak of the learning rate."""
        if self.optimizer.lr is not None:
            return self.optimizer.lr
        return FULL_LR if self.lora.rank is None else LORA_LR


def training(recipe: Sft, model: Path) -> Pretrain:
    """What the trainer follows: a row is a sequence, the model is where it starts."""
    data, how, rate = recipe.data, recipe.optimizer, recipe.schedule
    batch_tokens = data.batch_sequences * data.max_tokens
    return Pretrain(
        seed=recipe.seed, init=str(model), epochs=recipe.epochs, precision=recipe.precision,
        tokens=None if recipe.steps is None else recipe.steps * batch_tokens,
        data=DataSettings(sequence_tokens=data.max_tokens, batch_tokens=batch_tokens),
        optimizer=OptimizerSettings(
            kind=how.kind, lr=recipe.lr, beta1=how.beta1, beta2=how.beta2, eps=how.eps,
            weight_decay=how.weight_decay, clip=how.clip,
        ),
        schedule=ScheduleSettings(
            kind=rate.kind, warmup_share=rate.warmup_share, decay_share=rate.decay_share,
            decay_shape=rate.decay_shape, min_lr_ratio=rate.min_lr_ratio,
        ),
        lora=recipe.lora, trainable=recipe.trainable, plateau=recipe.plateau, guard=recipe.guard,
        run=recipe.run,
    )  # fmt: skip
