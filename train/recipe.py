"""What a training run is: everything that changes its result, with where each default is from."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from yanmo.errors import RecipeError
from yanmo.recipe import setting

from .config import ModelConfig, Rope

# layers, width, feed-forward width, query heads, key-value heads, tied
PRESETS: Final[dict[str, tuple[int, int, int, int, int, bool]]] = {
    "nano": (2, 128, 352, 4, 2, True),
    "tiny": (4, 256, 704, 4, 2, True),
    "small": (8, 512, 1408, 8, 2, True),
    "124m": (12, 768, 2048, 12, 12, True),
    "350m": (24, 1024, 2816, 16, 16, True),
    "1.1b": (22, 2048, 5632, 32, 4, False),
}
"""``124m`` has GPT-2's depth and width, ``small`` is MiniMind2-small, ``1.1b`` is TinyLlama. The
feed-forward width is 8/3 of the width, rounded up to 32 or 64 (SwiGLU, Shazeer 2020)."""


def precision_setting() -> Any:
    """The key ``precision``, which all training recipes have."""
    return setting(
        "float32", choices=("float32", "bfloat16", "float64"),
        help="bfloat16 computes in it and keeps float32 weights; float64 is for tests.",
    )  # fmt: skip


def attention_setting() -> Any:
    """The key ``run.attention``, likewise."""
    return setting(
        "auto", choices=("auto", "sdpa", "varlen", "flex", "eager"),
        help="auto: the best that runs here; varlen and flex want a GPU, eager is the definition.",
    )  # fmt: skip


@dataclass(frozen=True)
class ModelSettings:
    """``[model]``: the shape of a fresh model; with ``init`` the shape is the checkpoint's."""

    preset: str = setting("tiny", choices=tuple(PRESETS), help="Shape that the keys below change.")
    family: str = setting("llama", choices=("llama", "qwen2", "qwen3"), help="Architecture.")
    layers: int | None = setting(None, low=1, help="off: the preset's.")
    width: int | None = setting(None, low=8, help="off: the preset's.")
    ffn_width: int | None = setting(None, low=8, help="off: the preset's.")
    heads: int | None = setting(None, low=1, help="Query heads; off: the preset's.")
    kv_heads: int | None = setting(None, low=1, help="Key-value heads; off: the preset's.")
    head_width: int | None = setting(None, low=2, help="off: width / heads.")
    tied: bool | None = setting(None, help="Output projection = embedding; off: the preset's.")
    position: str = setting(
        "rope", choices=("rope", "alibi"), source="alibi: Press et al. 2022",
        help="alibi: a penalty on distance; no other program opens such a model.",
    )  # fmt: skip
    rope_theta: float = setting(10_000.0, low=1.0, source="Llama (Touvron et al. 2023)")
    max_tokens: int | None = setting(
        None, low=2, help="Context written down; off: sequence_tokens."
    )


@dataclass(frozen=True)
class DataSettings:
    """``[data]``."""

    sequence_tokens: int = setting(512, low=2, help="Targets in a training sequence.")
    batch_tokens: int = setting(
        16_384, low=2, help="Targets in a global batch; a multiple of sequence_tokens."
    )
    mixture: str | None = setting(
        None, help="Plan of `yanmo curate mix`; an epoch is one pass of it. off: see sources."
    )
    sources: dict[str, float] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "Epochs of a source in one epoch of the run, e.g. en = 0.2 for replay."},
    )
    verify: str = setting(
        "full", choices=("full", "fast"),
        help="Check of the shards at a first start: every hash, or sizes alone.",
    )  # fmt: skip


@dataclass(frozen=True)
class OptimizerSettings:
    """``[optimizer]``: AdamW, or Muon for the matrices of the layers and AdamW for the rest."""

    kind: str = setting("adamw", choices=("adamw", "muon"))
    lr: float = setting(1e-3, low=0.0, source="nanoGPT's small models; 6e-4 at 124M, 4e-4 at 1B")
    beta1: float = setting(0.9, low=0.0, high=1.0, source="GPT-3 (Brown et al. 2020)")
    beta2: float = setting(0.95, low=0.0, high=1.0, source="GPT-3 (Brown et al. 2020)")
    eps: float = setting(1e-8, low=0.0)
    weight_decay: float = setting(
        0.1, low=0.0, source="GPT-3 (Brown et al. 2020)", help="On matrices but the embedding."
    )
    clip: float | None = setting(1.0, low=0.0, help="Largest norm of the gradient; off: none.")
    z_loss: float | None = setting(None, low=0.0, source="1e-4 in PaLM (Chowdhery et al. 2022)")
    muon_momentum: float = setting(0.95, low=0.0, high=1.0, source="Muon (Jordan et al. 2024)")


