"""Fine-tuning on two processes is fine-tuning on one, noise and unequal targets included."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.errors import RecipeError
from yanmo.train.distributed import World
from yanmo.train.sft import sft
from yanmo.train.sft_setup import look_through, set_up

from .test_distributed import near, on_two_processes
from .tiny_chats import SMALL, files, sft_recipe, write_model

CONSTANT = ("schedule.kind=constant", "schedule.warmup_share=0")
OURS = ("precision=float64", "neftune_alpha=5", "run.micro_sequences=1", *CONSTANT)
LORA = ("precision=float64", "lora.rank=4")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``full`` and ``lora`` alone, replicated and sharded; ``elastic``: 2 steps alone, 2 on two."""
    folder = tmp_path_factory.mktemp("runs")
    found = files(folder, write_model(folder / "model"))

    def here(out: str, *overrides: str) -> None:
        sft(sft_recipe(*overrides), dataclasses.replace(found, out=folder / out), quiet=True)

    def job(out: str, *overrides: str) -> dict[str, Any]:
        return {"dialogues": str(found.data[0]), "model": str(found.model),
                "heldout": str(found.heldout), "out": str(folder / out),
                "overrides": [*SMALL, *overrides]}  # fmt: skip

    here("full", *OURS, "steps=4")
    here("lora", *LORA, "steps=4")
    here("elastic", *OURS, "steps=2")
    on_two_processes([
        job("full-replicate", *OURS, "steps=4"),
        job("full-shard", *OURS, "steps=4", "run.parallel=shard"),
        job("lora-replicate", *LORA, "steps=4"),
        job("elastic", *OURS, "steps=4"),
    ])  # fmt: skip
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["full-replicate", "full-shard", "lora-replicate", "elastic"])
def test_two_processes_are_one(pair: str, runs: Path) -> None:
    near(runs / ("lora" if pair.startswith("lora") else "full"), runs / pair)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    found = files(tmp_path, write_model(tmp_path / "model"))
    prepared = look_through(sft_recipe(), found)
    with pytest.raises(RecipeError, match=r"4 rows cannot be shared by 3.*data\.batch_sequences"):
        set_up(prepared, World(torch.device("cpu"), 0, 3))
