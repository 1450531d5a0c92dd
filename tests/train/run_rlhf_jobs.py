"""Started by torchrun in test_rlhf_runs.py: carry out several runs of PPO and GRPO.

Argument: a JSON list of {kind, sources, out, overrides}.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from yanmo import recipe as recipes
from yanmo.train.rlhf import learn
from yanmo.train.rlhf_recipe import Grpo, Ppo
from yanmo.train.rlhf_setup import Sources

if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for job in json.loads(sys.argv[1]):
        prompts, model, reward = job["sources"]
        settings = recipes.load({"ppo": Ppo, "grpo": Grpo}[job["kind"]], overrides=job["overrides"])
        learn(settings, Sources(Path(prompts), Path(model), reward), Path(job["out"]), quiet=True)
    dist.destroy_process_group()
