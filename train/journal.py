"""The log of a run: one JSON object a line, first of all; TensorBoard beside it where it is.

A line is ``{"kind": "train" | "eval" | "event" | "sample", "step": …, …}``.
"""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any, Final

from yanmo.files import atomic_write

NAME: Final = "metrics.jsonl"


class Journal:
    """Appends to the log of a run folder.

    Args:
        folder: the run folder.
        step: resume after this step: later lines, of steps that will be taken again, are dropped.
        tensorboard: also write TensorBoard events.
    """

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        self.path = folder / NAME
        kept = [line for line in read_journal(folder) if line["step"] <= step]
        with atomic_write(self.path, text=True) as stream:
            stream.writelines(_line(entry) for entry in kept)
        self._stream = self.path.open("a", encoding="utf-8")
        self._board = _board(folder / "tensorboard", step) if tensorboard else None

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Write one line; numbers that are not finite become null."""
        self._stream.write(_line({"kind": kind, "step": step, **values}))
        self._stream.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush and close."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """All lines of a run's log; a last line cut by a crash is left out."""
    path = folder / NAME
    entries: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return entries


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(_finite(entry), ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # TensorBoard is not installed; the run's first line says so
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def board_installed() -> bool:
    """Whether TensorBoard can be written."""
    return importlib.util.find_spec("tensorboard") is not None
