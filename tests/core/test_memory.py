"""Free memory goes back to the system."""

import sys
from pathlib import Path

import numpy as np
import pytest

from yanmo.memory import give_back


def resident() -> int:
    """Anonymous memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the kernel does not say")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, trims glibc's heap")
def test_what_was_freed_is_given_back() -> None:
    give_back()
    # Blocks below the size that is mapped on its own, and one that stays on top of the heap.
    blocks = [np.ones(60_000, np.uint8) for _ in range(1500)]
    kept = np.ones(60_000, np.uint8)
    high = resident()
    del blocks
    give_back()
    assert resident() < high - (60 << 20)
    assert kept.sum() == 60_000
