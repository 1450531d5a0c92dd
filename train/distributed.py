"""One process or many: who this one is, what device it uses, and sums over all of them.

Processes are started by ``torchrun``; nothing here schedules or starts anything.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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
    backend = "nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(place, dist.get_rank(), dist.get_world_size())
    finally:
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


def replicate(model: nn.Module, world: World) -> nn.Module:
    """Keep equal copies of the model in all processes: gradients are averaged over them."""
    if world.size == 1:
        return model
    ids = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        model, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def quiet(model: nn.Module, *, silent: bool) -> AbstractContextManager[None]:
    """While ``silent``, gradients are added up locally and not exchanged."""
    if silent and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()
