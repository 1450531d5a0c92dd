"""Live progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PLAIN_SECONDS = 10.0


class Track:
    """Counts what is done. Made by :func:`track`."""

    def __init__(self, total: float | None, label: str, unit: str, bar: Any, quiet: bool) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = 0.0
        self._bar, self._quiet = bar, quiet
        self._row = bar.add_task(label, total=total, unit=unit, note="") if bar else None
        self._start = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        """``amount`` more units are done."""
        self.done += amount
        if self._bar:
            self._bar.advance(self._row, amount)
        elif not self._quiet and time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self._say(self.line())

    def note(self, text: str) -> None:
        """A word about what is happening, beside the bar."""
        if self._bar:
            self._bar.update(self._row, note=text)

    def line(self) -> str:
        """The state as one line of text."""
        of = f"/{self.total:.0f}" if self.total is not None else ""
        seconds = time.monotonic() - self._start
        left = ""
        if self.total and 0 < self.done < self.total:
            left = f", {seconds * (self.total - self.done) / self.done:.0f} s left"
        return f"{self.label}: {self.done:.0f}{of} {self.unit} in {seconds:.0f} s{left}"

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextmanager
def track(
    total: float | None, label: str, unit: str = "tasks", *, quiet: bool = False
) -> Iterator[Track]:
    """Show the progress of a block.

    Args:
        total: how many units there are; ``None`` if not known.
        label: what is being done.
        unit: what is counted.
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield Track(total, label, unit, None, quiet)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Track(total, label, unit, bar, quiet)
