"""Give memory that is free inside this process back to the system.

Arrow's pool and the C library keep what was freed for later. A worker lives through all steps of a
run, so without this its size is the sum of what each step left behind: 360 MB instead of 170 after
a run over 100 MB.
"""

import ctypes
import sys
from functools import cache
from typing import Any


def give_back() -> None:
    """Release free memory of Arrow's pool and of the C library, as far as they can."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """``malloc_trim`` of glibc; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
