"""A Hugging Face checkpoint as its vocabulary sees it: which tensors have a row for every token.

Nothing is loaded; headers, ``config.json`` and the index say it all. What has a row a token and is
not known by name is an error, not a guess: a head that is left behind gives a model that loads and
is wrong.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json
from yanmo.recipe import did_you_mean

from .tensor_file import Tensor, raw_chunks, read_header

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
# Llama, Mistral, Qwen, Gemma | GPT-2 | BLOOM, Falcon, ChatGLM | GPT-NeoX | InternLM2
_EMBEDDING: Final = re.compile(
    r"(.*\.)?(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight"
)
# most | GPT-NeoX | ChatGLM | InternLM2 | extra prediction heads of DeepSeek-V3
_HEAD: Final = re.compile(
    r"(.*\.)?(lm_head|embed_out|output_layer|shared_head\.head)\.(weight|bias)|output\.weight"
)
# Architectures for which a config without the key means an output projection of its own.
_UNTIED: Final = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gpt_neox", "internlm2")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        folder: where it lies.
        config: ``config.json``.
        files: the weight files in order of their names.
        metadata: the ``__metadata__`` of each file, by name.
        tensors: every tensor by name, in the order of files and bytes.
        grown: those that have a row for every token, by name: ``embedding`` or ``head``.
        dropped: a tied head that is stored a second time; it is not written.
        rows: how many rows they have.
        tied: the output projection is the embedding.
        index: the parsed index, where the weights lie in several files.
    """

    folder: Path
    config: dict[str, Any]
    files: tuple[Path, ...]
    metadata: Mapping[str, Mapping[str, str]]
    tensors: dict[str, Tensor]
    grown: dict[str, str]
    dropped: tuple[str, ...]
    rows: int
    tied: bool
    index: dict[str, Any] | None


def model_folder(path: Path) -> Path:
    """The checkpoint that a path names: itself, or the model of a run of `yanmo train`.

    Raises:
        UsageError: there is none.
    """
    folder = path / "model" if (path / "model" / "config.json").is_file() else path
    if not (folder / "config.json").is_file():
        raise UsageError("no checkpoint (no config.json)", where=folder,
                         fix="Give a Hugging Face model folder.")  # fmt: skip
    return folder


def open_checkpoint(
    folder: Path, *, also: Sequence[str] = (), leave: Sequence[str] = ()
) -> Checkpoint:
    """Look into a checkpoint.

    Args:
        folder: ``config.json`` and safetensors weights, in one file or several with an index; or
            the run of a training, whose model is taken.
        also: further tensors with a row a token, which grow as output projections do.
        leave: tensors that have as many rows by chance and stay as they are.

    Raises:
        UsageError: there is no checkpoint, or a name in ``also`` or ``leave`` is not in it.
        DataError: a file is torn, or configuration, index and tensors contradict each other.
    """
    folder = model_folder(folder)
    config = read_json(folder / "config.json")
    index, files = _files(folder)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, dict[str, str]] = {}
    for file in files:
        found, metadata[file.name] = read_header(file)
        twice = sorted(found.keys() & tensors.keys())
        if twice:
            raise DataError("a tensor lies in two files", where=file, value=twice[0])
        tensors |= found
    if index is not None:
        _check_index(folder / INDEX, index, tensors)
    for name in (*also, *leave):
        if name not in tensors:
            raise UsageError("no such tensor in the checkpoint", value=name,
                             fix=did_you_mean(name, tensors))  # fmt: skip
    said = vocabulary_config(config, folder)["vocab_size"]
    grown = _by_token(folder, tensors, said, also, leave)
    tied, dropped = _tied(folder, config, tensors, grown)
    for name in dropped:
        del grown[name]
    return Checkpoint(folder, config, files, metadata, tensors, grown, dropped, said, tied, index)


def vocabulary_config(config: dict[str, Any], where: Path) -> dict[str, Any]:
    """The table that holds ``vocab_size``: the configuration, or that of its text model.

    Raises:
        DataError: neither has it.
    """
    for table in (config, config.get("text_config")):
        if isinstance(table, dict) and isinstance(table.get("vocab_size"), int):
            return table
    raise DataError("no vocab_size in the configuration", where=where / "config.json")


