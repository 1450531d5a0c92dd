"""Kernels are compiled when they are called; until then numba is not even imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = """
import json, sys
import numpy as np
from yanmo.curate import compiled, utf8
from yanmo.curate.utf8 import decode
before = "numba" in sys.modules, type(utf8.decode).__name__
compiled.start_lean()
data = np.frombuffer("研a".encode(), np.uint8)
codes, bounds = decode(data, np.array([0, 4]))
after = "scipy.linalg" in sys.modules, type(utf8.decode).__name__
import scipy.linalg
again, _ = decode(data, np.array([0, 4]))
print(json.dumps([before, after, codes.tolist(), again.tolist()]))
"""

PRELOAD = """
import gc, json, sys
import yanmo.curate.preload
heavy = [n for n in ("scipy.linalg", "datasketch", "trafilatura", "torch") if n in sys.modules]
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 100_000, heavy]))
"""


def told(script: str, folder: Path) -> Any:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=folder,
                          check=True)  # fmt: skip
    return json.loads(done.stdout)


def test_a_kernel_is_compiled_at_its_first_call_without_scipy(tmp_path: Path) -> None:
    before, after, codes, again = told(SCRIPT, tmp_path)
    assert before == [False, "Kernel"]
    assert after == [False, "CPUDispatcher"]
    assert codes == again == [0x7814, 0x61]


def test_the_server_of_the_workers_has_frozen_what_it_shares(tmp_path: Path) -> None:
    assert told(PRELOAD, tmp_path) == [True, True, []]


def test_a_mistake_does_not_wait_for_the_server(tmp_path: Path) -> None:
    script = """
import json, multiprocessing.forkserver, os, time
from yanmo.errors import UsageError
from yanmo.workers import server_ends_with_errors, start_server
start_server(["slow_to_load"])
pid = multiprocessing.forkserver._forkserver._forkserver_pid
begin = time.monotonic()
try:
    with server_ends_with_errors():
        raise UsageError("no")
except UsageError:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        print(json.dumps(time.monotonic() - begin))
"""
    (tmp_path / "slow_to_load.py").write_text("import time\ntime.sleep(30)\n", encoding="utf-8")
    assert told(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{script}", tmp_path) < 15


AGAIN = """
import json, os
from yanmo.errors import UsageError
from yanmo.workers import Workers, server_ends_with_errors, start_server
if __name__ == "__main__":
    for _ in range(20):
        try:
            start_server(["json"])
            with server_ends_with_errors():
                raise UsageError("no")
        except UsageError:
            start_server(["json"])
        with Workers(2, preload=["json"]) as workers:
            assert workers.submit(os.getpid).result() != os.getpid()
    print(json.dumps("done"))
"""


def test_after_a_mistake_the_same_process_has_workers_again(tmp_path: Path) -> None:
    """The server that was ended was still taken for running: "unexpected EOF", half of the time."""
    assert told(AGAIN, tmp_path) == "done"