@dataclass(frozen=True)
class ScheduleSettings:
    """``[schedule]``: the learning rate over the run, in tokens, so that the batch may change."""

    kind: str = setting(
        "cosine", choices=("cosine", "wsd", "constant"),
        source="wsd: warm-up, stable, decay (MiniCPM, Hu et al. 2024)",
    )  # fmt: skip
    warmup_tokens: int | None = setting(None, low=0, help="off: warmup_share of the run.")
    warmup_share: float = setting(0.02, low=0.0, high=1.0)
    decay_tokens: int | None = setting(None, low=0, help="wsd; off: decay_share of the run.")
    decay_share: float = setting(
        0.2, low=0.0, high=1.0, source="10 to 20 % in Hägele et al. 2024", help="wsd."
    )
    decay_shape: str = setting(
        "sqrt", choices=("linear", "sqrt", "cosine"), help="wsd.",
        source="1 - sqrt: Hägele et al. 2024",
    )  # fmt: skip
    min_lr_ratio: float = setting(
        0.1, low=0.0, high=1.0, source="Chinchilla (Hoffmann et al. 2022)"
    )


LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LoraSettings:
    """``[lora]``: train low-rank additions to a model that stays as it is."""

    rank: int | None = setting(None, low=1, help="off: all weights are trained.")
    alpha: float = setting(
        16.0, low=0.0, help="The addition is multiplied by alpha / rank.",
        source="128 with rank 64 in Chinese-LLaMA-Alpaca-2 (2023)",
    )  # fmt: skip
    dropout: float = setting(0.0, low=0.0, high=1.0, source="0.05 in Chinese-LLaMA-Alpaca-2")
    rank_stabilised: bool = setting(False, help="alpha / sqrt(rank) (Kalajdzievski 2023).")
    targets: tuple[str, ...] = setting(LINEAR, help="Last part of the names of adapted modules.")
    train_whole: tuple[str, ...] = setting(
        (), help="Modules trained as a whole beside the adapters, e.g. embed_tokens, lm_head."
    )


@dataclass(frozen=True)
class TrainableSettings:
    """``[trainable]``: which weights move."""

    freeze: tuple[str, ...] = setting((), help="Shell patterns of parameter names that stay.")
    new_rows_from: int | None = setting(
        None, low=1, help="Size of the base vocabulary: ids from here on are new, logged apart."
    )
    only_new_rows: bool = setting(False, help="Train nothing but the new rows.")


@dataclass(frozen=True)
class GuardSettings:
    """``[guard]``: what happens at a loss that is not finite, or that jumps."""

    on_nonfinite: str = setting("stop", choices=("stop", "skip"))
    on_spike: str | None = setting("log", choices=("log", "skip"), help="off: not watched.")
    spike_sigma: float = setting(6.0, low=0.0, source="OLMo 2 (2025): 6 sigma over 128 steps")
    window_steps: int = setting(128, low=8, source="OLMo 2 (2025)")


@dataclass(frozen=True)
class PlateauSettings:
    """``[plateau]``: end the run when the held-out loss no longer falls."""

    watch: str | None = setting(
        None, choices=("loss", "new_token_loss"), help="off: the run has its planned length."
    )
    evaluations: int = setting(3, low=1, help="Evaluations in a row that bring too little.")
    gain: float = setting(0.005, low=0.0, high=1.0, help="Share of the loss that is too little.")


@dataclass(frozen=True)
class RunSettings:
    """``[run]``: how the run is carried out and written down; changes no result but by rounding."""

    micro_sequences: int | None = setting(
        None, low=1, help="Sequences in one forward pass; off: about 8192 tokens."
    )
    device: str = setting("auto", help="auto, cpu, cuda, cuda:1 …")
    parallel: str = setting(
        "replicate", choices=("replicate", "shard"),
        help="Under torchrun: DDP, or FSDP2 for models that do not fit one device.",
    )  # fmt: skip
    attention: str = attention_setting()
    compile: str = setting(
        "off", choices=("off", "blocks"),
        help="blocks: torch.compile each layer; a minute at the start, and a C++ compiler.",
    )  # fmt: skip
    recompute: bool = setting(False, help="Forget activations and compute them again: less memory.")
    log_steps: int = setting(10, low=1)
    eval_steps: int | None = setting(250, low=1, help="off: only at the end.")
    eval_first: bool = setting(False, help="Also evaluate before the first step.")
    eval_tokens: int | None = setting(
        1_000_000, low=1, help="Held-out tokens read at each evaluation; off: all."
    )
    save_steps: int | None = setting(250, low=1, help="off: only at the end.")
    keep_last: int | None = setting(2, low=1, help="Checkpoints kept; off: all.")
    tensorboard: bool = setting(True, help="Write TensorBoard events where it is installed.")
    sample_prompts: tuple[str, ...] = setting((), help="Continued at each evaluation.")