def _files(folder: Path) -> tuple[dict[str, Any] | None, tuple[Path, ...]]:
    single, index = folder / WEIGHTS, folder / INDEX
    if single.is_file() and index.is_file():
        raise DataError(f"both {WEIGHTS} and an index are there", where=folder,
                        fix="Remove the one that is old.")  # fmt: skip
    if single.is_file():
        return None, (single,)
    if index.is_file():
        table = read_json(index)
        if not isinstance(table, dict) or not isinstance(table.get("weight_map"), dict):
            raise DataError("no weight_map in the index", where=index)
        names = sorted(set(map(str, table["weight_map"].values())))
        if bad := [name for name in names if Path(name).name != name]:
            raise DataError("the index names a file outside the folder", where=index, value=bad[0])
        return table, tuple(folder / name for name in names)
    pickled = [p.name for p in sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pth"))]
    fix = "Pickled weights are not opened; save the model as safetensors." if pickled else None
    raise DataError("no safetensors weights", where=folder, value=pickled or None, fix=fix)


def _check_index(file: Path, index: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    said = index["weight_map"]
    for name in sorted(said.keys() | tensors.keys()):
        have = tensors[name].file.name if name in tensors else None
        if said.get(name) != have:
            raise DataError(
                f"the index has '{name}' in {said.get(name)}, it lies in {have}", where=file,
                fix="Index and files are not of one checkpoint.",
            )  # fmt: skip


def _by_token(
    folder: Path,
    tensors: Mapping[str, Tensor],
    rows: int,
    also: Sequence[str],
    leave: Sequence[str],
) -> dict[str, str]:
    """Name to ``embedding`` or ``head`` of all that has a row a token."""
    found: dict[str, str] = {}
    for name, tensor in tensors.items():
        if name in leave or not tensor.shape:
            continue
        kind = "embedding" if _EMBEDDING.fullmatch(name) else "head"
        known = kind == "embedding" or name in also or _HEAD.fullmatch(name) is not None
        if known and tensor.shape[0] != rows:
            raise DataError(
                f"config.json says {rows} tokens, '{name}' has {tensor.shape[0]} rows",
                where=folder,
                fix="Configuration and weights are not of one checkpoint; correct the wrong one.",
            )
        if known:
            found[name] = kind
        elif tensor.shape[0] == rows:
            raise DataError(
                f"'{name}' has a row for every token too, and is not known", where=folder,
                value=tensor.shape, fix="Say --also NAME to grow it, --leave NAME if it is chance.",
            )  # fmt: skip
    if "embedding" not in found.values():
        raise DataError("no embedding among the tensors", where=folder,
                        value=sorted(tensors)[:4])  # fmt: skip
    return found


def _tied(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    grown: Mapping[str, str],
) -> tuple[bool, tuple[str, ...]]:
    """Whether the head is the embedding, by configuration and tensors, which must agree."""
    heads = [n for n, kind in grown.items() if kind == "head" and n.endswith(".weight")]
    said = config.get("tie_word_embeddings")
    if said is None and config.get("model_type") in _UNTIED:
        said = False
    if not heads and said is False:
        raise DataError(
            "config.json says that the output projection is its own, and there is none",
            where=folder, value=f"tie_word_embeddings={config.get('tie_word_embeddings')}",
            fix="Set tie_word_embeddings to true, or add the missing weights.",
        )  # fmt: skip
    if not heads or not said:
        return not heads, ()
    embedding = next(n for n, kind in grown.items() if kind == "embedding")
    for head in heads:
        if not _same_bytes(tensors[embedding], tensors[head]):
            raise DataError(
                f"config.json says that '{head}' is '{embedding}', and they differ", where=folder,
                value="tie_word_embeddings=true", fix="Set tie_word_embeddings to false.",
            )  # fmt: skip
    return True, tuple(heads)


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    pairs = zip(
        raw_chunks(one.file, one.start, one.end),
        raw_chunks(other.file, other.start, other.end),
        strict=True,
    )
    return all(a == b for a, b in pairs)
