"""How a command of ours begins: what is set, and which processes start, before all imports."""

import gc
import os
from pathlib import Path
from typing import Final

from . import GARBAGE, PACK_GUARDS, PACK_TOKENIZER, PRELOAD, PRELOAD_PACK

_SETTINGS: Final = {
    # Threads for linear algebra, which we have none of: they spin for a while when started.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Arrow's own allocator takes 0.1 s and more of a process to set up its first pages.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def start(*, workers: int, pack_with: Path | None = None, guards: bool = False) -> None:
    """Prepare this process, and start the one that will fork the workers: it loads while we do.

    Args:
        workers: how many the command will use.
        pack_with: the tokenizer with which the command will pack; all it will do is that.
        guards: whether it will compare held-out documents with the others.
    """
    from .compiled import start_lean

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    start_lean()
    # What imports make stays. Looking for garbage among it took a fifth of a second of every start.
    gc.set_threshold(GARBAGE, 20, 20)
    if workers > 1:
        from yanmo.workers import start_server

        if pack_with is not None:
            os.environ[PACK_TOKENIZER] = str(pack_with)
            os.environ[PACK_GUARDS] = "1" if guards else ""
        start_server([PRELOAD if pack_with is None else PRELOAD_PACK])
