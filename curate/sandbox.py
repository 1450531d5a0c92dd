"""The child process that extracts pages, so that a page that hangs, crashes or eats memory takes
nothing with it.

It reads batches of pages from stdin and answers page by page on stdout. Its memory is capped, the
kernel's out-of-memory killer takes it first, and it does not outlive its parent.

Frames, little endian::

    to the child    options      u32 length, JSON
                    batch        u32 n, n x u32 length, the pages (UTF-8)
    from the child  ready        HEADER(READY, 0, 0, length of error), error
                    each page    HEADER(status, lengths of text, title, error), the three (UTF-8)
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

LENGTH: Final = struct.Struct("<I")
HEADER: Final = struct.Struct("<BIII")
OK, TOO_LARGE, MEMORY, ERROR, READY, FAILED = range(6)

Extract = Callable[[bytes, dict[str, Any]], tuple[str, str]]

_PR_SET_PDEATHSIG: Final = 1


class TooLarge(Exception):
    """A page is over one of the budgets that decide: nodes or depth."""


def main() -> None:
    """Serve the parent whose process id is the last argument, until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    _die_with_parent(int(sys.argv[-1]))
    source = sys.stdin.buffer
    # What a library prints must not end up between the frames.
    answers = os.dup(1)
    os.dup2(2, 1)
    options = json.loads(_read(source, LENGTH.unpack(_read(source, LENGTH.size))[0]))
    _limit(options["memory_mb"] << 20)
    try:
        extract = _load(options["function"])
        extract(b"<p>a", options)  # loads what is loaded late: no page pays for it
    except Exception as error:
        _answer(answers, FAILED, "", "", f"{type(error).__name__}: {error}")
        return
    _answer(answers, READY, "", "", "")
    _serve(source, answers, extract, options)


def _serve(source: BinaryIO, answers: int, extract: Extract, options: dict[str, Any]) -> None:
    seconds = 1.5 * options["deadline_seconds"] + 1
    while head := source.read(LENGTH.size):
        (count,) = LENGTH.unpack(head)
        lengths = struct.unpack(f"<{count}I", _read(source, LENGTH.size * count))
        for page in [_read(source, length) for length in lengths]:
            # The parent kills us at the deadline; if it is gone, the kernel does a little later.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            status, text, title, error = _extract_one(extract, page, options)
            _answer(answers, status, text, title, error)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _extract_one(
    extract: Extract, page: bytes, options: dict[str, Any]
) -> tuple[int, str, str, str]:
    try:
        text, title = extract(page, options)
    except TooLarge as error:
        return TOO_LARGE, "", "", str(error)
    except MemoryError:
        return MEMORY, "", "", f"needs more than {options['memory_mb']} MB"
    except Exception as error:
        return ERROR, "", "", f"{type(error).__name__}: {error}"
    return OK, text, title, ""


def _read(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise SystemExit(0)  # the parent is gone
    return data


def _answer(answers: int, status: int, text: str, title: str, error: str) -> None:
    parts = [part.encode("utf-8", "replace") for part in (text, title, error[:2000])]
    frame = memoryview(HEADER.pack(status, *map(len, parts)) + b"".join(parts))
    try:
        while frame:
            frame = frame[os.write(answers, frame) :]
    except BrokenPipeError:
        raise SystemExit(0) from None


def _load(name: str) -> Extract:
    module, _, function = name.partition(":")
    loaded: Extract = getattr(importlib.import_module(module), function)
    return loaded


def _limit(memory_bytes: int) -> None:
    """Cap the address space, leave no core file, and volunteer for the out-of-memory killer."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError):  # not Linux, or a kernel that forbids it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill us when the parent dies; elsewhere than Linux the pipe ends us."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            raise SystemExit(0)
