"""Tasks: cached by content, equal for any number of workers, whole or absent."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError
from yanmo.tasks import Identities, Input, Task, prune, run

HERE = __name__


def shout(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    text = inputs[0].read_text(encoding="utf-8").upper() * parameters["times"]
    (out / "loud.txt").write_text(text, encoding="utf-8")
    return {"chars": len(text)}


def fail(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    raise DataError("no good", where=inputs[0], value=3)


def die_once(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    mark = Path(parameters["mark"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"alive": True}


def die_always(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This file under a name that spawned workers can import."""
    folder = tmp_path / "importable"
    folder.mkdir()
    (folder / "task_functions.py").write_bytes(Path(__file__).read_bytes())
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "task_functions"


def some_tasks(folder: Path, module: str, times: int = 2) -> list[Task]:
    tasks = []
    for name in ("a", "b", "c"):
        path = folder / f"{name}.txt"
        path.write_text(name, encoding="utf-8")
        tasks.append(
            Task("shout", f"{module}:shout", (Input(path, f"id-{name}"),), {"times": times})
        )
    return tasks


@pytest.mark.parametrize("workers", [1, 2])
def test_second_run_does_nothing(tmp_path: Path, module: str, workers: int) -> None:
    tasks = some_tasks(tmp_path, module)
    first = run(tasks, cache=tmp_path / "cache", workers=workers)
    again = run(tasks, cache=tmp_path / "cache", workers=workers)
    assert [d.result for d in first] == [{"chars": 2}] * 3
    assert not any(d.cached for d in first)
    assert all(d.cached for d in again)
    assert [d.files for d in first] == [d.files for d in again]
    assert (again[1].folder / "loud.txt").read_text(encoding="utf-8") == "BB"


def test_key_depends_on_parameters_and_inputs_alone(tmp_path: Path, module: str) -> None:
    one, two = some_tasks(tmp_path, module), some_tasks(tmp_path, module, times=3)
    assert one[0].key() != two[0].key()
    moved = Task("other", one[0].function, (Input(Path("/elsewhere"), "id-a"),), {"times": 2})
    assert moved.key() == one[0].key()


def test_code_identity_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yanmo.tasks import code_identity

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "step_one.py").write_text("import numpy\nimport yanmo.files\n", encoding="utf-8")
    (tmp_path / "step_two.py").write_text("import numpy\nimport yanmo.errors\n", encoding="utf-8")
    code_identity.cache_clear()
    assert code_identity("step_one") != code_identity("step_two")
    same = code_identity("step_one")
    code_identity.cache_clear()
    assert code_identity("step_one") == same
    (tmp_path / "step_one.py").write_text("import yanmo.files\n", encoding="utf-8")
    code_identity.cache_clear()
    assert code_identity("step_one") != same


def test_error_crosses_the_process_border(tmp_path: Path, module: str) -> None:
    tasks = some_tasks(tmp_path, module)
    bad = Task("fail", f"{module}:fail", tasks[0].inputs)
    with pytest.raises(DataError, match=r"a.txt: no good, got 3"):
        run([tasks[1], bad, tasks[2]], cache=tmp_path / "cache", workers=2)
    # The others were kept: a failed task fails alone.
    assert all(d.cached for d in run(tasks[1:], cache=tmp_path / "cache"))


def test_dead_worker_is_replaced(tmp_path: Path, module: str) -> None:
    mark = {"mark": str(tmp_path / "mark")}
    tasks = [Task("die", f"{module}:die_once", (), mark), *some_tasks(tmp_path, module)]
    done = run(tasks, cache=tmp_path / "cache", workers=2)
    assert done[0].result == {"alive": True}


@pytest.mark.slow
def test_task_that_always_dies_is_an_error(tmp_path: Path, module: str) -> None:
    tasks = [Task("die", f"{module}:die_always"), *some_tasks(tmp_path, module)]
    with pytest.raises(DataError, match="the worker died 3 times"):
        run(tasks, cache=tmp_path / "cache", workers=2)


def test_identities_notice_a_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one", encoding="utf-8")
    book = Identities(tmp_path / "identities.json")
    first = book.identify([path])[0].identity
    book.save()
    assert Identities(tmp_path / "identities.json").identify([path])[0].identity == first
    path.write_text("two!", encoding="utf-8")
    assert Identities(tmp_path / "identities.json").identify([path])[0].identity != first


def test_rehash_distrusts_size_and_mtime(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one", encoding="utf-8")
    book = Identities(tmp_path / "identities.json")
    first = book.identify([path])[0].identity
    book.save()
    stat = path.stat()
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    trusting = Identities(tmp_path / "identities.json").identify([path])[0].identity
    checking = Identities(tmp_path / "identities.json", rehash=True).identify([path])[0].identity
    assert trusting == first
    assert checking != first


def test_prune_keeps_what_is_in_use(tmp_path: Path, module: str) -> None:
    done = run(some_tasks(tmp_path, module), cache=tmp_path / "cache")
    freed = prune(tmp_path / "cache", max_bytes=0, keep=[done[2].folder])
    assert freed > 0
    assert [d.folder.exists() for d in done] == [False, False, True]
