"""Answers of made-up systems, for the tests of the judge and of the review."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.evals.answers import Answers, read_answers


def write_answers(path: Path, rows: Mapping[str, str], **fields: Any) -> Path:
    """A file of answers: id to text; ``fields`` go into every record, callables by its id."""
    with path.open("w", encoding="utf-8") as stream:
        for name, text in rows.items():
            more = {k: v(name) if callable(v) else v for k, v in fields.items()}
            record = {"id": name, "question": f"问题 {name}？", "answer": text, **more}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def systems(folder: Path, count: int, *, names: Sequence[str] = "ab") -> list[Path]:
    """Files of systems that answer ``count`` questions; in question i the better one is (i odd)
    the first, the answer of the k-th system is k + 1 characters longer than the one before it."""
    ids = [f"q{i:03d}" for i in range(count)]
    return [
        write_answers(
            folder / f"{name}.jsonl", {i: f"{name}答{i}" + "字" * k for i in ids},
            score=lambda i, k=k: float((int(i[1:]) + k) % 2),
        )
        for k, name in enumerate(names)
    ]  # fmt: skip


def two(folder: Path, count: int = 20) -> Answers:
    """Two systems, lined up."""
    return read_answers(systems(folder, count))
