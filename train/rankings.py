"""Answers to rank: K to each prompt, in the rows that `train reward` and `train dpo` read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_write, open_input, read_json, reading, sha256_file, sha256_json
from yanmo.files import write_json as write_json_file
from yanmo.messages import Message, parse_messages, read_objects
from yanmo.packing import order_key
from yanmo.progress import track
from yanmo.recipe import did_you_mean

from .chat_text import ChatText
from .checkpoint import resolve
from .distributed import pick_device
from .folder import load_model, weight_files
from .generate import Sampling, generate

BATCH: Final = 16
"""Answers that are written at once. Fixed, since company changes the last bits of a number."""


@dataclass(frozen=True)
class Prompt:
    """What is asked."""

    id: str
    messages: tuple[Message, ...]

    @property
    def table(self) -> list[dict[str, str]]:
        """As templates want it."""
        return [message.table() for message in self.messages]


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file.

    Args:
        path: JSON or JSON lines of {id, messages} (a last answer is left out) or {id, prompt}, a
            text or messages; a .txt file holds one prompt a line.

    Raises:
        DataError: a record is no prompt, or two have one id.
    """
    found = list(_text_prompts(path) if ".txt" in path.suffixes else _json_prompts(path))
    ids: set[str] = set()
    for prompt in found:
        if prompt.id in ids:
            raise DataError("two prompts have one id", where=path, value=prompt.id)
        ids.add(prompt.id)
    if not found:
        raise DataError("the file holds no prompt", where=path)
    return found


def _text_prompts(path: Path) -> Iterator[Prompt]:
    with reading(path), open_input(path) as stream:
        lines = stream.read().decode("utf-8-sig").split("\n")
    for row, line in enumerate(line for line in lines if line.strip()):
        yield Prompt(f"{path.name}#{row}", (Message("user", line.strip()),))


def _json_prompts(path: Path) -> Iterator[Prompt]:
    for where, record in read_objects(path):
        value = record.get("messages", record.get("prompt"))
        if value is None:
            near = {did_you_mean(key, ("messages", "prompt")) for key in record}
            hint = next((h for h in sorted(near) if h.startswith("Did")), None)
            raise DataError("a record has no prompt", where=where, value=sorted(record),
                            fix=hint or "It needs messages or prompt.")  # fmt: skip
        if isinstance(value, str):
            messages: tuple[Message, ...] = (Message("user", value),)
        else:
            messages = parse_messages(value, where=where)
        if messages[-1].role == "assistant":
            messages = messages[:-1]
        if not messages or messages[-1].role == "system":
            raise DataError("a prompt asks nothing", where=where, value=value)
        yield Prompt(str(record.get("id", where)), messages)


