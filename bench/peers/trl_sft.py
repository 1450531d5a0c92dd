"""TRL's SFTTrainer on rows of token ids and labels, on a CPU.

Requests: ``{model, rows, batch, micro, lr, packing, max_tokens, threads}``; ``rows`` is a file of
JSON lines {input_ids, labels}, trained on once, in its order. Answers: ``{losses, tokens, wall,
processor, rows}``: losses of the steps, tokens that are no padding, seconds in steps, rows after
packing.
"""

import json
import tempfile
import time
import warnings
from typing import Any

import torch
from datasets import Dataset
from serve import serve
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds in steps."""

    wall = processor = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.wall += time.perf_counter() - self.start[0]
        self.processor += time.process_time() - self.start[1]


def train(request: dict[str, Any]) -> dict[str, Any]:
    """One run."""
    torch.set_num_threads(request["threads"])
    model = AutoModelForCausalLM.from_pretrained(
        request["model"], dtype=torch.float32, attn_implementation="sdpa"
    )
    with open(request["rows"], encoding="utf-8") as stream:  # noqa: PTH123
        rows = [json.loads(line) for line in stream]
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder, report_to=[], save_strategy="no", use_cpu=True, bf16=False,
            per_device_train_batch_size=request["micro"],
            gradient_accumulation_steps=request["batch"] // request["micro"],
            num_train_epochs=1, learning_rate=request["lr"], lr_scheduler_type="constant",
            warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0, adam_beta2=0.999,
            logging_steps=1, gradient_checkpointing=False, packing=request["packing"],
            max_length=request["max_tokens"], train_sampling_strategy="sequential",
            disable_tqdm=True, optim="adamw_torch_fused", seed=0,
        )  # fmt: skip
        clock = Clock()
        trainer = SFTTrainer(
            model=model, args=settings, train_dataset=Dataset.from_list(rows), callbacks=[clock],
            processing_class=AutoTokenizer.from_pretrained(request["model"]),
        )  # fmt: skip
        trainer.train()
    return {
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "wall": clock.wall, "processor": clock.processor, "rows": len(trainer.train_dataset),
    }  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(train)
