"""The pool of worker processes behind :mod:`yanmo.tasks`: quiet at Ctrl-C, and never orphaned."""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self, TypeVar

R = TypeVar("R")


class Workers:
    """A pool of processes that lives across calls of :func:`yanmo.tasks.run`.

    A step of a run has few tasks and there are a dozen steps; starting the processes anew for each
    (imports, compiled kernels) took longer than the work. The pool starts with the first task and
    is made again after a worker died. A context manager.

    Workers are forked by a server that has done nothing but import ``preload``, never by this
    process: a forked child of a process that ran threads can hang. What is preloaded is paid for
    once and its memory is shared. Where there is no fork they are spawned.

    Args:
        count: processes; with 1 everything runs in this process.
        preload: modules for the server to import before it forks; they start no thread.
    """

    def __init__(self, count: int, *, preload: Sequence[str] = ()) -> None:
        self.count = count
        self.preload = list(preload)
        self._pool: futures.ProcessPoolExecutor | None = None
        self._others: set[multiprocessing.process.BaseProcess] = set()

    def pool(self) -> futures.ProcessPoolExecutor:
        """The running pool."""
        if self._pool is None:
            forks = "forkserver" in multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if forks else "spawn")
            context.set_forkserver_preload(self.preload)
            self._others = set(multiprocessing.active_children())
            self._pool = futures.ProcessPoolExecutor(
                self.count, mp_context=context, initializer=_born
            )
        return self._pool

    @property
    def started(self) -> bool:
        """Whether there are processes to hand a task to."""
        return self._pool is not None

    def submit(self, call: Callable[..., R], *arguments: Any) -> "futures.Future[R]":
        """Hand a call to the pool; the processes that it takes are started here."""
        with _sheltered():
            return self.pool().submit(call, *arguments)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call ``"module:function"`` in a worker, which has it loaded; here if there is none."""
        if self._pool is not None:
            with contextlib.suppress(BrokenProcessPool):
                return self.submit(_call, function, *arguments).result()
        return _call(function, *arguments)

    def stop(self, *, now: bool = False) -> None:
        """End the processes, with ``now`` in the middle of their tasks; :meth:`pool` starts new."""
        if self._pool is not None:
            if now:
                for process in set(multiprocessing.active_children()) - self._others:
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(now=error is not None)


def _call(function: str, *arguments: Any) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def start_server(preload: Sequence[str]) -> None:
    """Start the server that will fork the workers, and do not wait: it loads while we do.

    Args:
        preload: as :class:`Workers` will be given.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver

    multiprocessing.set_forkserver_preload(list(preload))
    with _sheltered():
        forkserver.ensure_running()


@contextlib.contextmanager
def server_ends_with_errors() -> Iterator[None]:
    """After an error inside, end the server at once: Python would wait until it has loaded all."""
    try:
        yield
    except BaseException:
        module = sys.modules.get("multiprocessing.forkserver")
        server: Any = getattr(module, "_forkserver", None)
        pid = getattr(server, "_forkserver_pid", None)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            # Gone, and known to be: a pool that is started before would be told that the server
            # still runs, ask it for a process and end with "unexpected EOF".
            with contextlib.suppress(ChildProcessError):
                server._stop()
        raise


@contextlib.contextmanager
def _sheltered() -> Iterator[None]:
    """Processes started here do not see Ctrl-C (we end them), from their first instruction on.

    Nor do they look for modules in the working folder, where a user's ``random.py`` may lie.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    safe = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _born() -> None:
    """Begin the life of a worker: it must not outlive the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
