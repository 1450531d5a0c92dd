"""Where and with what the numbers were taken: they mean nothing without it."""

import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

from . import environments

OURS: Final = ("yanmo", "numba", "numpy", "pyarrow", "polars", "resiliparse", "trafilatura")


def describe() -> dict[str, Any]:
    """Date, processor, cores, memory, load, and the versions of both sides."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in OURS},
        "peers": {name: list(wanted) for name, wanted in environments.PEERS.items()},
    }


def _processor() -> str:
    """The name of the processor, and the model numbers where the name says nothing."""
    found: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key} {found[key]}" for key in ("cpu family", "model") if key in found]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def one_line(found: dict[str, Any]) -> str:
    """The machine in a sentence."""
    return (
        f"{found['date']}; {found['processor']}, {found['cores']} cores, {found['memory_gb']} GB; "
        f"load {found['load']} at the start; Python {found['python']}"
    )
