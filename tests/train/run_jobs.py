"""Started by torchrun in test_distributed.py: carry out several training runs, one after another.

Argument: a JSON list of {shards, out, recipe, overrides}. Starting Python and torch for each run
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

if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for job in json.loads(sys.argv[1]):
        settings = recipes.load(Pretrain, job["recipe"], job["overrides"])
        pretrain(settings, Path(job["shards"]), Path(job["out"]), quiet=True)
    dist.destroy_process_group()
