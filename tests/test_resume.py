"""The same bytes whatever happens: any number of workers, kill -9, Ctrl-C, a tidied cache."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yanmo.files import exclusive

from .command import command
from .web import article, json_line, write_web

STABLE = ("documents", "dropped", "quarantine", "signals", "duplicates", "funnel.json")
OPTIONS = ("-q", "--set", "read.group_files=2")
HERE = (*OPTIONS, "--workers", "1")
READS_TEXT = {"ingest", "clean", "measure", "signatures"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web(tmp_path_factory.mktemp("resume") / "web")


@pytest.fixture(scope="module")
def straight(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed; not to be written to."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert yanmo("curate", "run", web, "--out", out, *HERE)["kept"] > 20
    return out


@pytest.fixture
def copy(straight: Path, tmp_path: Path) -> Path:
    """A copy of that run, with its cache."""
    return Path(shutil.copytree(straight, tmp_path / "run"))


def yanmo(*arguments: object) -> dict[str, Any]:
    """Run a command here to its end; what it prints with --json."""
    ended = command(*arguments, "--json")
    assert ended.code == 0, ended.err
    result: dict[str, Any] = ended.json()
    return result


def stable(run: Path) -> dict[str, bytes]:
    """Every byte that must not change."""
    files = [run / name for name in STABLE]
    files = [
        file for path in files for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def fresh(result: dict[str, Any]) -> set[str]:
    """Names of the steps of which a task was really run."""
    return {name for name, step in result["steps"].items() if step["tasks"] > step["cached"]}


class Started:
    """The command with two workers in a session of its own."""

    def __init__(self, web: Path, out: Path) -> None:
        arguments = [sys.executable, "-m", "yanmo", "curate", "run", str(web), "--out", str(out),
                   *OPTIONS, "--workers", "2", "--json"]  # fmt: skip
        self.out = out
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True, text=True)  # fmt: skip

    def wait_for(self, tasks: int) -> None:
        """Until so many tasks are in the cache, or it has ended."""
        until = time.monotonic() + 120
        while len(list(self.out.glob(".cache/*/*/result.json"))) < tasks:
            assert time.monotonic() < until, "the run does not get on"
            if self.process.poll() is not None:
                break
            time.sleep(0.005)

    def members(self) -> list[str]:
        """Commands of its session that are still alive (zombies are not)."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                _, _, rest = stat.read_text(encoding="utf-8").rpartition(")")
                state, _, _, session = rest.split()[:4]
                if state != "Z" and int(session) == self.process.pid:
                    found.append((stat.parent / "cmdline").read_text(encoding="utf-8"))
            except OSError:
                continue
        return found

    def all_gone(self) -> bool:
        """Does the whole session end within a while?"""
        until = time.monotonic() + 30
        while self.members() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.members()


