"""What `train plan` says against what runs took: resident memory above that of a run of nothing.

Each configuration trains two steps in a process of its own; its high-water mark is the kernel's. A
run of a model of a megabyte gives what Python, torch and the shards take by themselves.

glibc keeps blocks below 32 MB for later, so that a process holds 15 to 36 % more than its tensors.
That is shown in a column of its own; the comparison is with every tensor in pages that are given
back when it dies (``MALLOC_MMAP_THRESHOLD_``).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo import recipe as recipes
from yanmo.report import Table
from yanmo.train.plan import memory
from yanmo.train.recipe import Pretrain, model_config

from . import meter
from .training_work import write_shards

VOCABULARY: Final = 32_000
TOKENS: Final = 20_000
COMMON: Final = ("data.sequence_tokens=512", "run.eval_steps=off", "run.save_steps=off",
                 "run.tensorboard=false")  # fmt: skip
NOTHING: Final = ("model.preset=nano", "model.width=8", "model.heads=2", "model.kv_heads=2",
                  "model.ffn_width=8", "data.batch_tokens=512")  # fmt: skip
CONFIGURATIONS: Final[dict[str, tuple[str, ...]]] = {
    "small, 16 sequences": ("model.preset=small", "data.batch_tokens=8192"),
    "124m, 4 sequences": ("model.preset=124m", "data.batch_tokens=2048"),
    "124m, bfloat16": ("model.preset=124m", "data.batch_tokens=2048", "precision=bfloat16"),
    "124m, recomputed, 2 x 4": ("model.preset=124m", "data.batch_tokens=4096",
                                "run.micro_sequences=4", "run.recompute=true"),
    "124m, LoRA": ("model.preset=124m", "data.batch_tokens=2048", "lora.rank=8"),
    "124m untied, Muon": ("model.preset=124m", "model.tied=false", "data.batch_tokens=2048",
                          "optimizer.kind=muon"),
}  # fmt: skip
TIGHT: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
MIB: Final = 1 << 20


def random_shards(folder: Path) -> None:
    """Shards of random ids, one document a sequence."""
    rng = np.random.default_rng(0)
    texts = [rng.integers(3, VOCABULARY, 511).astype(np.uint32) for _ in range(TOKENS // 512)]
    write_shards(folder, texts, VOCABULARY)


def resident(shards: Path, overrides: tuple[str, ...], env: dict[str, str]) -> int:
    """High-water mark of two steps, in bytes."""
    settings = recipes.load(Pretrain, None, [*COMMON, *overrides])
    steps = (*COMMON, *overrides, f"tokens={2 * settings.data.batch_tokens}")
    sets = [part for step in steps for part in ("--set", step)]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "yanmo", "train", "pretrain", str(shards),
                   "--out", f"{out}/run", "-q", *sets]  # fmt: skip
        return meter.run(command, env=env).process_bytes


def planned(overrides: tuple[str, ...]) -> float:
    """What the plan says of the same run, in bytes."""
    settings = recipes.load(Pretrain, None, [*COMMON, *overrides])
    config = model_config(settings.model, vocab_size=VOCABULARY, max_tokens=512)
    rows = settings.run.micro_sequences or settings.batch_sequences
    return memory(config, settings, micro_sequences=rows)["total"]


def measure(names: list[str]) -> list[dict[str, Any]]:
    """Plan, tight and usual resident memory of each configuration, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        random_shards(shards)
        nothing = [resident(shards, NOTHING, env) for env in (TIGHT, {})]
        found = []
        for name in names:
            tight, usual = (
                resident(shards, CONFIGURATIONS[name], env) - empty
                for env, empty in zip((TIGHT, {}), nothing, strict=True)
            )
            said = planned(CONFIGURATIONS[name])
            found.append({"run": name, "planned": said, "measured": tight, "usual": usual})
            sys.stderr.write(f"{name}: planned {said / MIB:.0f}, measured {tight / MIB:.0f} MiB\n")
    return found


def main() -> None:
    """Print the table; ``--json`` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(CONFIGURATIONS)}")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.names or list(CONFIGURATIONS))
    rows = [
        [row["run"], row["planned"] / MIB, row["measured"] / MIB,
         row["planned"] / row["measured"], row["usual"] / MIB]
        for row in found
    ]  # fmt: skip
    columns = ["run", "planned MiB", "measured MiB", "planned / measured", "glibc as it is, MiB"]
    sys.stdout.write(Table("memory of a training step", columns, rows).markdown() + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
