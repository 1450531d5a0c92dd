"""How a trainer is stopped and timed between two steps, from inside its own loop.

``bench.training`` sends one JSON object a line. The first, ``start``, says what to train and is
answered after the first step. Each ``steps`` lets the trainer take so many more, and is answered
with what they took; in between the trainer waits inside its callback, so that trainers in several
processes can take turns. The end of stdin ends the process.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


class Steps:
    """The trainer's side of the talk; :meth:`done` belongs where a step ends."""

    def __init__(self) -> None:
        # What libraries print goes to stderr, so that it cannot stand among the answers.
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self.order = self._next()
        self.losses: list[float] = []
        self._left = 1
        self._clocks = self._now()

    def note(self, loss: Any) -> None:
        """Keep the loss of the step in hand."""
        self.losses.append(loss)

    def done(self) -> None:
        """A step has ended: answer and wait, if it was the last of its turn."""
        self._left -= 1
        if self._left:
            return
        wall, processor = (b - a for a, b in zip(self._clocks, self._now(), strict=True))
        self._answer({"wall": wall, "processor": processor, "peak_bytes": peak_bytes(),
                      "losses": [float(loss) for loss in self.losses]})  # fmt: skip
        self.losses = []
        self._left = int(self._next()["count"])
        self._clocks = self._now()

    def _answer(self, found: dict[str, Any]) -> None:
        self._answers.write(json.dumps(found) + "\n")
        self._answers.flush()

    def _next(self) -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # nobody listens any more; a trainer has threads that would wait
        order: dict[str, Any] = json.loads(line)
        return order

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def peak_bytes() -> int:
    """The largest resident set of this process so far (the kernel's high-water mark)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0
