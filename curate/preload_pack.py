"""What the server behind the workers of ``pack`` does before it forks them, by being imported.

As :mod:`yanmo.curate.preload`: the library, the tokenizer, the tables made from it and the kernels
are loaded once, while the first task runs, and shared. No thread may start here.
"""

import contextlib
import gc
import os
from pathlib import Path

gc.disable()

import pyarrow.parquet  # noqa: E402

from yanmo.errors import YanmoError  # noqa: E402
from yanmo.memory import give_back  # noqa: E402

from . import GARBAGE, PACK_GUARDS, PACK_TOKENIZER  # noqa: E402
from .compiled import without_linear_algebra  # noqa: E402
from .pack import warm  # noqa: E402

__all__ = ["pyarrow"]

TEXT = "研墨：先磨墨，後下筆。Grind the ink before you write; 1, 2, 3 …\n\n处处闻啼鸟。"

without_linear_algebra()
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if os.environ.get(PACK_TOKENIZER):
    with contextlib.suppress(YanmoError):  # a worker finds the same fault, and its error is seen
        warm(Path(os.environ[PACK_TOKENIZER]), TEXT, guards=bool(os.environ.get(PACK_GUARDS)))
give_back()
gc.freeze()
gc.set_threshold(GARBAGE, 20, 20)
gc.enable()
