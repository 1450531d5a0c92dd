"""Started by torchrun in tests: carry out several training runs, one after another.

Argument: a JSON list of {shards, out, recipe, overrides}; fine-tuning has {dialogues, heldout,
model} in place of shards. Starting Python and torch for each run
would take most of the suite's time.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from yanmo import recipe as recipes
from yanmo.train.pretrain import pretrain
from yanmo.train.recipe import Pretrain
from yanmo.train.sft import sft
from yanmo.train.sft_recipe import Sft
from yanmo.train.sft_setup import Files

if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for job in json.loads(sys.argv[1]):
        if "dialogues" in job:
            paths = [Path(job[name]) for name in ("dialogues", "model", "out", "heldout")]
            tuned = recipes.load(Sft, None, job["overrides"])
            sft(tuned, Files((paths[0],), *paths[1:]), quiet=True)
            continue
        settings = recipes.load(Pretrain, job["recipe"], job["overrides"])
        pretrain(settings, Path(job["shards"]), Path(job["out"]), quiet=True)
    dist.destroy_process_group()
