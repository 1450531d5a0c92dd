"""Checkpoints: a Hugging Face folder, plus ``yanmo/`` with all that a resumption needs.

    step-00000250/
      config.json  model.safetensors  tokenizer files     opens anywhere
      adapter/                                            LoRA runs: what peft opens
      yanmo/state.json                                    step, loader position, guard, lineage
      yanmo/recipe.toml                                   the recipe of the run
      yanmo/optimizer.safetensors                         parameter/slot -> tensor
      yanmo/rng.safetensors                               generators of each process
      yanmo/done.json                                     sizes of all files; written last

The folder is filled under a temporary name, flushed and renamed. One without ``done.json``, or with
a file of another size, is torn and ignored.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from yanmo.errors import DataError
from yanmo.files import atomic_folder, atomic_write, link_or_copy, read_json, write_json

from .config import ModelConfig
from .folder import save_model

FOLDER: Final = "checkpoints"
ADAPTER: Final = "adapter"
MODEL: Final = "model"
LINEAGE: Final = "lineage.json"
STATE: Final = "yanmo"
FORMAT_VERSION: Final = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Content:
    """What goes into a checkpoint.

    Attributes:
        config: shape of the model.
        weights: Hugging Face name -> tensor.
        optimizer: see ``Optimizers.state``.
        generators: name -> uint8 state.
        state: JSON-able: step, position, lineage.
        recipe: TOML text.
        tokenizer: folder of the tokenizer.
        also: writes more into the folder.
        model: writes the model itself, where it is no causal one, in place of ``weights``.
    """

    config: ModelConfig
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    generators: Mapping[str, Tensor]
    state: Mapping[str, Any]
    recipe: str
    tokenizer: Path | None
    also: Callable[[Path], None] | None = None
    model: Callable[[Path], None] | None = None


def save(run: Path, step: int, content: Content) -> Path:
    """Write a checkpoint.

    Args:
        run: the run folder.
        step: steps taken so far.
        content: what to write.

    Returns:
        Its folder.

    Raises:
        DataError: the disk is full or cannot be written; earlier checkpoints are untouched.
    """
    path = run / FOLDER / f"step-{step:08d}"
    try:
        with atomic_folder(path) as folder:
            if content.model is not None:
                content.model(folder)
            else:
                save_model(content.config, content.weights, folder, tokenizer=content.tokenizer)
            inner = folder / STATE
            inner.mkdir(exist_ok=True)
            save_file(_on_host(content.optimizer), inner / "optimizer.safetensors")
            save_file(_on_host(content.generators), inner / "rng.safetensors")
            write_json(inner / "state.json", {**content.state, "format_version": FORMAT_VERSION})
            with atomic_write(inner / "recipe.toml", text=True) as stream:
                stream.write(content.recipe)
            if content.also is not None:
                content.also(folder)
            write_json(inner / "done.json", {"files": _sizes(folder)})
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot write the checkpoint ({error})", where=path,
            fix="Make room and start the same command; it goes on from the last one.",
        ) from None  # fmt: skip
    return path


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "done.json"
    }


def whole(folder: Path) -> bool:
    """Whether a checkpoint was written to its end and is still as long as it was."""
    marker = folder / STATE / "done.json"
    if not marker.is_file():
        return False
    try:
        files: dict[str, int] = read_json(marker)["files"]
    except (DataError, KeyError, TypeError):
        return False
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in files.items()
    )


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """The whole checkpoints of a run, oldest first, as (step, folder)."""
    found = []
    for path in (run / FOLDER).glob("step-*"):
        match = _NAME.fullmatch(path.name)
        if match and whole(path):
            found.append((int(match[1]), path))
    return sorted(found)


def torn(run: Path) -> list[Path]:
    """Checkpoints that were not written to their end."""
    good = {path for _, path in checkpoints(run)}
    return [p for p in sorted((run / FOLDER).glob("step-*")) if p not in good]


def prune(run: Path, keep: int | None) -> None:
    """Remove all but the newest ``keep`` checkpoints; torn ones go too."""
    if keep is not None:
        for path in [*torn(run), *(path for _, path in checkpoints(run)[:-keep])]:
            shutil.rmtree(path)


@dataclass(frozen=True)
class Restored:
    """What a checkpoint holds beside the weights; see :class:`Content`."""

    folder: Path
    state: dict[str, Any]
    optimizer: dict[str, Tensor]
    generators: dict[str, Tensor]
    recipe: Path


def read(folder: Path) -> Restored:
    """Read the resumption state of a checkpoint.

    Raises:
        DataError: it is not one of ours, or of an unknown version.
    """
    inner = folder / STATE
    state = read_json(inner / "state.json")
    if state.get("format_version") != FORMAT_VERSION:
        raise DataError("unknown version of the checkpoint format", where=folder,
                        value=state.get("format_version"))  # fmt: skip
    try:
        optimizer = load_file(inner / "optimizer.safetensors")
        generators = load_file(inner / "rng.safetensors")
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot read the checkpoint ({error})", where=folder) from None
    return Restored(folder, state, optimizer, generators, inner / "recipe.toml")


def generator_states(rank: int) -> dict[str, Tensor]:
    """States of torch's generators in this process; the trainer draws from no other."""
    states = {f"{rank}/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states[f"{rank}/cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Tensor], rank: int) -> None:
    """Put back what :func:`generator_states` gave; a process that is new keeps its own."""
    if f"{rank}/cpu" in states:
        torch.set_rng_state(states[f"{rank}/cpu"])
    if f"{rank}/cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[f"{rank}/cuda"])


def publish(run: Path, told: Mapping[str, Any], *, adapter: bool = False) -> Path:
    """Give the last checkpoint's model the name ``model/`` in its run, with what is told of it.

    Args:
        run: the run folder.
        told: file name below ``model/yanmo`` -> JSON-able content, such as the lineage.
        adapter: whether ``adapter/`` is published too (LoRA runs).

    Returns:
        The model's folder.
    """
    source = checkpoints(run)[-1][1]
    with atomic_folder(run / MODEL) as folder:
        for path in sorted(source.iterdir()):
            if path.is_file():
                link_or_copy(path, folder / path.name)
        for name, content in told.items():
            write_json(folder / STATE / name, content)
    if adapter:
        with atomic_folder(run / ADAPTER) as folder:
            for path in sorted((source / ADAPTER).iterdir()):
                link_or_copy(path, folder / path.name)
    return run / MODEL


def resolve(path: str | Path) -> Path:
    """The model folder that a path names: itself, a run's final model, or its last checkpoint.

    Raises:
        DataError: there is no model.
    """
    path = Path(path)
    if (path / "config.json").is_file():
        return path
    if (path / "model" / "config.json").is_file():
        return path / "model"
    if found := checkpoints(path):
        return found[-1][1]
    raise DataError("no model here", where=path,
                    fix="Give a model folder, a checkpoint, or a run of `train`.")  # fmt: skip
