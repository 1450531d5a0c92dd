"""Kernels: functions of arrays that numba compiles at their first call, and not before."""

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_LINEAR_ALGEBRA: Final = "scipy.linalg"
_lean = False


class Kernel:
    """A function that numba has not seen yet.

    Importing numba takes 0.15 s and making it ready as much again; a process that only plans a run
    or describes its options never calls a kernel and pays neither.

    Args:
        function: of arrays and numbers, and of kernels of its own file.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the machine code."""
        if self._compiled is None:
            _compile(self._function.__globals__)
        return self._compiled(*arguments)  # type: ignore[misc]  # _compile has set it


def kernel(function: F) -> F:
    """Compile on the first call, keep the machine code on disk, and run without the GIL.

    Never parallel inside: a process that has run a parallel kernel hangs when it is forked, and
    parts are already spread over processes. Kernels call only kernels of their own file, because
    the cache on disk is renewed when that file changes and not when another one does.
    """
    return cast(F, Kernel(function))


def _compile(names: dict[str, Any]) -> None:
    """Put numba's functions in the place of all kernels of a file: its compiler must see them."""
    from numba import njit

    if _lean:
        without_linear_algebra()
    for name, found in list(names.items()):
        if isinstance(found, Kernel) and found._function.__globals__ is names:
            if found._compiled is None:
                found._compiled = njit(nogil=True, cache=True)(found._function)
            names[name] = found._compiled


def start_lean() -> None:
    """Call :func:`without_linear_algebra` before the first kernel is compiled, if one ever is."""
    global _lean
    _lean = True


def without_linear_algebra() -> None:
    """Make numba ready, but for linear algebra, which no kernel uses: 0.1 s less.

    For that alone it imports SciPy when it first compiles or loads a function, if there is one.
    Only for a process that is all ours: numba code of others could not call ``np.dot`` in it.
    """
    from numba.core.registry import cpu_target

    if _LINEAR_ALGEBRA in sys.modules:
        return
    sys.modules[_LINEAR_ALGEBRA] = None  # type: ignore[assignment]  # so that importing it fails
    try:
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
    finally:
        del sys.modules[_LINEAR_ALGEBRA]
