"""Where the tasks of a run lie in its cache, so that a later command can go on from them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from yanmo.errors import DataError, YanmoError
from yanmo.files import read_json, write_json
from yanmo.tasks import RESULT, Done, Task

from .intake import CACHE_NAME

NAME: Final = "last.json"


def remember(
    cache: Path, *, clean: Sequence[Done], measure: Sequence[Done], settle: Sequence[Done]
) -> None:
    """Note the folders of the steps that later commands read, part by part."""
    steps = {"clean": clean, "measure": measure, "settle": settle}
    write_json(
        cache / NAME,
        {
            name: [f"{d.folder.parent.name}/{d.folder.name}" for d in done]
            for name, done in steps.items()
        },
    )


def recall(run: Path, step: str) -> list[Done]:
    """The finished tasks of a step of the last run into a folder.

    Args:
        run: the run folder.
        step: ``clean``, ``measure`` or ``settle``.

    Raises:
        DataError: the cache of the run is gone, whole or in part.
    """
    cache = run / CACHE_NAME
    try:
        return [_task(cache / name) for name in read_json(cache / NAME)[step]]
    except (YanmoError, OSError, ValueError, KeyError):
        raise DataError("the cache of the run is gone", where=cache,
                        fix="Start the run again into the same folder.") from None  # fmt: skip


def _task(folder: Path) -> Done:
    stored = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return Done(Task(stored["step"], ""), folder, stored["result"], stored["files"], True, 0.0)
