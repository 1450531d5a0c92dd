"""Low-rank adapters on linear and embedding layers, stored the way peft stores them.

``W`` stays frozen; what is trained is ``B A`` of rank ``r``, added with the factor ``alpha / r``.

Source: LoRA (Hu et al. 2021); rank-stabilised factor ``alpha / sqrt(r)``: Kalajdzievski 2023.
"""

import fnmatch
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from yanmo.errors import DataError, RecipeError
from yanmo.files import read_json, write_json

from .model import Llama
from .recipe import LoraSettings

PREFIX: Final = "base_model.model."
CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"


class LoraLinear(nn.Module):
    """A frozen linear layer with a low-rank addition.

    ``weight`` (out, in) and ``bias`` are those of the layer it replaces, under their names;
    ``lora_A`` is (r, in), ``lora_B`` (out, r) and zero at first, so that nothing changes.
    """

    def __init__(self, base: nn.Linear, settings: LoraSettings) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, base.bias
        rank = cast(int, settings.rank)
        like = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, **like)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, **like)
        self.factor, self.dropout = factor(settings), settings.dropout
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        low = self.lora_A(F.dropout(x, self.dropout, self.training))
        result: Tensor = F.linear(x, self.weight, self.bias) + self.lora_B(low) * self.factor
        return result

    def delta(self) -> Tensor:
        """(out, in): what the adapter adds to the weight."""
        return (self.lora_B.weight @ self.lora_A.weight) * self.factor

    def full_weight(self) -> Tensor:
        """(out, in): the weight with the addition; what an output projection computes with."""
        return self.weight + self.delta()


class LoraEmbedding(nn.Module):
    """A frozen embedding with a low-rank addition; ``A`` is (r, V) and zero at first."""

    def __init__(self, base: nn.Embedding, settings: LoraSettings) -> None:
        super().__init__()
        self.weight = base.weight
        rank = cast(int, settings.rank)
        self.lora_embedding_A = nn.Parameter(base.weight.new_zeros(rank, base.num_embeddings))
        self.lora_embedding_B = nn.Parameter(base.weight.new_empty(base.embedding_dim, rank))
        self.factor = factor(settings)
        nn.init.normal_(self.lora_embedding_B)

    def forward(self, tokens: Tensor) -> Tensor:
        low = F.embedding(tokens, self.lora_embedding_A.T)
        return F.embedding(tokens, self.weight) + (low @ self.lora_embedding_B.T) * self.factor

    def delta(self) -> Tensor:
        """(V, D): what the adapter adds to the weight."""
        return (self.lora_embedding_A.T @ self.lora_embedding_B.T) * self.factor

    def full_weight(self) -> Tensor:
        """(V, D): the weight with the addition."""
        return self.weight + self.delta()


def factor(settings: LoraSettings) -> float:
    """What the product of the two small matrices is multiplied by."""
    rank = cast(int, settings.rank)
    return settings.alpha / (math.sqrt(rank) if settings.rank_stabilised else rank)


def add_adapters(model: Llama, settings: LoraSettings) -> list[str]:
    """Replace the target modules of a model by adapted ones, and freeze all other weights.

    Args:
        model: changed in place. Modules in ``settings.train_whole`` stay trainable as they are.
        settings: ``[lora]`` of the recipe, with a rank.

    Returns:
        Names of the adapted modules.

    Raises:
        RecipeError: a target is not there, or is an embedding that is also the output projection.
    """
    adapted = []
    for name, module in list(model.named_modules()):
        last = name.rpartition(".")[2]
        if last not in settings.targets or not isinstance(module, nn.Linear | nn.Embedding):
            continue
        if isinstance(module, nn.Embedding) and model.config.tie_word_embeddings:
            raise RecipeError(
                "an adapter on a tied embedding would change the output projection when merged",
                value=name, fix="Put it in lora.train_whole instead, or leave it frozen.",
            )  # fmt: skip
        linear = isinstance(module, nn.Linear)
        fresh = (
            LoraLinear(cast(nn.Linear, module), settings)
            if linear
            else LoraEmbedding(cast(nn.Embedding, module), settings)
        )
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, fresh)
        adapted.append(name)
    if missing := set(settings.targets) - {name.rpartition(".")[2] for name in adapted}:
        raise RecipeError("no such layer to adapt", where="lora.targets", value=sorted(missing))
    freeze_base(model, settings)
    return adapted


def freeze_base(model: nn.Module, settings: LoraSettings) -> None:
    """Leave only adapters and the modules that are trained whole trainable."""
    for name, value in model.named_parameters():
        module = name.rpartition(".")[0].rpartition(".")[2]
        value.requires_grad_("lora_" in name or module in settings.train_whole)


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Freeze the parameters whose names match a shell pattern, e.g. ``model.layers.[0-3].*``.

    Raises:
        RecipeError: a pattern matches nothing.
    """
    frozen: list[str] = []
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        found = fnmatch.filter(names, pattern)
        if not found:
            raise RecipeError("the pattern matches no parameter", where="freeze", value=pattern,
                              fix=f"For instance {names[0]}.")  # fmt: skip
        frozen += found
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return frozen


def is_adapter(name: str) -> bool:
    """Whether a parameter's name is that of an adapter."""
    return "lora_" in name


