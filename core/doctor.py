"""What is installed, what is missing, and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from typing import Any, Final

import yanmo
from yanmo.report import Table

# distribution -> (module, what it is for, what to type when it is missing)
NEEDED: Final = {
    "polars": ("polars", "signal tables"),
    "pyarrow": ("pyarrow", "columns and Parquet"),
    "numba": ("numba", "text kernels"),
    "datasketch": ("datasketch", "MinHash permutations"),
    "fasttext-community": ("fasttext", "language identification"),
    "sentencepiece": ("sentencepiece", "SentencePiece vocabularies"),
    "tokenizers": ("tokenizers", "byte-level vocabularies, encoding"),
    "fastwarc": ("fastwarc", "WARC reading"),
    "resiliparse": ("resiliparse", "main content of pages"),
    "trafilatura": ("trafilatura", "main content, the careful way"),
    "ftfy": ("ftfy", "mojibake repair"),
    "opencc": ("opencc", "traditional and simplified"),
    "idna": ("idna", "host names beyond ASCII"),
}
OPTIONAL: Final = {
    "torch": ("torch", "training and scoring", 'pip install "yanmo[train]"'),
    "transformers": ("transformers", "tokenizer folders", 'pip install "yanmo[train]"'),
    "safetensors": ("safetensors", "checkpoints", 'pip install "yanmo[train]"'),
    "tensorboard": ("tensorboard", "training logs", 'pip install "yanmo[train]"'),
}


def _package(distribution: str, module: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "present"


def how_to_get(module: str) -> str:
    """The command that installs what a module comes with."""
    for known, _, fix in OPTIONAL.values():
        if known == module:
            return fix
    names = (name for name, (known, _) in NEEDED.items() if known == module)
    return f"pip install {next(names, module)}"


def examine() -> dict[str, Any]:
    """Look at packages, models and the machine.

    Returns:
        ``{"ok", "yanmo", "python", "machine", "checks": [{"name", "state", "for", "fix"}]}``;
        ``ok`` is false when something that every command needs is missing.
    """
    from yanmo import models

    checks = []
    for name, (module, purpose) in NEEDED.items():
        version = _package(name, module)
        checks.append({"name": name, "state": version or "missing", "for": purpose,
                       "fix": None if version else f"pip install {name}"})  # fmt: skip
    ok = all(check["state"] != "missing" for check in checks)
    for name, (module, purpose, fix) in OPTIONAL.items():
        version = _package(name, module)
        checks.append({"name": name, "state": version or "missing (optional)", "for": purpose,
                       "fix": None if version else fix})  # fmt: skip
    for name, state in models.verify().items():
        checks.append({"name": f"model {name}", "state": state, "for": models.purpose(name),
                       "fix": None if state == "ok" else f"yanmo models fetch {name}"})  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = {
        "system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count(),
        "memory_bytes": memory, "free_disk_bytes": shutil.disk_usage(".").free,
    }  # fmt: skip
    return {"ok": ok, "yanmo": yanmo.__version__, "python": platform.python_version(),
            "machine": machine, "checks": checks}  # fmt: skip


def render(findings: dict[str, Any]) -> str:
    """The findings as a table and one closing line."""
    rows = [[c["name"], c["state"], c["for"], c["fix"] or ""] for c in findings["checks"]]
    machine = findings["machine"]
    title = (
        f"yanmo {findings['yanmo']}, Python {findings['python']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB memory, "
        f"{machine['free_disk_bytes'] / 2**30:.0f} GiB free disk"
    )
    closing = "All that every command needs is here." if findings["ok"] else "Something is missing."
    return Table(title, ["what", "state", "for", "how to get it"], rows).text() + "\n" + closing
