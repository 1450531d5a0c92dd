"""Which attention backend a run uses: asked for, or the best that works on its device.

A backend counts as working when a small packed batch through it gives what the definition gives,
forward and backward; that is tried before training starts, so that no run ends at its first step.
"""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Final, Protocol

import torch

from yanmo.errors import RecipeError
from yanmo.recipe import did_you_mean

from .attention import attention, documents_from_lengths
from .config import ModelConfig
from .model import Llama

CHOICES: Final = ("auto", "sdpa", "varlen", "flex", "eager")
ORDER: Final = {"cuda": ("varlen", "flex", "sdpa"), "cpu": ("sdpa",)}
"""What ``auto`` tries, best first."""
LENGTHS: Final = [[100, 28], [64, 64]]


class Computing(Protocol):
    """The two keys of a recipe's ``[run]`` table that say how a model computes."""

    @property
    def attention(self) -> str: ...

    @property
    def recompute(self) -> bool: ...


@dataclass(frozen=True)
class Picked:
    """An attention backend, and why better ones were passed over.

    Attributes:
        name: a name in ``attention.BACKENDS``.
        passed: name -> why it cannot run here.
    """

    name: str
    passed: dict[str, str]


def pick(asked: str, config: ModelConfig, device: torch.device, precision: str) -> Picked:
    """Choose the backend of a run.

    Args:
        asked: one of ``CHOICES``.
        config: heads and positions of the model.
        device: where it computes.
        precision: of the run, a name in ``step.DTYPES``.

    Raises:
        RecipeError: no such backend, or it cannot run here; says why.
    """
    if asked not in CHOICES:
        raise RecipeError("no such attention backend", where="run.attention", value=asked,
                          fix=did_you_mean(asked, CHOICES)
                          or f"Known: {', '.join(CHOICES)}.")  # fmt: skip
    if asked == "auto":
        passed: dict[str, str] = {}
        for name in ORDER.get(device.type, ("sdpa",)):
            reason = unfit(name, config, device, precision)
            if reason is None:
                return Picked(name, passed)
            passed[name] = reason
        return Picked("eager", passed)
    reason = unfit(asked, config, device, precision)
    if reason is not None:
        raise RecipeError(f"attention '{asked}' cannot run here: {reason}", where="run.attention",
                          value=asked, fix="Set run.attention=auto.")  # fmt: skip
    return Picked(asked, {})


def equip(
    model: Llama, how: Computing, device: torch.device, precision: str
) -> Picked:  # fmt: skip
    """Give a model the attention backend and the recomputation that a recipe asks for.

    Raises:
        RecipeError: see :func:`pick`.
    """
    picked = pick(how.attention, model.config, device, precision)
    model.backend, model.recompute = picked.name, how.recompute
    return picked


def unfit(name: str, config: ModelConfig, device: torch.device, precision: str) -> str | None:
    """Why a backend cannot train this model here; ``None``: it can."""
    if name in ("varlen", "flex"):
        if device.type != "cuda":
            return f"it needs a CUDA device, and this is {device.type}"
        if name == "varlen":
            if precision != "bfloat16":
                return f"its kernel computes in bfloat16, and the precision is {precision}"
            if config.position == "alibi":
                return "its kernel takes no bias, and the positions are ALiBi's"
            if importlib.util.find_spec("torch.nn.attention.varlen") is None:
                return "this version of torch has no torch.nn.attention.varlen (2.10 has)"
        return tried(name, config, device, precision)
    return None


def tried(name: str, config: ModelConfig, device: torch.device, precision: str) -> str | None:
    """Run a small packed batch forward and backward; what went wrong, if anything did."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    heads = (config.num_attention_heads, *[config.num_key_value_heads] * 2)
    drawn = [torch.randn(2, 128, n, config.head_dim, generator=generator) for n in heads]
    documents = documents_from_lengths(LENGTHS).to(device)
    slopes = None
    if config.position == "alibi":
        from .alibi import alibi_slopes

        slopes = alibi_slopes(config.num_attention_heads).to(device)
    found = []
    try:
        for backend, kind in ((name, dtype), ("eager", torch.float32)):
            q, k, v = (x.to(device, kind).requires_grad_() for x in drawn)
            out = attention(q, k, v, documents, backend=backend, slopes=slopes)
            gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
            found.append([out.detach(), *gradients])
    except (RuntimeError, ImportError, NotImplementedError, TypeError) as error:
        return f"a trial failed ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
    for ours, theirs in zip(*found, strict=True):
        gap = (ours.float() - theirs).abs().max() / theirs.abs().max()
        if not gap < (0.05 if dtype == torch.bfloat16 else 1e-3):
            return f"a trial gave other results than the definition (by {gap:.3f} of the largest)"
    return None


def check_compiler(device: torch.device) -> None:
    """Refuse to compile where no compiler is: torch would say so at the first step, at length.

    Raises:
        RecipeError: no C++ compiler (CPU), or no Triton (GPU).
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise RecipeError("run.compile needs Triton on a GPU", value="run.compile=blocks",
                              fix="pip install triton, or set run.compile=off.")  # fmt: skip
    elif not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        raise RecipeError("run.compile needs a C++ compiler", value="run.compile=blocks",
                          fix="Install g++, or set run.compile=off.")  # fmt: skip
