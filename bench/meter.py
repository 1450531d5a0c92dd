"""What a command costs: wall time, processor time of all its processes, peak memory of the tree.

The command runs below a process of its own (this module), which adopts what the command leaves
behind (``PR_SET_CHILD_SUBREAPER``) and waits for it, so that the kernel's account of processor time
holds every process, workers of a fork server too. Memory is sampled ten times a second: the sum of
the proportional set sizes (PSS, pages shared by n processes count 1/n each) of the whole tree; the
kernel's own high-water mark of the largest single process stands beside it.

Linux only: elsewhere the tree's memory is unknown (``None``).
"""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

PERIOD_SECONDS: Final = 0.1
_PR_SET_CHILD_SUBREAPER: Final = 36
METHOD: Final = (
    "Peak: the sum of proportional set sizes of the process tree, sampled every 0.1 s, and the "
    "kernel's high-water mark of the largest single process; the same meter for both sides."
)
"""How memory is measured, for the tables."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: seconds from start to end.
        processor: seconds of all its processes, user and system.
        tree_bytes: peak of the summed PSS, sampled; ``None`` where it cannot be read.
        process_bytes: largest resident set of a single process (kernel).
    """

    wall: float
    processor: float
    tree_bytes: int | None
    process_bytes: int


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command below the meter.

    Args:
        command: program and arguments.
        env: variables set in addition.

    Raises:
        RuntimeError: the command failed; the end of what it said is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, said = Path(folder) / "cost.json", Path(folder) / "said.txt"
        meter = [sys.executable, "-m", "bench.meter", str(report), *command]
        with said.open("wb") as stream:
            code = subprocess.run(
                meter,
                env={**os.environ, **(env or {})},
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).resolve().parent.parent,
            ).returncode
        if code:
            tail = said.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command[:4])} … ended with {code}:\n{tail}")
        return Cost(**json.loads(report.read_text(encoding="utf-8")))


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def _pss(process: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


class _Sampler(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.done = root, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(PERIOD_SECONDS):
            # The meter itself, first of the tree, is no part of the command.
            self.peak = max(self.peak, sum(_pss(process) for process in _tree(self.root)[1:]))


def _adopt() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(report: str, command: list[str]) -> int:
    """Run the command and write its :class:`Cost`; the command's exit code is ours."""
    _adopt()
    sampler = _Sampler(os.getpid())
    sampler.start()
    start = time.perf_counter()
    process = subprocess.Popen(command)
    code = process.wait()
    wall = time.perf_counter() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    sampler.done.set()
    sampler.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    scale = 1 if sys.platform == "darwin" else 1024
    cost = Cost(wall, used.ru_utime + used.ru_stime, sampler.peak or None, used.ru_maxrss * scale)
    Path(report).write_text(json.dumps(asdict(cost)), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
