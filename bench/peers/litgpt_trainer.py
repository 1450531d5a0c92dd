"""litgpt's ``pretrain`` on rows of tokens, under the hand of ``bench.training``.

``litgpt pretrain`` compiles the whole model and does not use the fused AdamW on a CPU; that is its
default. Tuned, it is either not compiled (``compile`` off) or has the fused AdamW, or both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litgpt.pretrain
import numpy as np
import torch
from litgpt import Config
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
from safetensors.torch import load_file
from stepping import Steps


class Rows(torch.utils.data.IterableDataset[Any]):
    """Rows of T + 1 ids, in order; a step has ended when the next batch is asked for."""

    def __init__(self, rows: Any, batch: int, steps: Steps) -> None:
        self.rows, self.batch, self.steps = rows, batch, steps

    def __iter__(self) -> Iterator[Any]:
        for number, row in enumerate(self.rows):
            if number and number % self.batch == 0:
                self.steps.done()
            yield row


class Data(DataModule):
    """The rows as litgpt wants them."""

    def __init__(self, order: dict[str, Any], steps: Steps) -> None:
        super().__init__()
        self.rows = torch.from_numpy(np.load(order["rows"]).astype(np.int64))
        self.batch, self.steps = int(order["batch"]), steps

    def connect(self, tokenizer: Any = None, batch_size: int = 1,
                max_seq_length: int | None = None, **kwargs: Any) -> None:  # fmt: skip
        """Nothing to learn: sizes are given."""

    def train_dataloader(self) -> Any:
        """The rows, without workers."""
        return torch.utils.data.DataLoader(
            Rows(self.rows, self.batch, self.steps), batch_size=self.batch
        )

    def val_dataloader(self) -> Any:
        """One batch of one row, for the check before the first step."""
        return torch.utils.data.DataLoader(self.rows[:1])


def converted(order: dict[str, Any], config: Any) -> Path:
    """The initial weights under litgpt's names."""
    theirs: dict[str, Any] = {}
    copy_weights_hf_llama(config, {}, theirs, load_file(Path(order["model"]) / "model.safetensors"))
    folder = Path(order["out"]) / "start"
    folder.mkdir(parents=True)
    torch.save(theirs, folder / "lit_model.pth")
    return folder


def configuration(order: dict[str, Any]) -> Any:
    """The shape in litgpt's words."""
    shape = order["shape"]
    return Config(
        name="side", block_size=order["tokens"], vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"], n_layer=shape["num_hidden_layers"],
        n_head=shape["num_attention_heads"], n_query_groups=shape["num_key_value_heads"],
        n_embd=shape["hidden_size"], head_size=shape["head_dim"], rotary_percentage=1.0,
        parallel_residual=False, bias=False, norm_class_name="RMSNorm",
        norm_eps=shape["rms_norm_eps"], mlp_class_name="LLaMAMLP",
        intermediate_size=shape["intermediate_size"], rope_base=int(shape["rope_theta"]),
    )  # fmt: skip


def hook(order: dict[str, Any], steps: Steps) -> None:
    """Listen to the loss, and set what litgpt has no option for."""
    inner = litgpt.pretrain.chunked_cross_entropy
    instantiate = litgpt.pretrain.instantiate_torch_optimizer

    def noted(logits: Any, targets: Any, **kwargs: Any) -> Any:
        loss = inner(logits, targets, **kwargs)
        if loss.requires_grad and not loss.is_meta:  # it counts operations on meta first
            steps.note(loss.detach())
        return loss

    def fused(optimizer: Any, parameters: Any, **kwargs: Any) -> Any:
        return instantiate(optimizer, parameters, **(kwargs | {"fused": True}))

    litgpt.pretrain.chunked_cross_entropy = noted
    if order["fused"]:
        litgpt.pretrain.instantiate_torch_optimizer = fused
    if not order["compile"]:
        torch.compile = lambda model: model


def main() -> None:
    """Train until nobody listens."""
    steps = Steps()
    order = steps.order
    hook(order, steps)
    config = configuration(order)
    given = {"lr": order["lr"], "betas": order["betas"], "eps": order["eps"], "weight_decay": 0.0}
    batch, tokens = order["batch"], order["tokens"]
    litgpt.pretrain.setup(
        "side", config, Path(order["out"]) / "run", "32-true", converted(order, config),
        data=Data(order, steps), devices=1, logger_name="csv",
        train=TrainArgs(
            save_interval=None, log_interval=10, global_batch_size=batch, micro_batch_size=batch,
            max_tokens=order["steps"] * batch * tokens, max_norm=order["clip"], min_lr=order["lr"],
            lr_warmup_steps=0, max_seq_length=tokens,
        ),
        eval=EvalArgs(interval=1 << 30, max_iters=1, initial_validation=False,
                      final_validation=False),
        optimizer={"class_path": "torch.optim.AdamW", "init_args": given},
    )  # fmt: skip


if __name__ == "__main__":
    main()
