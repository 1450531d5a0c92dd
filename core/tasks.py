"""Tasks: pure functions of files and parameters, cached under a key of all they depend on.

A task's function is named ``"module:function"`` and has the shape
``fn(inputs: list[Path], parameters: dict, out: Path) -> dict``. It reads the inputs, writes files
into the empty folder ``out`` and returns a JSON-able dict (counts). Its folder in the cache appears
under its key by one rename, so it is whole or absent; a second run finds it and does nothing.

The key is the hash of: the function's name, the source of its module and of the yanmo modules that
it imports, the versions of the packages that these import, the identity of each input, and the
parameters. The number of workers, the clock and the place of the files are not in it.
"""

import concurrent.futures
import contextlib
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from yanmo.code_identity import code_identity
from yanmo.errors import DataError, YanmoError
from yanmo.files import sha256_file, sha256_json, sync_tree, synced_later, write_json
from yanmo.memory import give_back
from yanmo.workers import Workers

RESULT: Final = "result.json"
ATTEMPTS: Final = 3  # a worker that dies (out of memory, signal) is replaced and its task retried


@dataclass(frozen=True)
class Input:
    """A file and what identifies its content (a SHA-256, or size and mtime if not yet read)."""

    path: Path
    identity: str


@dataclass(frozen=True)
class Task:
    """One unit of work; ``step`` names its folder in the cache and counts in reports."""

    step: str
    function: str
    inputs: tuple[Input, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """Hex SHA-256 of all that can change the result."""
        module = self.function.partition(":")[0]
        return sha256_json(
            {
                "function": self.function,
                "code": code_identity(module),
                "inputs": [item.identity for item in self.inputs],
                "parameters": dict(self.parameters),
            }
        )


@dataclass(frozen=True)
class Done:
    """A finished task: its folder, what it returned, and the hash of every file it wrote."""

    task: Task
    folder: Path
    result: dict[str, Any]
    files: dict[str, str]
    cached: bool
    seconds: float

    def input(self, name: str) -> Input:
        """One of its files as the input of the next task."""
        return Input(self.folder / name, self.files[name])


class Watcher(Protocol):
    """Whoever wants to hear of progress."""

    def advance(self, amount: float) -> None:
        """``amount`` more tasks are done."""


def run(
    tasks: Sequence[Task],
    *,
    cache: Path,
    workers: int | Workers = 1,
    watcher: Watcher | None = None,
) -> list[Done]:
    """Run tasks, in this process or in a pool of others; results in the order of the tasks.

    Tasks whose key is in the cache are not run. A dead worker is replaced and its task retried;
    after the first task that fails for good the others still running are awaited and kept, so that
    the next start goes on from there.

    Raises:
        YanmoError: the first task (in order) that failed.
    """
    if isinstance(workers, int):
        with Workers(workers) as pool:
            return run(tasks, cache=cache, workers=pool, watcher=watcher)
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    done: dict[int, Done] = {}
    missing: list[int] = []
    for index, task in enumerate(tasks):
        found = _lookup(task, cache)
        if found is None:
            missing.append(index)
        else:
            done[index] = found
            if watcher:
                watcher.advance(1)
    todo = [(index, tasks[index]) for index in missing]
    if workers.count == 1 or (len(todo) == 1 and not workers.started):
        for index, task in todo:
            done[index] = _execute(task, _folder(task, cache), cache)
            if watcher:
                watcher.advance(1)
    elif todo:
        _run_pool(todo, cache, workers, done, watcher)
    return [done[index] for index in range(len(tasks))]


def _run_pool(
    todo: list[tuple[int, Task]],
    cache: Path,
    workers: Workers,
    done: dict[int, Done],
    watcher: Watcher | None,
) -> None:
    """Run tasks in the pool; those that a dying worker took along are tried again.

    The last time one by one, so that the error names the task that kills its worker.
    """
    for attempt in range(1, ATTEMPTS + 1):
        broken: list[tuple[int, Task]] = []
        for some in [[item] for item in todo] if attempt == ATTEMPTS else [todo]:
            failures = _attempt(some, cache, workers, done, watcher)
            if failures:
                workers.stop()
            for _, error in sorted(failures.items()):
                if not isinstance(error, BrokenProcessPool):
                    raise error
            if failures and attempt == ATTEMPTS:
                raise DataError(f"the worker died {ATTEMPTS} times",
                                where=f"{some[0][1].step}: {_where(some[0][1])}",
                                fix="Is there enough memory? Try fewer --workers.")  # fmt: skip
            broken += [item for item in some if item[0] in failures]
        todo = broken


def _attempt(
    todo: list[tuple[int, Task]],
    cache: Path,
    workers: Workers,
    done: dict[int, Done],
    watcher: Watcher | None,
) -> dict[int, BaseException]:
    failures: dict[int, BaseException] = {}
    futures: dict[concurrent.futures.Future[Done], int] = {}
    for index, task in todo:
        try:
            # The key is made here: a worker would read all sources again for it.
            futures[workers.submit(_execute, task, _folder(task, cache), cache)] = index
        except BrokenProcessPool as error:  # a worker died while tasks were handed out
            failures[index] = error
    for future in concurrent.futures.as_completed(futures):
        _collect(future, futures[future], done, failures, watcher)
    return failures


def _collect(
    future: "concurrent.futures.Future[Done]",
    index: int,
    done: dict[int, Done],
    failures: dict[int, BaseException],
    watcher: Watcher | None,
) -> None:
    error = future.exception()
    if error is not None:
        failures[index] = error
        return
    done[index] = future.result()
    if watcher:
        watcher.advance(1)


def resolve(function: str) -> Callable[[list[Path], dict[str, Any], Path], dict[str, Any]]:
    """The callable behind ``"module:function"``."""
    module, _, name = function.partition(":")
    found: Callable[[list[Path], dict[str, Any], Path], dict[str, Any]] = getattr(
        importlib.import_module(module), name
    )
    return found


def _folder(task: Task, cache: Path) -> Path:
    key = task.key()
    return cache / task.step / key[:32]


def _lookup(task: Task, cache: Path) -> Done | None:
    folder = _folder(task, cache)
    if not folder.exists():
        return None
    try:
        stored = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        whole = all((folder / name).is_file() for name in stored["files"])
    except (OSError, ValueError, TypeError, KeyError):
        whole = False
    if not whole:  # somebody cleaned up in here: made anew
        shutil.rmtree(folder)
        return None
    return Done(task, folder, stored["result"], stored["files"], True, 0.0)


def _execute(task: Task, folder: Path, cache: Path) -> Done:
    work = cache / "tmp" / f"{folder.name}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    start = time.monotonic()
    try:
        function = resolve(task.function)
        with synced_later():
            result = function([item.path for item in task.inputs], dict(task.parameters), work)
            files = {
                path.relative_to(work).as_posix(): sha256_file(path)
                for path in sorted(work.rglob("*"))
                if path.is_file()
            }
            write_json(work / RESULT, {"step": task.step, "result": result, "files": files})
        sync_tree(work)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(folder)
        except OSError:  # another process finished the same task first; its folder is equal
            if not (folder / RESULT).exists():
                raise
    except YanmoError:
        raise
    except OSError as error:
        raise DataError(f"the step '{task.step}' failed: {error}", where=_where(task)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        give_back()
    # What comes back in this run is read the way a cached result would be: through JSON.
    result = json.loads(json.dumps(result))
    return Done(task, folder, result, files, False, time.monotonic() - start)


def _where(task: Task) -> str:
    return ", ".join(str(item.path) for item in task.inputs[:3]) or task.function


def _sweep(cache: Path) -> None:
    """Remove what killed processes left behind."""
    for folder in (cache / "tmp").glob("*.*"):
        pid = folder.name.rpartition(".")[2]
        if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            shutil.rmtree(folder, ignore_errors=True)


class Identities:
    """Remembers the SHA-256 of input files by path, size and mtime, so that they are read once.

    Args:
        path: JSON file in the cache folder.
        rehash: read every file again instead of trusting size and mtime.
    """

    def __init__(self, path: Path, *, rehash: bool = False) -> None:
        self.path = path
        self._known: dict[str, list[Any]] = {}
        if path.exists() and not rehash:
            with contextlib.suppress(ValueError):  # only a memory: a broken one is a new one
                self._known = json.loads(path.read_text(encoding="utf-8"))

    def identify(self, paths: Iterable[Path]) -> list[Input]:
        """Give each file its identity, hashing those that are new or changed."""
        found = []
        for path in paths:
            try:
                stat = path.stat()
            except OSError as error:
                raise DataError(f"cannot open the file ({error.strerror})", where=path) from None
            mark = [stat.st_size, stat.st_mtime_ns]
            known = self._known.get(str(path.resolve()))
            if known is None or known[:2] != mark:
                known = [*mark, sha256_file(path)]
                self._known[str(path.resolve())] = known
            found.append(Input(path, str(known[2])))
        return found

    def save(self) -> None:
        """Write what is remembered."""
        write_json(self.path, self._known)


def prune(cache: Path, *, max_bytes: int, keep: Iterable[Path] = ()) -> int:
    """Delete the oldest task folders until the cache holds at most ``max_bytes``.

    Args:
        cache: the cache folder.
        max_bytes: the cap; task folders in ``keep`` stay even above it.
        keep: folders of the run at hand.

    Returns:
        How many bytes were freed.
    """
    kept = {path.resolve() for path in keep}
    folders = [path.parent for path in cache.glob(f"*/*/{RESULT}")]
    sized = [
        (p.stat().st_mtime_ns, sum(f.stat().st_size for f in p.rglob("*")), p) for p in folders
    ]
    total, freed = sum(size for _, size, _ in sized), 0
    for _, size, folder in sorted(sized):
        if total - freed <= max_bytes:
            break
        if folder.resolve() not in kept:
            shutil.rmtree(folder)
            freed += size
    return freed


__all__ = ["Done", "Identities", "Input", "Task", "Watcher", "Workers", "prune", "run"]
