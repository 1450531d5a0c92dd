"""DPO by trl, in its own environment: a JSON request on stdin, losses of the steps on stdout.

Request: model, threads, pairs [{prompt, chosen, rejected}] in the order they are read, batch, lr,
beta, and folder (for what trl writes).
"""

import json
import resource
import sys
import time

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer


class InOrder(DPOTrainer):
    """Reads the pairs as they come."""

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(self.train_dataset)


def main() -> None:
    request = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout, sys.stderr  # the trainer prints its log
    torch.set_num_threads(request["threads"])
    began = time.process_time()
    config = DPOConfig(
        output_dir=request["folder"], per_device_train_batch_size=request["batch"],
        num_train_epochs=1, learning_rate=request["lr"], lr_scheduler_type="constant",
        warmup_steps=0, weight_decay=0.0, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8,
        max_grad_norm=1.0, beta=request["beta"], max_length=None, bf16=False, fp16=False,
        gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none",
        use_cpu=True, disable_tqdm=True, seed=0,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(request["model"])
    model = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32)
    trainer = InOrder(model=model, args=config, train_dataset=Dataset.from_list(request["pairs"]),
                      processing_class=tokenizer)  # fmt: skip
    ids = [[row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]]
           for row in trainer.train_dataset]  # fmt: skip
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    result = {
        "ids": ids,
        "steps": [
            {"loss": float(s["loss"]), "margin": float(s["rewards/margins"]),
             "accuracy": float(s["rewards/accuracies"]), "chosen": float(s["logps/chosen"]),
             "rejected": float(s["logps/rejected"]), "grad_norm": float(s["grad_norm"])}
            for s in steps
        ],
        "processor_seconds": time.process_time() - began,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip
    answer.write(json.dumps(result))


if __name__ == "__main__":
    main()
