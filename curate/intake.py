"""What a run reads, and where it may write: from the inputs of a recipe to the first tasks."""

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

from yanmo import recipe
from yanmo.errors import UsageError
from yanmo.tasks import Done, Identities, Input, Task

from .discover import IGNORED, STDIN, InputFile, InputGroup, InputSpec, discover
from .extra_signals import check_models
from .run_recipe import CurateRecipe
from .runfolder import FOLDERS
from .stretch import Stretch

CACHE_NAME: Final = ".cache"


def find_inputs(settings: CurateRecipe, out: Path) -> list[InputGroup]:
    """The files to read, in groups; nothing is written and no file is opened.

    Raises:
        UsageError: nothing to read, or ``out`` holds something else or lies inside an input.
        DataError: a file or folder cannot be listed, or a table of signals is not there.
        MissingDependency: a model of the recipe is not there.
    """
    check_models(settings)
    refuse_foreign_folder(out)
    refuse_own_output(settings.input, out)
    return discover(settings.input, options=settings.read)


def plan(settings: CurateRecipe, out: Path) -> dict[str, Any]:
    """What a run would do; nothing is written and no input is opened.

    Returns:
        ``{"recipe", "files", "bytes", "ignored", "tasks", "out"}``: files to read and their stored
        bytes, files of unknown format, read tasks (before large files are cut).

    Raises:
        UsageError: as :func:`find_inputs`.
    """
    groups = find_inputs(settings, out)
    files = [file for group in groups for file in group.files]
    known = [file.size or 0 for file in files if file.format != IGNORED]
    return {"recipe": recipe.to_table(settings), "files": len(known), "bytes": sum(known),
            "ignored": len(files) - len(known), "tasks": len(groups), "out": str(out)}  # fmt: skip


def refuse_foreign_folder(out: Path) -> None:
    """Refuse to write into a folder that holds what is not ours."""
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    try:
        str(out.resolve()).encode()
    except UnicodeEncodeError:  # Parquet libraries cannot open such a path
        raise UsageError("the path of --out is no text in UTF-8", value=str(out),
                         fix="Give a folder of another name.") from None  # fmt: skip
    ours = {CACHE_NAME, "manifest.json", "recipe.toml", "funnel.json", "report.html",
            "against.html", "labels.jsonl", *FOLDERS}  # fmt: skip
    foreign = sorted(p.name for p in out.iterdir() if p.name not in ours) if out.exists() else []
    foreign = [name for name in foreign if not name.startswith(".")]
    if foreign:
        raise UsageError("--out holds other files", where=out, value=foreign[:5],
                         fix="Give a new folder, or one that a run wrote.")  # fmt: skip


def refuse_own_output(inputs: Sequence[InputSpec], out: Path) -> None:
    """Refuse an output folder inside an input: the next run would read what this one wrote."""
    for spec in inputs:
        root = Path(spec.path.partition("*")[0]).expanduser()
        if spec.path != STDIN and root.is_dir() and out.resolve().is_relative_to(root.resolve()):
            raise UsageError("--out lies inside the input", where=out, value=spec.path,
                             fix="Give a folder beside it.")  # fmt: skip


class Identified(NamedTuple):
    """Files as tasks name them: the place of a local file is no part of a key, its name and
    content are."""

    inputs: tuple[Input, ...]
    files: list[dict[str, Any]]
    remote: list[str]


def identified(files: Sequence[InputFile], identities: Identities) -> Identified:
    """Name files as inputs and parameters of a task; new and changed ones are read and hashed."""
    local = [file for file in files if "://" not in file.path]
    # Files of an unknown format are counted by size and never opened.
    known = iter(identities.identify(Path(f.path) for f in local if f.format != IGNORED))
    inputs = [Input(Path(f.path), "") if f.format == IGNORED else next(known) for f in local]
    named = [{**asdict(f), "path": "" if f in local else f.path} for f in files]
    remote = [remote_identity(f.path) for f in files if f not in local]
    return Identified(tuple(inputs), named, remote)


def ingest_task(
    source: Identified, settings: CurateRecipe, *, stretch: Stretch | None = None
) -> Task:
    """Read a group of files, or a stretch of one."""
    parameters = {
        "files": source.files,
        "remote": source.remote,
        "read": read_table(settings),
        "extract": recipe.to_table(settings.extract),
        "part_bytes": settings.output.part_bytes,
        "limit": settings.limit,
    }
    if stretch is not None:
        parameters["stretch"] = asdict(stretch)
    return Task("ingest", "yanmo.curate.ingest:ingest_files", source.inputs, parameters)


def read_table(settings: CurateRecipe) -> dict[str, Any]:
    """The ``[read]`` table as tasks get it: how files are cut is told by what they are to read."""
    table = recipe.to_table(settings.read)
    del table["split_bytes"]
    return table


def inputs_read(ingested: Sequence[Done]) -> list[dict[str, Any]]:
    """The files that a run read, for its manifest: each once, and none that it made itself."""
    made = {done.folder for done in ingested}
    # The last input of a task with "urls" are the pages to leave out.
    ends = [-1 if "urls" in done.task.parameters else None for done in ingested]
    read = [i for done, end in zip(ingested, ends, strict=True) for i in done.task.inputs[:end]]
    inputs = {i.path: i for i in read if i.path.parent not in made}
    return [{"path": str(i.path), "sha256": i.identity or None, "bytes": i.path.stat().st_size}
            for i in inputs.values()]  # fmt: skip


def remote_identity(url: str) -> str:
    """What identifies a file of another file system: its ETag, or size and time of change."""
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    info = system.info(path)
    return str(info.get("ETag") or (info.get("size"), info.get("mtime"), info.get("LastModified")))


def spooled(group: InputGroup, cache: Path) -> InputGroup:
    """Standard input as a file of the cache: tasks run in other processes, and more than once."""
    if group.files[0].path != STDIN:
        return group
    path = cache / "stdin"
    with path.open("wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
    file: InputFile = dataclasses.replace(group.files[0], path=str(path), size=path.stat().st_size)
    return InputGroup((file,))