@torch.no_grad()
def merged(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the base model with all adapters added, by Hugging Face name.

    The addition is computed in float32 at least, and rounded once.

    Args:
        model: says where adapters are; its own weights may be cut up over processes.
        weights: its parameters by name, whole.
    """
    found = {n: p.detach() for n, p in weights.items() if not is_adapter(n)}
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            low, high = weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"]
        elif isinstance(module, LoraEmbedding):
            low, high = (weights[f"{name}.lora_embedding_{part}"].T for part in ("B", "A"))
        else:
            continue
        base = found[f"{name}.weight"]
        wide = torch.promote_types(base.dtype, torch.float32)
        delta = (high.to(wide) @ low.to(wide)) * module.factor
        found[f"{name}.weight"] = (base.to(wide) + delta).to(base.dtype)
    return found


def adapter_weights(weights: Mapping[str, Tensor], settings: LoraSettings) -> dict[str, Tensor]:
    """What peft stores of a model's parameters: the adapters, and the modules trained whole."""
    kept = {}
    for name, value in weights.items():
        module = name.rpartition(".")[0].rpartition(".")[2]
        if is_adapter(name) or module in settings.train_whole:
            kept[PREFIX + name] = value.detach()
    return kept


def save_adapter(
    weights: Mapping[str, Tensor], settings: LoraSettings, folder: Path, *, base: str
) -> None:
    """Write an adapter folder that ``peft.PeftModel.from_pretrained`` opens.

    Args:
        weights: from :func:`adapter_weights`.
        settings: ``[lora]`` of the recipe.
        folder: made if missing.
        base: name or path of the base model, written down.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: value.cpu().contiguous() for name, value in weights.items()}
    save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base,
        "r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.dropout,
        "use_rslora": settings.rank_stabilised, "target_modules": list(settings.targets),
        "modules_to_save": list(settings.train_whole) or None, "bias": "none",
        "fan_in_fan_out": False, "init_lora_weights": True, "inference_mode": True,
    }  # fmt: skip
    write_json(folder / CONFIG, config)


@dataclass(frozen=True)
class Adapter:
    """An adapter read from a folder."""

    settings: LoraSettings
    weights: dict[str, Tensor]
    base: str | None


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter that peft or :func:`save_adapter` wrote.

    Raises:
        DataError: a file is missing or damaged, or the adapter is of a kind we do not compute.
    """
    config = read_json(folder / CONFIG)
    _refuse(config, folder)
    try:
        stored = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot read the adapter ({error})", where=folder) from None
    weights = {name.removeprefix(PREFIX): value for name, value in stored.items()}
    settings = LoraSettings(
        rank=int(config["r"]), alpha=float(config["lora_alpha"]),
        dropout=float(config.get("lora_dropout", 0.0)),
        rank_stabilised=bool(config.get("use_rslora", False)),
        targets=_targets(config["target_modules"], weights),
        train_whole=tuple(config.get("modules_to_save") or ()),
    )  # fmt: skip
    return Adapter(settings, weights, config.get("base_model_name_or_path"))


def _targets(written: Any, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The last parts of the adapted modules' names; peft also allows a regular expression."""
    found = {
        re.sub(r"\.lora_.*", "", name).rpartition(".")[2] for name in weights if is_adapter(name)
    }
    if isinstance(written, list):
        return tuple(name for name in written if name in found)
    return tuple(sorted(found))


def _refuse(config: Mapping[str, Any], folder: Path) -> None:
    plain = {
        "peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (False,),
        "use_dora": (False,), "layer_replication": (None,), "lora_bias": (False,),
    }  # fmt: skip
    for key, allowed in plain.items():
        if config.get(key, allowed[0]) not in allowed:
            raise DataError(f"this kind of adapter is not supported: '{key}'", where=folder,
                            value=config[key])  # fmt: skip
    for key in ("rank_pattern", "alpha_pattern"):
        if config.get(key):
            raise DataError(f"adapters of unequal rank are not supported: '{key}'", where=folder)


@torch.no_grad()
def load_adapter(model: Llama, adapter: Adapter) -> None:
    """Put an adapter on a model.

    Args:
        model: without adapters; changed in place.
        adapter: from :func:`read_adapter`.

    Raises:
        DataError: the adapter's weights do not fit the model.
    """
    add_adapters(model, adapter.settings)
    fill_adapter(model, adapter)


@torch.no_grad()
def fill_adapter(model: Llama, adapter: Adapter) -> None:
    """Copy stored weights into the adapters of a model that already has them.

    Raises:
        DataError: a weight is missing, has no place, or another shape.
    """
    own = adapter_weights(dict(model.named_parameters()), adapter.settings)
    wanted = {name.removeprefix(PREFIX) for name in own}
    if wanted != adapter.weights.keys():
        odd = sorted(wanted ^ adapter.weights.keys())
        raise DataError("the adapter does not fit the model", value=odd[:5])
    for name, value in adapter.weights.items():
        place = model.get_parameter(name)
        if place.shape != value.shape:
            raise DataError(f"weight '{name}' should have shape {tuple(place.shape)}",
                            value=tuple(value.shape))  # fmt: skip
        place.copy_(value)
