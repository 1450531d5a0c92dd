"""From a ``config.json`` and a recipe to the answer of ``yanmo train plan``."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json
from yanmo.model_cost import ModelShape
from yanmo.model_cost import read_shape as model_shape
from yanmo.recipe import did_you_mean
from yanmo.report import Table

from .config import ModelConfig, computes, from_hf
from .loop import MICRO_TOKENS
from .model import parameter_count
from .plan import activations, largest_micro, memory, weights, work
from .recipe import PRESETS, Pretrain, model_config
from .speed import peak_flops

GIB: Final = 1 << 30
PRESET_ROWS: Final = 32_000  # vocabulary of a preset: LLaMA's
# Room that allocators and the runtime want beside the tensors. CUDA: context and fragments. CPU:
# glibc keeps freed blocks; 15 to 36 % were measured (docs/log.md).
SPARE: Final = {"cuda": 0.08, "cpu": 0.3}
ABOUT: Final = {
    "weights": "as they are kept and trained",
    "copies": "weights in bfloat16, and those that a shard puts together",
    "gradients": "alive at the fullest moment",
    "optimizer": "moments of AdamW, or of Muon",
    "activations": "kept for the backward pass",
    "head": "gradient, hidden states and one chunk of logits",
    "backward": "a layer's backward pass, or the embedding's gradient",
}


@dataclass(frozen=True)
class Asked:
    """What a plan needs beside the recipe.

    Attributes:
        limit_gb: GiB of a device; ``None``: of the one that this machine would use.
        micro: sequences of a forward pass; ``None``: what the trainer would take.
        processes: devices.
        bits: of frozen matrices.
        mfu: share of the peak.
        peak: TFLOP/s of a device; ``None``: from its data sheet, if it is known.
    """

    limit_gb: float | None = None
    micro: int | None = None
    processes: int = 1
    bits: int = 16
    mfu: float = 0.4
    peak: float | None = None


@dataclass(frozen=True)
class Planned:
    """The answer.

    Attributes:
        config: the model.
        micro: sequences of a forward pass.
        parts: bytes by what holds them, and ``total``.
        limit: bytes of a device, and of what kind it is.
        most: the largest number of sequences that fits.
        trained: parameters with a gradient, and all.
        tokens: of the run; ``None`` if the recipe does not say.
        cost: see :func:`yanmo.train.plan.work`, for ``tokens``.
        hours: with ``mfu`` of the peak; ``None`` if one of them is not known.
        notes: what a reader should know.
    """

    config: ModelConfig
    micro: int
    parts: Mapping[str, float]
    limit: tuple[float, str]
    most: int
    trained: tuple[int, int]
    tokens: int | None
    cost: Mapping[str, Any]
    hours: float | None
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the run fits, with room for the allocator."""
        return self.parts["total"] <= usable(*self.limit)

    def table(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "parameters": self.trained[1], "trained": self.trained[0],
            "micro_sequences": self.micro, "bytes": dict(self.parts),
            "device": self.limit[1], "device_bytes": self.limit[0], "fits": self.fits,
            "largest_micro_sequences": self.most, "tokens": self.tokens, **self.cost,
            "hours": self.hours, "notes": list(self.notes),
        }  # fmt: skip

    def text(self) -> str:
        """Tables and notes for a terminal."""
        rows: list[list[Any]] = [
            [name, f"{size / GIB:.2f}", about]
            for name, about in ABOUT.items()
            if (size := self.parts[name])
        ]
        rows.append(["total", f"{self.parts['total'] / GIB:.2f}", ""])
        head = Table(f"memory, {self.micro} sequences a forward pass", ["", "GiB", ""], rows).text()
        trained, total = self.trained
        size, device = self.limit
        verdict = "fits" if self.fits else "does not fit"
        lines = [
            f"{total:,} parameters, {trained:,} trained.",
            f"It {verdict} into {size / GIB:.1f} GiB ({device}), {SPARE[device]:.0%} left for the "
            f"allocator; at most {self.most} sequences a forward pass would.",
            f"{self.cost['flops_per_token']:.3g} FLOP a token"
            + (f", {self.cost['flops']:.3g} for {self.tokens:,} tokens." if self.tokens else "."),
        ]
        if self.hours is not None:
            lines.append(f"{self.hours:,.2f} hours.")
        return "\n".join([head, "", *lines, *self.notes])


def usable(limit: float, device: str) -> float:
    """Bytes of a device that tensors may take."""
    return limit * (1 - SPARE[device])