@pytest.fixture
def start(web: Path) -> Iterator[Callable[[Path], Started]]:
    """Start the command; what is left of it at the end is killed."""
    started: list[Started] = []

    def begin(out: Path) -> Started:
        started.append(Started(web, out))
        return started[-1]

    yield begin
    for one in started:
        if one.members():
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
@pytest.mark.slow
def test_killed_with_two_workers_it_goes_on_to_the_same_bytes(
    start: Callable[[Path], Started], straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    chance = random.Random(26)
    for kill in (os.kill, os.killpg):  # the command alone, as the out-of-memory killer does; all
        running = start(out)
        done = len(list(out.glob(".cache/*/*/result.json")))
        running.wait_for(done + chance.randint(1, 12))
        kill(running.process.pid, signal.SIGKILL)
        assert running.all_gone(), running.members()
    last = start(out)
    told, errors = last.process.communicate(timeout=240)
    assert last.process.returncode == 0, errors
    assert sum(step["cached"] for step in json.loads(told)["steps"].values()) > 0
    assert stable(out) == stable(straight)


@linux
@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_leaves_nobody_behind(
    start: Callable[[Path], Started], straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    running = start(out)
    running.wait_for(2)
    os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
    told, errors = running.process.communicate(timeout=60)
    assert running.process.returncode == 130
    assert told == ""
    assert "Traceback" not in errors
    assert "interrupted; the same command goes on from here: yanmo curate run" in errors
    assert f"--out {out}" in errors
    assert running.all_gone(), running.members()
    assert not (out / "manifest.json").exists()


# Kills itself without a word when a file or folder gets its final name for the n-th time.
KILLED_AT = """
import os, signal, sys
left = int(sys.argv.pop(1))
def counted(real):
    def call(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call
os.rename, os.replace, os.link = counted(os.rename), counted(os.replace), counted(os.link)
sys.argv[0] = "yanmo"
from yanmo.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_rename_it_goes_on_to_the_same_bytes(
    seed: int, web: Path, straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["curate", "run", str(web), "--out", str(out), *HERE]
    tasks = len(list(straight.glob(".cache/*/*/result.json")))
    chance = random.Random(seed)
    # The tasks rename first; the last renames and links are those of the run folder.
    moment = chance.randint(1, 2 * tasks) if seed % 2 else 2 * tasks + chance.randint(1, 40)
    killed = subprocess.run([sys.executable, "-c", KILLED_AT, str(moment), *arguments], check=False,
                            capture_output=True)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)
    assert not (out / "manifest.json").exists()
    yanmo(*arguments)
    assert stable(out) == stable(straight)
    assert sorted(path.name for path in out.iterdir()) == sorted(p.name for p in straight.iterdir())
    assert list((out / ".cache" / "tmp").iterdir()) == []


def test_again_nothing_is_redone(copy: Path, web: Path, straight: Path) -> None:
    ended = command("curate", "run", web, "--out", copy, *HERE)
    assert "Nothing was redone: all" in ended.out
    assert stable(copy) == stable(straight)


def test_a_moved_threshold_rereads_no_text(copy: Path, web: Path) -> None:
    before = json.loads((copy / "funnel.json").read_text(encoding="utf-8"))
    moved = yanmo("curate", "run", web, "--out", copy, *HERE, "--set", "rules.zh.min_words=300")
    assert "decide" in fresh(moved)
    assert fresh(moved) & READS_TEXT == set()
    assert moved["kept"] < before["kept"]
    # A threshold that changes no verdict copies no text either.
    same = yanmo("curate", "run", web, "--out", copy, *HERE,
                 "--set", "rules.zh.max_digit_fraction=0.97")  # fmt: skip
    assert fresh(same) == {"decide"}


def test_less_input_leaves_nothing_of_before(straight: Path, tmp_path: Path) -> None:
    web = write_web(tmp_path / "web")
    out, other = tmp_path / "run", tmp_path / "other"
    yanmo("curate", "run", web, "--out", out, *HERE)
    shutil.rmtree(web / "html")
    (web / "c.warc.gz").unlink()
    (web / "b.jsonl.gz").unlink()
    yanmo("curate", "run", web, "--out", out, *HERE)
    yanmo("curate", "run", web, "--out", other, *HERE)
    assert stable(out) == stable(other)
    assert len(list((out / "documents").iterdir())) < len(list((straight / "documents").iterdir()))
    assert list((out / "quarantine").iterdir()) == []


def test_a_tidied_or_broken_cache_is_made_anew(copy: Path, web: Path, straight: Path) -> None:
    cache = copy / ".cache"
    next(cache.glob("clean/*/documents.parquet")).unlink()
    next(cache.glob("measure/*/result.json")).unlink()
    next(cache.glob("decide/*/result.json")).write_text("{", encoding="utf-8")
    (cache / "identities.json").write_text("no json", encoding="utf-8")
    again = yanmo("curate", "run", web, "--out", copy, *HERE)
    assert fresh(again) == {"clean", "measure", "decide"}
    assert stable(copy) == stable(straight)


def test_what_was_left_half_written_goes_away(copy: Path, web: Path, straight: Path) -> None:
    for name in (".documents.4242.tmp", ".signals.4242.old"):
        (copy / name).mkdir()
    (copy / ".funnel.json.4242.tmp").touch()
    (copy / ".cache" / "tmp" / "abc.999999999").mkdir(parents=True, exist_ok=True)
    yanmo("curate", "run", web, "--out", copy, *HERE)
    assert sorted(p.name for p in copy.iterdir()) == sorted(p.name for p in straight.iterdir())
    assert list((copy / ".cache" / "tmp").iterdir()) == []


def test_one_run_at_a_time(copy: Path, web: Path) -> None:
    before = stable(copy)
    with exclusive(copy / ".cache"):
        ended = command("curate", "run", web, "--out", copy, *HERE)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: {copy}: another run is writing here. Wait for it")
    assert f"process {os.getpid()}" in ended.err
    assert stable(copy) == before


def test_changed_output_does_not_come_back(copy: Path, web: Path, straight: Path) -> None:
    arguments = ["curate", "run", web, "--out", copy, *HERE]
    yanmo(*arguments)
    part = next((copy / "documents").iterdir())
    with part.open("r+b") as stream:  # in place: the file of the cache is the same one
        stream.write(b"oops")
    ended = command(*arguments)
    assert ended.code == 1
    assert f"{part}: the file was written into from outside" in ended.err
    assert fresh(yanmo(*arguments)) == {"materialize"}
    assert stable(copy) == stable(straight)


def test_a_new_line_in_a_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "a.jsonl"
    file.write_bytes(json_line(article(1)))
    arguments = ["curate", "run", tmp_path / "in", "--out", tmp_path / "run", *HERE]
    assert yanmo(*arguments)["read"] == 1
    stat = file.stat()
    file.write_bytes(json_line(article(2)))  # as long as before; only the time of change differs
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert "ingest" in fresh(yanmo(*arguments))