def write_rankings(
    checkpoint: Path, prompts: Path, out: Path, answers: int, sampling: Sampling,
    *, quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write K answers to each prompt as rows {id, prompt, responses, rank: null}.

    An answer depends on the model, the sampling, the seed, the prompt and its number alone. Rows
    that are there stay as they are, ranked or not, so the same command goes on after a stop, and
    with prompts that were added.

    Args:
        checkpoint: a chat model's folder, or a run.
        prompts: see :func:`read_prompts`.
        out: JSON lines; ``.part`` and ``.json`` (how they were made) stand beside it.
        answers: to each prompt.
        sampling: how to choose tokens.
        quiet: no live line.

    Returns:
        ``prompts``, ``written`` now, ``there`` before, ``answers``, ``stopped``: share of answers
        now written that ended by themselves.
    """
    folder = resolve(checkpoint)
    asked = read_prompts(prompts)
    how = _identity(folder, answers, sampling)
    there = _rows(out, how)
    part = out.with_name(out.name + ".part")
    kept = _part_rows(part, there)
    todo = {prompt.id for prompt in asked} - there.keys() - kept.keys()
    ended = 0
    if todo:
        writer = _Writer(folder, asked, answers)
        ended = _answer(writer, todo, sampling, part, quiet=quiet)
    _merge(out, part, asked, there)
    total = len(todo) * answers
    return {"prompts": len(asked), "written": len(todo), "there": len(asked) - len(todo),
            "answers": answers, "stopped": ended / total if total else None}  # fmt: skip


def _merge(out: Path, part: Path, asked: Sequence[Prompt], there: dict[str, str]) -> None:
    """Write all rows in the order of the prompts; those of prompts no longer asked stay behind."""
    rows = {**_part_rows(part, {}), **there}
    order = [*(prompt.id for prompt in asked), *there]
    with atomic_write(out, text=True) as stream:
        stream.writelines(rows[name] + "\n" for name in dict.fromkeys(order) if name in rows)
    part.unlink(missing_ok=True)


def _identity(folder: Path, answers: int, sampling: Sampling) -> dict[str, Any]:
    files = [folder / "config.json", *weight_files(folder)]
    return {"model": sha256_json([sha256_file(file) for file in files]), "n": answers,
            "sampling": asdict(sampling)}  # fmt: skip


def _rows(out: Path, how: dict[str, Any]) -> dict[str, str]:
    """The rows already written, by id; another model's or another sampling's are refused."""
    beside = out.with_name(out.name + ".json")
    if beside.is_file() and out.is_file():
        before = read_json(beside)
        if changed := sorted(k for k in how if how[k] != before.get(k)):
            raise UsageError("the answers that are there were made in another way", where=out,
                             value=changed, fix="Use another --out, or remove it.")  # fmt: skip
    elif out.is_file():
        raise UsageError("the file is there and was not written by this command", where=out,
                         fix="Use another --out.")  # fmt: skip
    else:
        write_json_file(beside, how)
        return {}
    return {
        str(record["id"]): json.dumps(record, ensure_ascii=False)
        for _, record in read_objects(out)
        if "id" in record
    }


def _part_rows(part: Path, there: dict[str, str]) -> dict[str, str]:
    """Rows of a run that was stopped; a line cut in the middle is written again."""
    found: dict[str, str] = {}
    if part.is_file():
        for line in part.read_text("utf-8").split("\n")[:-1]:
            name = str(json.loads(line)["id"])
            if name not in there:
                found[name] = line
    return found


class _Writer:
    """A chat model that answers prompts K times each."""

    def __init__(self, folder: Path, asked: Sequence[Prompt], answers: int) -> None:
        self.chat, self.asked, self.answers = ChatText(folder), asked, answers
        for prompt in asked:
            self.chat.check(prompt.table, [], where=prompt.id)
        self.ids = self.chat.prompts([prompt.table for prompt in asked])
        self.model = load_model(folder).to(pick_device("auto"))

    def blocks(self) -> list[list[int]]:
        """Numbers of prompts that are answered at once, of like lengths.

        They are those of the whole list, whatever is left of it, so that a stop changes no number.
        """
        places = sorted(range(len(self.asked)), key=lambda i: (len(self.ids[i]), self.asked[i].id))
        size = max(BATCH // self.answers, 1)
        return [places[at : at + size] for at in range(0, len(places), size)]

    def rows(self, block: Sequence[int], sampling: Sampling) -> Iterator[tuple[int, str, int]]:
        """Per prompt of a block: its number, its row, and how many answers ended by themselves."""
        texts = [self.ids[i] for i in block for _ in range(self.answers)]
        draws = torch.stack(
            [_draws(sampling, self.ids[i], k) for i in block for k in range(self.answers)]
        )
        samples = generate(self.model, texts, sampling, stop=(self.chat.end,), draws=draws)
        for place, i in enumerate(block):
            mine = samples[place * self.answers : (place + 1) * self.answers]
            said = [
                self.chat.tokenizer.decode(
                    s.tokens[: len(s.tokens) - s.stopped], skip_special=False
                )
                for s in mine
            ]
            row = {"id": self.asked[i].id, "prompt": self.asked[i].table, "responses": said,
                   "rank": None}  # fmt: skip
            yield i, json.dumps(row, ensure_ascii=False), sum(s.stopped for s in mine)


def _answer(writer: _Writer, todo: set[str], sampling: Sampling, part: Path, *, quiet: bool) -> int:
    """Answer the prompts that are left; returns how many answers ended by themselves."""
    total = 0
    with (
        _appending(part) as stream,
        track(len(writer.asked), "answers", "prompts", quiet=quiet) as live,
    ):
        for block in writer.blocks():
            if any(writer.asked[i].id in todo for i in block):
                for i, row, ended in writer.rows(block, sampling):
                    if writer.asked[i].id in todo:
                        stream.write(row + "\n")
                        total += ended
                stream.flush()
            live.advance(len(block))
    return total


@contextmanager
def _appending(part: Path) -> Iterator[Any]:
    """The file of finished rows, cut back to its last whole line."""
    part.parent.mkdir(parents=True, exist_ok=True)
    whole = part.read_bytes() if part.is_file() else b""
    with part.open("wb") as raw:
        raw.write(whole[: whole.rfind(b"\n") + 1])
    with part.open("a", encoding="utf-8") as stream:
        yield stream


def _draws(sampling: Sampling, prompt: Sequence[int], number: int) -> Tensor:
    """(max_tokens,) numbers that one answer draws: by the prompt's own ids, not by its place."""
    seed = order_key("answer", sampling.seed, list(prompt), number) % 2**63
    return torch.rand(sampling.max_tokens, generator=torch.Generator().manual_seed(seed))
