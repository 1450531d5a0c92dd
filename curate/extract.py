"""Main text of HTML pages, extracted in a child process that is killed and replaced when it fails.

What decides over a page is deterministic: bytes, nodes, depth, and the memory of a fresh child. A
wall-clock deadline is the backstop for pages that never end; every page that made a child fail gets
a second chance alone in a fresh one, so what came before it does not count.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO, Final, Literal, Self

from yanmo.errors import MissingDependency, UsageError
from yanmo.recipe import setting

from .main_content import EXTRACTORS
from .sandbox import ERROR, FAILED, HEADER, LENGTH, MEMORY, OK, TOO_LARGE

Status = Literal["ok", "empty", "deadline", "crash", "memory", "too_large"]

BATCH_PAGES: Final = 64
BATCH_BYTES: Final = 4 << 20
START_SECONDS: Final = 600.0
"""A child that has not answered by then will not. It answers in a second when idle; compiling the
kernels of the first run ever took a minute on a machine with five times more to do than cores."""

PIPE_BYTES: Final = 1 << 20
"""What Linux lets an unprivileged process ask for."""

_READ_BYTES: Final = 1 << 20
_COMMAND: Final = "from yanmo.curate.sandbox import main; main()"


@dataclass(frozen=True)
class ExtractOptions:
    """The ``[extract]`` table of a recipe."""

    extractor: str = setting(
        "blocks",
        choices=("blocks", "resiliparse", "trafilatura"),
        help="blocks is as clean as trafilatura at about 10 times its speed; resiliparse keeps "
        "more boilerplate.",
    )
    list_bullets: bool = setting(False, help="Keep bullets and numbers of list items.")
    alt_texts: bool = setting(
        False, help="Keep the alternative texts of images (extractor resiliparse only)."
    )
    comments: bool = setting(False, help="Take comment sections for main content.")
    max_page_bytes: int = setting(
        8 << 20,
        low=1 << 10,
        high=1 << 30,
        source="Common Crawl cuts pages at 5 MiB (1 MiB before 2025).",
        help="Longest page, in UTF-8 bytes.",
    )
    max_nodes: int = setting(250_000, low=100, help="Most elements of a page.")
    max_depth: int = setting(
        512, low=16, high=2000, source="Blink's parser nests no deeper.", help="Deepest nesting."
    )
    memory_mb: int = setting(2048, low=512, help="Address space of the child process.")
    deadline_seconds: float = setting(
        30.0, low=0.1, help="A backstop: pages that take this long twice go to the quarantine."
    )

    def __post_init__(self) -> None:
        """Refuse an option that the extractor does not know.

        Raises:
            UsageError: alternative texts are wanted of another extractor than resiliparse.
        """
        if self.alt_texts and self.extractor != "resiliparse":
            raise UsageError(
                "only the extractor resiliparse keeps alternative texts",
                where="extract.alt_texts",
                value=self.extractor,
                fix='set extract.extractor = "resiliparse"',
            )


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a page.

    Attributes:
        status: ``ok``; ``empty`` (no main text); ``too_large`` (bytes, nodes or depth); ``memory``,
            ``crash`` or ``deadline`` (it failed twice, the second time alone in a fresh child).
        text: the main text, empty unless ``ok``.
        title: the ``<title>``, white space collapsed.
        error: what went wrong, for people.
    """

    status: Status
    text: str = ""
    title: str = ""
    error: str = ""


class Extractor:
    """Extracts pages in one child process; a context manager.

    The child starts with the first page and serves all calls. Use one per worker process; it is
    not meant for several threads.

    Args:
        options: the budgets and the choice of extractor.
        function: ``"module:function"`` to use instead of a known extractor; it is called as
            ``function(page: bytes, options: dict) -> (text, title)``.

    Attributes:
        failures: how often a child failed, by status; pages that passed at the second try are here
            and nowhere else.
    """

    def __init__(self, options: ExtractOptions | None = None, *, function: str | None = None):
        self.options = options or ExtractOptions()
        self.failures: Counter[str] = Counter()
        self._settings = asdict(self.options)
        self._settings["function"] = function or EXTRACTORS[self.options.extractor]
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def extract(self, pages: Sequence[str]) -> list[Extracted]:
        """Extract the main text of pages.

        Args:
            pages: decoded HTML.

        Returns:
            One result a page, in order.

        Raises:
            MissingDependency: the child cannot load the extractor.
        """
        encoded = [page.encode("utf-8", "replace") for page in pages]
        results: list[Extracted | None] = [self._too_long(page) for page in encoded]
        todo = [index for index, result in enumerate(results) if result is None]
        for batch in _batches(todo, encoded):
            while batch:
                answers, failure = self._ask([encoded[index] for index in batch])
                for index, answer in zip(batch, answers, strict=False):
                    results[index] = answer
                batch = batch[len(answers) :]
                if failure is not None:
                    results[batch[0]] = self._second_chance(encoded[batch[0]])
                    batch = batch[1:]
        return [result for result in results if result is not None]

    def _too_long(self, page: bytes) -> Extracted | None:
        limit = self.options.max_page_bytes
        if len(page) <= limit:
            return None
        return Extracted("too_large", error=f"{len(page)} bytes, the limit is {limit}")

    def _second_chance(self, page: bytes) -> Extracted:
        answers, failure = self._ask([page])
        return answers[0] if failure is None else failure

    def _ask(self, pages: list[bytes]) -> "tuple[list[Extracted], Extracted | None]":
        """Send a batch; on a failure the child is stopped, so that the next call starts afresh."""
        if self._child is None:
            self._child = _Child(self._settings)
        answers, failure = self._child.ask(pages)
        if failure is not None:
            self.failures[failure.status] += 1
            self._stop()
        return answers, failure

    def _stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


