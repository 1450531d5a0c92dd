"""Optimisers and learning rates. Rates are a function of tokens, not of steps."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from yanmo.errors import DataError

from .distributed import like, whole
from .recipe import OptimizerSettings, ScheduleSettings


def decays(name: str, value: Tensor) -> bool:
    """Whether weight decay applies: matrices, but not embeddings (their rows are not all used)."""
    return value.ndim >= 2 and "embed_tokens" not in name


def wants_muon(name: str, value: Tensor) -> bool:
    """Whether Muon can take a parameter: the matrices of the layers, not embedding or head.

    Source: Muon (Jordan et al. 2024): embeddings, head, norms and biases stay with AdamW.
    """
    return value.ndim == 2 and name.endswith("_proj.weight")


class Optimizers:
    """The optimisers of a run, addressed by parameter names.

    Their state is a flat ``name/slot -> tensor`` table, so that it can be stored as safetensors and
    does not depend on how parameters were grouped or sharded.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, nn.Parameter]], settings: OptimizerSettings
    ) -> None:
        """Take charge of the parameters that want a gradient.

        Args:
            parameters: names and parameters, in a fixed order.
            settings: ``[optimizer]`` of the recipe.
        """
        self.parameters = {name: p for name, p in parameters if p.requires_grad}
        self.settings = settings
        muon = settings.kind == "muon"
        matrices = {n: p for n, p in self.parameters.items() if muon and wants_muon(n, p)}
        rest = {n: p for n, p in self.parameters.items() if n not in matrices}
        self.all: list[torch.optim.Optimizer] = []
        if matrices:
            self.all.append(_muon(list(matrices.values()), settings))
        if rest:
            self.all.append(_adamw(rest, settings))

    def step(self, lr: float) -> None:
        """Move the weights by their gradients, then forget the gradients."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
        self.forget()

    def forget(self) -> None:
        """Drop all gradients."""
        for optimizer in self.all:
            optimizer.zero_grad(set_to_none=True)

    def norm(self) -> Tensor:
        """Norm of all gradients together, in float32 at least."""
        slopes = [p.grad for p in self.parameters.values() if p.grad is not None]
        return whole({"norm": nn.utils.get_total_norm(slopes, foreach=True)})["norm"]

    def clip(self, norm: Tensor) -> None:
        """Scale the gradients down to the recipe's norm, if theirs is larger.

        A norm on a CPU is looked at first: a pass over all gradients that changes none is saved.
        """
        limit = self.settings.clip
        if limit is not None and (norm.device.type != "cpu" or norm.item() > limit):
            nn.utils.clip_grads_with_norm_(self.parameters.values(), limit, norm, foreach=True)

    def state(self) -> dict[str, Tensor]:
        """All state as ``name/slot -> tensor``, put together; every process must call it."""
        names: dict[Tensor, str] = {p: name for name, p in self.parameters.items()}
        return whole(
            {
                f"{names[parameter]}/{slot}": value
                for optimizer in self.all
                for parameter, slots in optimizer.state.items()
                for slot, value in slots.items()
            }
        )

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`state` gave.

        Raises:
            DataError: the state is of another set of parameters.
        """
        owners = {p: o for o in self.all for group in o.param_groups for p in group["params"]}
        found: set[str] = set()
        for key, value in state.items():
            name, _, slot = key.rpartition("/")
            if name not in self.parameters:
                raise DataError("the optimizer's state is of another model", value=name)
            parameter = self.parameters[name]
            optimizer = owners[parameter]
            on_host = slot == "step" and not optimizer.defaults.get("fused")
            place = torch.device("cpu") if on_host else parameter.device
            optimizer.state[parameter][slot] = like(value.to(place), parameter)
            found.add(name)
        if state and found != self.parameters.keys():
            missing = sorted(self.parameters.keys() - found)
            raise DataError("the optimizer's state lacks parameters", value=missing[:5])


def _muon(matrices: list[nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    # match_rms_adamw scales the step so that AdamW's learning rate and decay fit (Liu et al. 2025).
    return torch.optim.Muon(
        matrices, lr=settings.lr, weight_decay=settings.weight_decay,
        momentum=settings.muon_momentum, adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip


def _adamw(
    parameters: Mapping[str, nn.Parameter], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    groups = [
        {
            "params": [p for n, p in parameters.items() if decays(n, p) == decay],
            "weight_decay": settings.weight_decay if decay else 0.0,
        }
        for decay in (True, False)
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.lr,
        betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=True,
    )  # fmt: skip


def learning_rate(
    settings: OptimizerSettings, schedule: ScheduleSettings, *, done: float, total: float
) -> float:
    """The rate at a point of the run.

    Args:
        settings: names the peak.
        schedule: ``[schedule]`` of the recipe.
        done: tokens before this point; the middle of a step is taken, so that neither the first
            step's rate is zero nor the last one's wasted.
        total: tokens of the run.
    """
    warmup = _tokens(schedule.warmup_tokens, schedule.warmup_share, total)
    if done < warmup:
        return settings.lr * done / warmup
    low = schedule.min_lr_ratio
    if schedule.kind == "cosine":
        share = _shape("cosine", (done - warmup) / max(total - warmup, 1))
    elif schedule.kind == "wsd":
        decay = _tokens(schedule.decay_tokens, schedule.decay_share, total)
        share = _shape(schedule.decay_shape, (done - (total - decay)) / max(decay, 1))
    else:
        share = 1.0
    return settings.lr * (low + (1 - low) * share)


def _tokens(absolute: int | None, share: float, total: float) -> float:
    return share * total if absolute is None else float(absolute)


def _shape(kind: str, progress: float) -> float:
    """From 1 at progress 0 (and before) to 0 at progress 1 (and after)."""
    x = min(max(progress, 0.0), 1.0)
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * x))
    return 1 - math.sqrt(x) if kind == "sqrt" else 1 - x
