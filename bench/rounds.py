"""Side by side: A B A B …, each side timed by itself, medians, and the ratio between them.

A peer lives in a process of its own, in its own environment, through all rounds (:class:`Peer`), so
that imports and warm-up are outside of what is timed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from .environments import interpreter

ONE_CORE: Final = dict.fromkeys(
    (
        "RAYON_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)
"""One thread for every library that would take more."""
SCRIPTS: Final = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Options:
    """What a bench is asked for.

    Attributes:
        megabytes: text a language; ``None`` is the bench's own default.
        rounds: repetitions of each side; ``None`` is the bench's own default.
        languages: some of ``zh`` and ``en``.
    """

    megabytes: float | None = None
    rounds: int | None = None
    languages: tuple[str, ...] = ("zh", "en")


@dataclass(frozen=True)
class Claim:
    """A sentence of the documentation with the number that bears it out or not.

    Attributes:
        text: what is claimed.
        value: what was measured.
        target: what it must reach, or with ``at_most`` must not exceed.
    """

    text: str
    value: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the measurement bears the claim out."""
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass
class Result:
    """What a bench found.

    Attributes:
        title: one line.
        columns, rows: the table; numbers as numbers.
        claims: see :class:`Claim`.
        notes: sizes, settings, sources, what was left out.
        data: every single measurement, for the JSON.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[Any]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def alternate(sides: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Run every side once a round, in order, and keep what each says it took.

    Args:
        sides: name -> a call that does the work and returns seconds.
        rounds: how often.
    """
    took: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            took[name].append(side())
            sys.stderr.write(f"  round {number + 1}/{rounds}  {name}: {took[name][-1]:.3f} s\n")
    return took


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Do the work once to warm up; then a side that does it and says its processor seconds."""
    work()

    def seconds() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return seconds


def available(environment: str, result: Result) -> bool:
    """Whether a peer's environment is there or can be made; a note says so where it cannot.

    Args:
        environment: a key of :data:`bench.environments.PEERS`.
        result: gets the note.
    """
    try:
        interpreter(environment)
    except (subprocess.CalledProcessError, OSError) as error:
        note = f"{environment} is left out, its environment cannot be made: {error}"
        if note not in result.notes:
            result.notes.append(note)
        return False
    return True


def spread(values: Sequence[float]) -> float | None:
    """(Largest - smallest) / median, in percent; nothing to say of a single value."""
    if len(values) < 2:
        return None
    return 100 * (max(values) - min(values)) / statistics.median(values)


class Peer:
    """A peer's script running in its own environment; a context manager.

    Args:
        environment: a key of :data:`bench.environments.PEERS`; ``None``: the bench's own.
        script: a script of ``bench/peers``, without suffix.
        env: variables set in addition to one thread a library.

    Raises:
        subprocess.CalledProcessError: the environment cannot be made.
    """

    def __init__(
        self, environment: str | None, script: str, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = f"{environment or 'yanmo'}: {script}"
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._process = subprocess.Popen(
            [
                str(interpreter(environment) if environment else sys.executable),
                str(SCRIPTS / f"{script}.py"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **ONE_CORE, "HF_HUB_OFFLINE": "1", **(env or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            RuntimeError: the script ended; the end of what it said is in the message.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            tail = self._said.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{self.name} ended:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer
