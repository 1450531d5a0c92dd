"""Our own trainer on the same rows, under the same hand; run by the interpreter of the bench."""

from pathlib import Path
from typing import Any

from stepping import Steps

from yanmo import recipe as recipes
from yanmo.train import loop
from yanmo.train.distributed import join
from yanmo.train.journal import Journal
from yanmo.train.recipe import Pretrain
from yanmo.train.setup import prepare


class Boundary:
    """Stands where the progress line stands."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def advance(self, amount: float = 1) -> None:
        """A step has ended."""
        self.steps.done()

    def note(self, text: str) -> None:
        """Nothing is shown."""


def main() -> None:
    """Train until nobody listens."""
    steps = Steps()
    order = steps.order
    accumulate = loop.accumulate

    def noted(*args: Any, **kwargs: Any) -> Any:
        found = accumulate(*args, **kwargs)
        steps.note(found.loss)
        return found

    loop.accumulate = noted
    size = order["batch"] * order["tokens"]
    recipe = recipes.load(Pretrain, None, [
        f"init={order['model']}", f"tokens={order['steps'] * size}",
        f"data.batch_tokens={size}", f"data.sequence_tokens={order['tokens']}",
        f"optimizer.lr={order['lr']}", "optimizer.weight_decay=0.0",
        f"optimizer.clip={order['clip']}", "schedule.kind=constant", "schedule.warmup_share=0.0",
        "run.log_steps=10", "run.save_steps=off", "run.eval_steps=off", "run.device=cpu",
        *order["overrides"],
    ])  # fmt: skip
    out = Path(order["out"])
    with join("cpu") as world:
        run = prepare(recipe, Path(order["shards"]), out, world)
        out.mkdir(parents=True, exist_ok=True)
        loop.Trainer(run, Journal(out, step=0, tensorboard=True)).train(Boundary(steps))


if __name__ == "__main__":
    main()
