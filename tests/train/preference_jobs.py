"""Started by torchrun in test_preference_distributed.py: several runs, one after another.

Argument: a JSON list of {kind, model, data, out, overrides}.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from yanmo import recipe as recipes
from yanmo.train.preference import train_dpo
from yanmo.train.preference_recipe import Dpo, Reward
from yanmo.train.preference_run import Task
from yanmo.train.reward import train_reward

if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for job in json.loads(sys.argv[1]):
        task = Task([Path(job["data"])], Path(job["out"]))
        if job["kind"] == "dpo":
            train_dpo(recipes.load(Dpo, overrides=job["overrides"]), task, quiet=True)
        else:
            train_reward(recipes.load(Reward, overrides=job["overrides"]), task, quiet=True)
    dist.destroy_process_group()
