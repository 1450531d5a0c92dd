"""Models on disk: a Hugging Face folder, read and written without transformers.

Weights are safetensors under Hugging Face's parameter names; pickles are never opened.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from yanmo.errors import DataError
from yanmo.files import read_json, write_json
from yanmo.vocab.folder import TOKENIZER_FILES

from .config import ModelConfig, from_hf
from .model import Llama, empty

TOKENIZER_DEFINITIONS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""Files of a tokenizer that define its ids."""
WEIGHTS: Final = "model.safetensors"


def load_config(folder: str | Path) -> ModelConfig:
    """The shape of the model in a folder.

    Raises:
        DataError: no ``config.json``, or an architecture that this package does not compute.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise DataError("no config.json here", where=folder,
                        fix="Give a Hugging Face model folder or a checkpoint.")  # fmt: skip
    return from_hf(read_json(path), where=path)


def load_model(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Llama:
    """Read a model.

    Args:
        folder: ``config.json`` and ``model.safetensors``, in one file or in parts with an index.
        dtype: what the weights become in memory.

    Raises:
        DataError: a file is missing or cut, or a weight is missing, unknown, or of another shape.
    """
    folder = Path(folder)
    model = empty(load_config(folder), dtype=dtype)
    wanted = dict(model.named_parameters())
    seen: set[str] = set()
    for path in weight_files(folder):
        seen |= _fill(wanted, path, tied=model.config.tie_word_embeddings)
    if missing := sorted(wanted.keys() - seen):
        raise DataError("weights are missing", where=folder, value=missing[:5])
    return model


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder.

    Raises:
        DataError: there are none.
    """
    index = folder / f"{WEIGHTS}.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    if not (folder / WEIGHTS).is_file():
        raise DataError(f"no {WEIGHTS} here", where=folder,
                        fix="Pickled weights are not opened; convert them.")  # fmt: skip
    return [folder / WEIGHTS]


def _fill(wanted: Mapping[str, Tensor], path: Path, *, tied: bool) -> set[str]:
    """Copy the weights of one file into place; return their names."""
    try:
        with safe_open(path, framework="pt") as file, torch.no_grad():
            names = [name for name in file.keys() if not _redundant(name, tied)]  # noqa: SIM118
            for name in names:
                if name not in wanted:
                    raise DataError("a weight has no place in this model", where=path, value=name)
                value = file.get_tensor(name)
                if value.shape != wanted[name].shape:
                    raise DataError(
                        f"weight '{name}' should have shape {tuple(wanted[name].shape)}",
                        where=path, value=tuple(value.shape),
                    )  # fmt: skip
                wanted[name].copy_(value)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"cannot read the weights ({error})", where=path,
            fix="The file is missing or cut; write or fetch it again.",
        ) from None  # fmt: skip
    return set(names)


def _redundant(name: str, tied: bool) -> bool:
    """Old files carry the rotation's frequencies; some tied ones carry the head a second time."""
    return name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight")


def save_model(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    folder: Path,
    *,
    tokenizer: Path | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer's files into a folder.

    Args:
        config: the model's shape.
        weights: Hugging Face name -> tensor, as ``dict(model.named_parameters())``.
        folder: made if missing; not atomic by itself (see ``yanmo.files.atomic_folder``).
        tokenizer: folder whose tokenizer files are copied.
        dtype: what the weights are stored as; ``None``: as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {
        name: value.detach().to("cpu", dtype or value.dtype).contiguous()
        for name, value in weights.items()
    }
    table = config.to_hf()
    table["dtype"] = str(next(iter(kept.values())).dtype).removeprefix("torch.")
    write_json(folder / "config.json", table)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    if tokenizer is not None:
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)
