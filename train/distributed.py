"""One process or many: who this one is, what device it uses, and sums over all of them.

Processes are started by ``torchrun``; nothing here schedules or starts anything.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from yanmo.errors import UsageError

# The first step may compile and read cold files; a peer that is late by more is dead.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Attributes:
        device: where it computes.
        rank: its number, from 0.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over all processes; every process must call it."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank; every process must call it."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def speaks() -> bool:
    """Whether this process is the one that prints: the first, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def join(device: str = "auto") -> Iterator[World]:
    """Find out who this process is, and connect it to its peers if ``torchrun`` started them.

    A process group that is already there is used and left in place.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: the device does not exist.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    place = pick_device(device, local)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield World(place)
        return
    ours = not dist.is_initialized()
    if ours:
        backend = "nccl" if place.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(place, dist.get_rank(), dist.get_world_size())
    finally:
        if ours:
            dist.destroy_process_group()


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that a recipe names.

    Raises:
        UsageError: it does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError("no such device", value=name, fix="Use auto, cpu or cuda.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device", value=name, fix="Set run.device=cpu.")
        return device if device.index is not None else torch.device("cuda", local_rank)
    return device


def spread(model: nn.Module, world: World, *, how: str, precision: str) -> nn.Module:
    """Put a model on several processes.

    Args:
        model: on the world's device, with equal weights in every process.
        world: the processes.
        how: ``replicate`` (DDP: every process holds all) or ``shard`` (FSDP2: weights, gradients
            and optimiser state are cut up by rows, and a layer is whole only while it computes).
        precision: what layers compute in.

    Returns:
        What to call in training; with one process the model itself.
    """
    if world.size == 1:
        return model
    if how == "shard":
        return _shard(model, world, precision)
    ids = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        model, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def _shard(model: nn.Module, world: World, precision: str) -> nn.Module:
    # These imports take a second or two that no single process should pay.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    narrow = precision == "bfloat16"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if narrow else None,
        reduce_dtype=torch.float32 if narrow else None,
    )
    for part in (*model.get_submodule("model.layers").children(), model):
        fully_shard(part, mesh=mesh, mp_policy=policy)
        # Gradients are summed, not averaged: the loss is already divided by the global count.
        # gloo has no averaging reduction, so the sum is asked for by name.
        unit = cast(FSDPModule, part)
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)
    return model


def loss_factor(model: nn.Module, world: World) -> int:
    """What undoes the averaging of gradients over processes: DDP averages, our shards sum."""
    return world.size if isinstance(model, DistributedDataParallel) else 1


@contextmanager
def quiet(model: nn.Module, *, silent: bool) -> Iterator[None]:
    """While ``silent``, gradients are added up locally and not exchanged."""
    if isinstance(model, DistributedDataParallel) and silent:
        with model.no_sync():
            yield
        return
    if sharded(model):
        cast(Any, model).set_requires_gradient_sync(not silent)
    yield


def sharded(model: nn.Module) -> bool:
    """Whether the weights are cut up over processes."""
    return hasattr(model, "set_requires_gradient_sync")


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put sharded tensors together again; every process must call it."""
    return {
        name: cast(Any, value).full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in tensors.items()
    }


def like(value: Tensor, model: Tensor) -> Tensor:
    """A whole tensor, cut up as another one is."""
    if value.ndim == 0 or not hasattr(model, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(model.device), model.device_mesh, cast(Any, model).placements)
