"""Fine-tuning beside TRL: first the same work (equal loss curves), then tokens a second.

Both start from the same model, read the same token ids and labels in the same order, and take the
same steps with the same hyper-parameters; without packing the losses of all steps must be equal.
Then each side goes once over the same dialogues, padded and packed. That TRL's packing isolates
dialogues under torch's attention is looked at first: its packed loss must be that of each alone.

Needs ``$YANMO_REALDATA`` (MiniMind2-small, ShareGPT and Alpaca in Chinese).
"""

import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
import zstandard

from yanmo import recipe as recipes
from yanmo.train import loop
from yanmo.train.journal import read_journal
from yanmo.train.sft import sft
from yanmo.train.sft_recipe import Sft
from yanmo.train.sft_setup import Files, look_through

from . import texts
from .rounds import Claim, Options, Peer, Result, available, spread

MEGABYTES: Final = 0.08
MAX_TOKENS: Final = 512
STEPS: Final = 5
BATCH: Final = 8
MICRO: Final = 8
PACKED_ROWS: Final = 2
LR: Final = 2e-5
COMMON: Final = (
    "schedule.kind=constant", "schedule.warmup_share=0", f"data.max_tokens={MAX_TOKENS}",
    "run.log_steps=1", "run.eval_first=false", "run.eval_steps=off", "run.save_steps=off",
    "run.tensorboard=false", "epochs=1",
)  # fmt: skip
PADDED: Final = ("data.packing=false", f"data.batch_sequences={BATCH}",
                 f"run.micro_sequences={MICRO}")  # fmt: skip
PACKED: Final = (f"data.batch_sequences={PACKED_ROWS}", f"run.micro_sequences={PACKED_ROWS}")
THREADS: Final = 1


def run(options: Options) -> Result:
    """Equal curves, then speed."""
    result = Result("Fine-tuning MiniMind2-small (26 M), one core",
                    ["side", "tokens/s (processor)", "spread %", "tokens/s (wall)", "of TRL padded",
                     "rows"])  # fmt: skip
    real = texts.realdata()
    if real is None:
        result.notes.append("Left out: it needs $YANMO_REALDATA.")
        return result
    if not available("trl", result):
        return result
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name, Peer("trl", "trl_sft") as peer:
        folder = Path(name)
        files = Files(
            (_dialogues(real, folder, options.megabytes or MEGABYTES),),
            real / "models" / "minimind2-small", folder / "run",
        )  # fmt: skip
        _curves(files, peer, result)
        _isolation(files, peer, result)
        _speed(files, peer, options.rounds or 3, result)
    return result


def _dialogues(real: Path, folder: Path, megabytes: float) -> Path:
    """ShareGPT and Alpaca in turn, until there is so much text."""
    shared = _read(real / "instruct" / "sharegpt_zh_1k.jsonl.zst")
    alpaca = json.loads(_read(real / "instruct" / "alpaca_zh_demo.json.zst"))
    names = {"human": "user", "gpt": "assistant", "system": "system"}
    size, lines = 0.0, []
    for long, short in zip(shared.split("\n"), alpaca, strict=False):
        turns = [
            {"role": names[t["from"]], "content": t["value"]}
            for t in json.loads(long)["conversations"]
        ]
        question = "\n".join(filter(None, (short["instruction"], short["input"])))
        pair = [{"role": "user", "content": question},
                {"role": "assistant", "content": short["output"]}]  # fmt: skip
        for messages in (turns, pair):
            line = json.dumps({"messages": messages}, ensure_ascii=False)
            if len(line.encode()) <= 3 * MAX_TOKENS and len(messages) > 1:
                lines.append(line)
                size += len(line.encode()) / 1e6
        if size >= megabytes:
            break
    path = folder / "dialogues.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        return zstandard.ZstdDecompressor().stream_reader(stream).read().decode("utf-8")


def _rows(recipe: Sft, files: Files, path: Path, count: int | None) -> Path:
    """Our rows, unpacked and in our order, as TRL takes them."""
    prepared = look_through(recipe, files)
    feed, corpus = prepared.feed, prepared.corpus
    assert feed is not None
    with path.open("w", encoding="utf-8") as stream:
        for index in range(count or feed.sequences):
            (begin,), (length,) = (x.tolist() for x in feed.order.pieces(index))
            cut = slice(begin, begin + length)
            labels = corpus.labels[cut].tolist()
            row = {"input_ids": [*corpus.tokens[cut].tolist(), labels[-1]],
                   "labels": [-100, *labels]}  # fmt: skip
            stream.write(json.dumps(row) + "\n")
    return path


@contextlib.contextmanager
def _processor_clock() -> Iterator[list[float]]:
    """Processor seconds of each of our steps."""
    took: list[float] = []
    step = loop.Trainer._step

    def timed(self: loop.Trainer, batches: Any, *, stop: bool) -> Any:
        start = time.process_time()
        done = step(self, batches, stop=stop)
        took.append(time.process_time() - start)
        return done

    loop.Trainer._step = timed  # type: ignore[method-assign]
    try:
        yield took
    finally:
        loop.Trainer._step = step  # type: ignore[method-assign]