@dataclass(frozen=True)
class Pretrain:
    """A pretraining run."""

    seed: int = setting(0, low=0, help="Of fresh weights and of the order.")
    init: str | None = setting(None, help="Model folder to start from; off: fresh weights.")
    tokens: int | None = setting(None, low=1, help="Length of the run; off: see epochs.")
    epochs: float = setting(1.0, low=0.0, help="Length of the run where tokens is off.")
    precision: str = precision_setting()
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    lora: LoraSettings = LoraSettings()
    trainable: TrainableSettings = TrainableSettings()
    plateau: PlateauSettings = PlateauSettings()
    guard: GuardSettings = GuardSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self) -> None:
        for name, epochs in self.data.sources.items():
            if not epochs >= 0:
                raise RecipeError("a source cannot be read less than never",
                                  where=f"data.sources.{name}", value=epochs)  # fmt: skip
        if self.data.sources and self.data.mixture is not None:
            raise RecipeError("a mixture plan and epochs of sources exclude each other",
                              value="data.mixture, data.sources")  # fmt: skip
        if self.data.batch_tokens % self.data.sequence_tokens:
            raise RecipeError(
                "data.batch_tokens is no multiple of data.sequence_tokens",
                value=(self.data.batch_tokens, self.data.sequence_tokens),
            )

    def steps(self, epoch_sequences: int) -> int:
        """Steps of the run, given the sequences of an epoch; the last batch is whole."""
        if self.tokens is not None:
            return max(-(-self.tokens // self.data.batch_tokens), 1)
        return max(-(-round(self.epochs * epoch_sequences) // self.batch_sequences), 1)

    @property
    def batch_sequences(self) -> int:
        """Sequences in a global batch."""
        return self.data.batch_tokens // self.data.sequence_tokens


def model_config(settings: ModelSettings, *, vocab_size: int, max_tokens: int) -> ModelConfig:
    """The shape of a fresh model.

    Args:
        settings: ``[model]`` of a recipe.
        vocab_size: rows of the embedding, from the shards.
        max_tokens: context to write down where the recipe names none.
    """
    layers, width, ffn, heads, kv_heads, tied = PRESETS[settings.preset]
    heads = settings.heads or heads
    width = settings.width or width
    if settings.head_width is None and width % heads:
        raise RecipeError("model.width is no multiple of model.heads", value=(width, heads),
                          fix="Set model.head_width.")  # fmt: skip
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=settings.ffn_width or ffn,
        num_hidden_layers=settings.layers or layers,
        num_attention_heads=heads,
        num_key_value_heads=settings.kv_heads or min(kv_heads, heads),
        head_dim=settings.head_width or width // heads,
        model_type=settings.family,
        attention_bias=settings.family == "qwen2",
        qk_norm=settings.family == "qwen3",
        tie_word_embeddings=tied if settings.tied is None else settings.tied,
        max_position_embeddings=settings.max_tokens or max_tokens,
        rope=Rope() if settings.position == "alibi" else Rope(theta=settings.rope_theta),
        position=settings.position,
    )


# What may differ between a run and its resumption: how long it is, how it is carried out, and what
# to do about trouble.
MAY_CHANGE: Final = ("tokens", "steps", "epochs", "run", "guard")
MAY_MOVE: Final = ("data.mixture",)  # a path; that the plan is the same is in the lineage


def check_same_run(before: Any, now: Any) -> None:
    """Refuse to continue a run under a recipe that would make it another one.

    Args:
        before, now: recipes of one kind of training.

    Raises:
        RecipeError: names the keys that differ.
    """
    old, new = dataclasses.asdict(before), dataclasses.asdict(now)
    changed = []
    for name, value in new.items():
        if name in MAY_CHANGE or value == old[name]:
            continue
        if isinstance(value, dict):
            changed += [
                f"{name}.{key}" for key in value
                if value[key] != old[name][key] and f"{name}.{key}" not in MAY_MOVE
            ]  # fmt: skip
        else:
            changed.append(name)
    if changed:
        raise RecipeError(
            "the run in the output folder was started with other settings",
            value=changed,
            fix="Use them, or another --out; `init` starts a new run from its weights.",
        )
