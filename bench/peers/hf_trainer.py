"""transformers' ``Trainer`` on rows of tokens, under the hand of ``bench.training``."""

from typing import Any

import numpy as np
import torch
from stepping import Steps
from transformers import (
    AutoModelForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class Rows(torch.utils.data.Dataset[Any]):
    """Rows of T + 1 ids; input and label are one apart, and every label counts."""

    def __init__(self, path: str) -> None:
        self.rows = torch.from_numpy(np.load(path).astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        return {"input_ids": row[:-1], "labels": row[:-1], "shift_labels": row[1:]}


class InOrder(Trainer):
    """Reads the rows as they stand, and keeps the loss that ``Trainer`` computed."""

    steps: Steps

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        self.steps.note(loss)
        return loss


class Boundary(TrainerCallback):
    """Tells where a step ends."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.steps.done()


def main() -> None:
    """Train until nobody listens."""
    steps = Steps()
    order = steps.order
    tuned: dict[str, Any] = {"torch_compile": True} if order["compile"] else {}
    arguments = TrainingArguments(
        order["out"], use_cpu=True, per_device_train_batch_size=order["batch"],
        max_steps=order["steps"], learning_rate=order["lr"], lr_scheduler_type="constant",
        adam_beta1=order["betas"][0], adam_beta2=order["betas"][1], adam_epsilon=order["eps"],
        weight_decay=0.0, max_grad_norm=order["clip"], logging_steps=10, report_to="none",
        disable_tqdm=True, remove_unused_columns=False,  # shift_labels would go
        save_strategy="no", **tuned,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)
    trainer = InOrder(model, arguments, train_dataset=Rows(order["rows"]),
                      callbacks=[Boundary(steps)])  # fmt: skip
    trainer.steps = steps
    trainer.train()


if __name__ == "__main__":
    main()