def _ours(files: Files, *overrides: str) -> dict[str, Any]:
    """One run of ours, answered like the peer's."""
    with tempfile.TemporaryDirectory() as out, _processor_clock() as took:
        recipe = recipes.load(Sft, None, [*COMMON, *overrides])
        here = Files(files.data, files.model, Path(out) / "run")
        summary = sft(recipe, here, quiet=True)
        losses = [e["loss"] for e in read_journal(here.out) if e["kind"] == "train"]
    return {"losses": losses, "tokens": summary["tokens"], "wall": summary["seconds"],
            "processor": sum(took), "rows": summary["epoch_sequences"]}  # fmt: skip


def _theirs(peer: Peer, files: Files, rows: Path, **more: Any) -> dict[str, Any]:
    asked = {"model": str(files.model), "rows": str(rows), "batch": BATCH, "micro": MICRO, "lr": LR,
             "packing": False, "max_tokens": MAX_TOKENS, "threads": THREADS}  # fmt: skip
    return peer.ask("train", **(asked | more))


def _curves(files: Files, peer: Peer, result: Result) -> None:
    """The same steps on both sides, unpacked."""
    recipe = recipes.load(Sft, None, [*COMMON, *PADDED])
    rows = _rows(recipe, files, files.out.parent / "curve.jsonl", STEPS * BATCH)
    ours = _ours(files, *PADDED, f"optimizer.lr={LR}", f"steps={STEPS}")["losses"]
    theirs = _theirs(peer, files, rows)["losses"]
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    sys.stderr.write(f"  losses of ours   {[round(x, 4) for x in ours]}\n")
    sys.stderr.write(f"  losses of TRL    {[round(x, 4) for x in theirs]}\n")
    result.claims.append(
        Claim(f"largest difference of the losses of {STEPS} steps", apart, 1e-3, at_most=True)
    )
    result.data["curves"] = {"ours": ours, "trl": theirs}


def _isolation(files: Files, peer: Peer, result: Result) -> None:
    """The loss of the first batch, at rate 0, as each side packs it."""
    recipe = recipes.load(Sft, None, [*COMMON, *PADDED])
    rows = _rows(recipe, files, files.out.parent / "few.jsonl", BATCH)
    # Weights are as at the start: all dialogues in one step at rate 0.
    true = result.data["curves"]["ours"][0]
    answer = _theirs(peer, files, rows, lr=0.0, packing=True, batch=64, micro=64)
    result.data["isolation"] = {"true": true, "trl_packed": answer["losses"][0]}
    result.claims.append(
        Claim("TRL's packed loss from that of dialogues alone", abs(true - answer["losses"][0]),
              1e-3, at_most=True)
    )  # fmt: skip


def _speed(files: Files, peer: Peer, rounds: int, result: Result) -> None:
    """One pass over the same dialogues, each side in turn."""
    recipe = recipes.load(Sft, None, [*COMMON, *PADDED])
    rows = _rows(recipe, files, files.out.parent / "all.jsonl", None)
    rate = f"optimizer.lr={LR}"
    sides = {
        "ours, packed": lambda: _ours(files, *PACKED, rate),
        "ours, padded": lambda: _ours(files, *PADDED, rate),
        "TRL, padded": lambda: _theirs(peer, files, rows),
        "TRL, packed": lambda: _theirs(
            peer, files, rows, packing=True, batch=PACKED_ROWS, micro=PACKED_ROWS
        ),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
            took = found[name][-1]["processor"]
            sys.stderr.write(f"  round {number + 1}/{rounds}  {name}: {took:.1f} s of processor\n")
    _report(found, result)
    result.data["speed"] = found
    result.notes.append(
        f"{found['TRL, padded'][0]['rows']} dialogues of up to {MAX_TOKENS} tokens, "
        f"{found['TRL, padded'][0]['tokens']} tokens that are no padding, once; {rounds} rounds; "
        f"padded: batches of {BATCH} dialogues, {MICRO} at once; packed: rows of {MAX_TOKENS}, "
        f"{PACKED_ROWS} a step."
    )


def _report(found: dict[str, list[dict[str, Any]]], result: Result) -> None:
    """Medians over the rounds, and the ratios."""
    speeds = {n: [a["tokens"] / a["processor"] for a in some] for n, some in found.items()}
    middle = {name: statistics.median(some) for name, some in speeds.items()}
    base = middle["TRL, padded"]
    for name, some in found.items():
        wall = statistics.median([a["tokens"] / a["wall"] for a in some])
        result.rows.append(
            [name, middle[name], spread(speeds[name]), wall, middle[name] / base, some[0]["rows"]]
        )
    for how in ("packed", "padded"):
        ratio = middle[f"ours, {how}"] / middle[f"TRL, {how}"]
        result.claims.append(Claim(f"{how}: ours by TRL, tokens/s of processor", ratio, 1.0))
    ratio = middle["ours, packed"] / base
    result.claims.append(Claim("ours packed by TRL padded, tokens/s of processor", ratio, 1.0))
