"""Compiled loops over UTF-8 buffers and symbol arrays.

``kernel`` compiles on first use, keeps the machine code on disk and runs without the GIL; kernels
call only kernels of their own file, because the cache on disk follows that file alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
# A whole number inside a kernel: Python's and numpy's are one there.
Number = Any


def kernel(function: F) -> F:
    """Compile a function for numbers and arrays."""
    return cast(F, njit(nogil=True, cache=True)(function))
