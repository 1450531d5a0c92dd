"""TRL's PPOTrainer on prompts of token ids, on a CPU; JSON in on stdin, JSON out on stdout.

Request: ``{model, reward, shift, scale, prompts, end, pad, out, seed, iterations, batch, minis,
epochs, tokens, lr, beta, clip, vf, threads}``. ``prompts`` are lists of ids; the reward is ``(score
- shift) / scale``, less 1 without an end. The policy is saved to ``out``. Answer:
``{episodes, wall, processor}``.

TRL took its PPO out after 0.24, so that this peer is that version.
"""

import tempfile
import time
import warnings
from typing import Any

import torch
from datasets import Dataset
from serve import serve
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from trl import PPOConfig, PPOTrainer


def scorer(request: dict[str, Any]) -> Any:
    """The reward model with the shift and the scale that our side uses, in its head."""
    model = AutoModelForSequenceClassification.from_pretrained(
        request["reward"], num_labels=1, dtype=torch.float32
    )
    head = torch.nn.Linear(model.config.hidden_size, 1)
    with torch.no_grad():
        head.weight.copy_(model.score.weight / request["scale"])
        head.bias.fill_(-request["shift"] / request["scale"])
    model.score = head
    return model


def train(request: dict[str, Any]) -> dict[str, Any]:
    """One run."""
    torch.set_num_threads(request["threads"])
    tokenizer = AutoTokenizer.from_pretrained(request["model"], padding_side="left")
    tokenizer.eos_token_id = request["end"]  # what a missing end is told by
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32)
        for _ in range(2)
    )
    policy.generation_config.eos_token_id = request["end"]
    data = Dataset.from_dict({"input_ids": request["prompts"]})
    with tempfile.TemporaryDirectory() as folder:
        settings = PPOConfig(
            output_dir=folder, report_to=[], save_strategy="no", use_cpu=True, bf16=False,
            seed=request["seed"], learning_rate=request["lr"], lr_scheduler_type="constant",
            adam_epsilon=1e-5, weight_decay=0.0,
            # Not split into micro-batches: TRL steps once in so many of those, whatever the number
            # of mini-batches is.
            per_device_train_batch_size=request["batch"], gradient_accumulation_steps=1,
            num_mini_batches=request["minis"],
            total_episodes=request["iterations"] * request["batch"],
            num_ppo_epochs=request["epochs"], response_length=request["tokens"],
            temperature=1.0, stop_token_id=request["end"], missing_eos_penalty=1.0,
            kl_coef=request["beta"], kl_estimator="k1", cliprange=request["clip"],
            cliprange_value=request["clip"], vf_coef=request["vf"], gamma=1.0, lam=0.95,
            num_sample_generations=0, disable_tqdm=True, gradient_checkpointing=False,
        )  # fmt: skip
        trainer = PPOTrainer(
            args=settings, processing_class=tokenizer, model=policy, ref_model=reference,
            reward_model=scorer(request), value_model=scorer(request), train_dataset=data,
            eval_dataset=data.select(range(2)),
        )  # fmt: skip
        began = time.perf_counter(), time.process_time()
        trainer.train()
        spent = time.perf_counter() - began[0], time.process_time() - began[1]
        policy.save_pretrained(request["out"])
    return {"episodes": request["iterations"] * request["batch"], "wall": spent[0],
            "processor": spent[1]}  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(train)