def make_plan(source: Path, recipe: Pretrain, asked: Asked) -> Planned:
    """Plan a run.

    Args:
        source: see :func:`read_shape`.
        recipe: of the run.
        asked: what is not in the recipe.

    Raises:
        UsageError: no such preset or file; or quantised weights that are trained.
        DataError: the file is no ``config.json``, or an entry of it is wrong.
    """
    bits, processes = asked.bits, asked.processes
    if bits < 16 and recipe.lora.rank is None:
        raise UsageError("quantised weights cannot be trained", value=f"--bits {bits}",
                         fix="Set lora.rank, so that they are frozen.")  # fmt: skip
    config, notes = read_shape(source, recipe)
    limit = device_memory(recipe.run.device, asked.limit_gb)
    recipe = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, device=limit[1]))
    counted = weights(config, recipe, bits=bits), activations(config, recipe)
    most = largest_micro(config, recipe, usable(*limit), counted, processes=processes)
    mine = max(recipe.batch_sequences // processes, 1)
    usual = max(MICRO_TOKENS // recipe.data.sequence_tokens, 1)
    micro = min(asked.micro or recipe.run.micro_sequences or usual, mine)
    parts = memory(config, recipe, micro_sequences=micro, processes=processes, counted=counted)
    device = torch.device("cuda" if limit[1] == "cuda" and torch.cuda.is_available() else "cpu")
    flops = asked.peak * 1e12 if asked.peak else peak_flops(device, recipe.precision)
    cost = work(config, recipe, recipe.tokens)
    hours = None
    if recipe.tokens and flops:
        hours = cost["flops"] / (flops * asked.mfu * processes) / 3600
    dtype_bytes = 8 if recipe.precision == "float64" else 4
    count = counted[0].trained // dtype_bytes, parameter_count(config)["total"]
    said = (*notes, *_notes(limit[1], bits, frozen=count[0] < count[1]))
    return Planned(config, micro, parts, limit, most, count, recipe.tokens, cost, hours, said)


def _notes(device: str, bits: int, *, frozen: bool) -> Iterator[str]:
    if bits < 16:
        yield "yanmo trains on whole weights; quantised ones are for other programs."
    if frozen:
        yield ("Operations are those of full training, as in MFU; frozen matrices want no gradient "
               "of their own: up to a third fewer.")  # fmt: skip
    if device == "cpu":
        yield ("glibc keeps freed blocks: expect 15 to 36 % more resident memory, or set "
               "MALLOC_MMAP_THRESHOLD_=65536 and pay about a quarter more time.")  # fmt: skip


def device_memory(device: str, limit_gb: float | None) -> tuple[float, str]:
    """Bytes of a device, and its kind."""
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if limit_gb is not None:  # a size is given for the machine that the run is meant for
        return limit_gb * GIB, "cpu" if device == "cpu" else "cuda"
    if cuda and torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory), "cuda"
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")), "cpu"


def read_shape(source: Path, recipe: Pretrain) -> tuple[ModelConfig, list[str]]:
    """The shape of a model, from a ``config.json`` (or its folder), or the name of a preset.

    Dense decoders of other families are taken for a Llama of the same sizes, and a note says so.

    Raises:
        UsageError: there is no such file and no such preset, or it is of another kind of model: a
            mixture of experts, or a family that is not known.
        DataError: an entry is missing or no whole number.
    """
    path = source / "config.json" if source.is_dir() else source
    if not path.is_file():
        if str(source) in PRESETS:
            return _preset(str(source), recipe)
        raise UsageError("neither a config.json nor a preset", where=source,
                         fix=did_you_mean(str(source), PRESETS)
                         or f"Presets: {', '.join(PRESETS)}.")  # fmt: skip
    table = read_json(path)
    if not isinstance(table, dict):
        raise DataError("not a config.json", where=path)
    if computes(table.get("model_type")):
        return from_hf(table, where=path), []
    return _like_llama(model_shape(path), str(table.get("model_type")))


def _preset(name: str, recipe: Pretrain) -> tuple[ModelConfig, list[str]]:
    settings = dataclasses.replace(recipe.model, preset=name)
    config = model_config(settings, vocab_size=PRESET_ROWS, max_tokens=recipe.data.sequence_tokens)
    return config, [f"A vocabulary of {PRESET_ROWS:,} is assumed; a config.json would say."]


def _like_llama(shape: ModelShape, kind: str) -> tuple[ModelConfig, list[str]]:
    """A Llama with the sizes of another decoder."""
    config = ModelConfig(
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size,
        # Two matrices instead of three: a gated layer of as many weights.
        intermediate_size=shape.intermediate_size * (3 if shape.gated else 2) // 3,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied, max_position_embeddings=shape.max_positions,
    )  # fmt: skip
    return config, [f"The architecture {kind} is taken for a Llama of the same sizes."]