def _batches(indices: Sequence[int], pages: Sequence[bytes]) -> Iterator[list[int]]:
    """Group pages so that the pipe is crossed rarely and with little in flight."""
    batch: list[int] = []
    size = 0
    for index in indices:
        if batch and (len(batch) == BATCH_PAGES or size + len(pages[index]) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += len(pages[index])
    if batch:
        yield batch


class _Deadline(Exception):
    """The child did not answer in time."""


class _Gone(Exception):
    """The child closed the pipe."""


class _Child:
    """One running sandbox and the two ends of its pipes."""

    def __init__(self, settings: dict[str, object]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop()
        # -P keeps the user's folder, with whatever modules it holds, out of the search path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        pipes = self._process.stdin, self._process.stdout
        self._in, self._out = (pipe.fileno() for pipe in pipes if pipe is not None)
        for pipe in (self._in, self._out):
            os.set_blocking(pipe, False)
            if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux; a larger pipe wakes either side less often
                with contextlib.suppress(OSError):
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._buffer = bytearray()
        self._seconds = float(str(settings["deadline_seconds"]))
        self._start(settings)

    def _start(self, settings: dict[str, object]) -> None:
        message = json.dumps(settings).encode()
        try:
            until = time.monotonic() + START_SECONDS
            self._write([LENGTH.pack(len(message)), message], until)
            status, _, _, error = self._receive(until)
        except (_Deadline, _Gone):
            status, error = FAILED, self._last_words()
        if status == FAILED:
            self.stop()
            raise MissingDependency("the extractor does not start", where=settings["function"],
                                    value=error, fix="Run `yanmo doctor`.")  # fmt: skip

    def ask(self, pages: list[bytes]) -> "tuple[list[Extracted], Extracted | None]":
        """Results of the first pages and, if not all got one, the failure of the next page."""
        answers: list[Extracted] = []
        lengths = b"".join(LENGTH.pack(len(page)) for page in pages)
        try:
            self._write(
                [LENGTH.pack(len(pages)) + lengths, *pages], time.monotonic() + self._seconds
            )
            for _ in pages:
                reply = self._receive(time.monotonic() + self._seconds)
                answer = _extracted(*reply)
                if answer.status == "memory":
                    return answers, answer
                answers.append(answer)
        except _Deadline:
            return answers, Extracted("deadline", error=f"no result after {self._seconds:g} s")
        except _Gone:
            return answers, self._obituary()
        return answers, None

    def _write(self, parts: list[bytes], until: float) -> None:
        rest = [memoryview(part) for part in parts if part]
        while rest:
            self._wait(self._in, select.POLLOUT, until)
            try:
                written = os.writev(self._in, rest)
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _Gone from None
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]

    def _receive(self, until: float) -> tuple[int, str, str, str]:
        status, *lengths = HEADER.unpack(self._take(HEADER.size, until))
        body = self._take(sum(lengths), until)
        text, title, error = lengths
        return (
            status,
            body[:text].decode("utf-8"),
            body[text : text + title].decode("utf-8"),
            body[text + title : text + title + error].decode("utf-8"),
        )

    def _take(self, size: int, until: float) -> bytes:
        while len(self._buffer) < size:
            self._wait(self._out, select.POLLIN, until)
            try:
                data = os.read(self._out, _READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise _Gone
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _wait(self, pipe: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise _Deadline

    def _obituary(self) -> Extracted:
        """Why the child is gone, from its exit status and its last words."""
        code = self._process.wait()
        words = self._last_words()
        if code == -signal.SIGALRM:
            return Extracted("deadline", error=f"no result after {self._seconds:g} s")
        # Only the kernel's out-of-memory killer kills it so; Rust aborts when it gets no memory.
        if code == -signal.SIGKILL or "memory allocation of" in words:
            return Extracted("memory", error=words or "killed for want of memory")
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Extracted("crash", error=f"{name} {words}".strip())

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 1000))
        return self._errors.read().decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """End the child (it has no state worth a farewell) and close the pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                pipe.close()


def _extracted(status: int, text: str, title: str, error: str) -> Extracted:
    if status == OK:
        return Extracted("ok" if text.strip() else "empty", text if text.strip() else "", title)
    statuses: dict[int, Status] = {TOO_LARGE: "too_large", MEMORY: "memory", ERROR: "crash"}
    return Extracted(statuses[status], error=error)
