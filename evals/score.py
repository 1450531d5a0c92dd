"""One door to every model that can be scored: log-probabilities of next tokens and of given texts.

A scorer takes token ids and gives float32 log-probabilities as numpy arrays; tasks never see torch.
Two engines: ``packed`` (our own model, Llama and Qwen families, no padding, shared prefixes) and
``transformers`` (every architecture that transformers itself has; the oracle in the tests).
Nothing is ever downloaded and no code of a model folder is ever run.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json, sha256_file, sha256_json
from yanmo.recipe import did_you_mean
from yanmo.vocab.load import FastEngine, Tokenizer, load_tokenizer

Floats = npt.NDArray[np.float32]
Ids = Sequence[int]

ENGINES: Final = {
    "packed": "yanmo.evals.packed:PackedScorer",
    "transformers": "yanmo.evals.hub:TransformersScorer",
}
# What the packed engine computes; every other architecture goes to transformers.
_PACKED_TYPES: Final = ("llama", "qwen2", "qwen3")
DTYPES: Final = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelInfo:
    """Identity of a loaded model: what a score depends on.

    Attributes:
        sha256: hash over the configuration and all weight files.
        tokenizer_sha256: identity of the tokenizer.
        max_tokens: longest sequence that is fed to the model.
    """

    name: str
    path: str
    architecture: str
    parameters: int
    sha256: str
    tokenizer_sha256: str
    dtype: str
    device: str
    engine: str
    max_tokens: int

    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to give equal numbers (the path may differ)."""
        return {key: value for key, value in asdict(self).items() if key not in ("path", "name")}


class Scorer(Protocol):
    """What an engine must offer."""

    info: ModelInfo
    tokenizer: Tokenizer

    def prefill(self, ids: Ids) -> object:
        """Run the model over a prefix once; the result is opaque and never changed."""
        ...

    def next_logprobs(self, suffixes: Sequence[Ids], prefix: object | None = None) -> Floats:
        """Log-probabilities of the token after each suffix: (N, V), natural logarithm.

        Args:
            suffixes: token ids that follow the prefix, none of them empty.
            prefix: result of ``prefill``.
        """
        ...

    def token_logprobs(
        self, sequences: Sequence[Ids], starts: Sequence[int], prefix: object | None = None
    ) -> list[Floats]:
        """Log-probability of each token of a sequence from its start on.

        Args:
            sequences: token ids that follow the prefix.
            starts: index of the first token to score in each, at least 1.
            prefix: result of ``prefill``.

        Returns:
            For sequence ``i`` an array of ``len(sequences[i]) - starts[i]`` values.
        """
        ...

    def generate(self, prompts: Sequence[Ids], max_tokens: int, stop: Ids) -> list[list[int]]:
        """The likeliest continuation of each prompt, token by token, without the stop id.

        Args:
            prompts: token ids, none empty.
            max_tokens: new tokens at most.
            stop: ids that end a continuation.
        """
        ...


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        engine: ``auto``, ``packed`` or ``transformers``.
        dtype: what the weights are computed in.
        device: a torch device.
        max_tokens: shorten the model's own limit.
        tokenizer: another tokenizer than the folder's own.
    """

    engine: str = "auto"
    dtype: str = "float32"
    device: str = "cpu"
    max_tokens: int | None = None
    tokenizer: str | Path | None = None


def load_scorer(path: str | Path, options: LoadOptions | None = None) -> Scorer:
    """Load a Hugging Face model folder.

    Args:
        path: folder with ``config.json``, safetensors weights and a tokenizer; or the run folder
            of a training, whose model is taken.
        options: engine, dtype, device.

    Raises:
        UsageError: no such folder, engine, dtype or device.
        DataError: the folder is incomplete, or model and tokenizer do not fit.
    """
    options = options or LoadOptions()
    folder = Path(path)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not (folder / "config.json").is_file():
        raise UsageError("no model folder (no config.json)", where=folder,
                         fix="Give a model folder, or a run of `yanmo train`.")  # fmt: skip
    if options.dtype not in DTYPES:
        raise UsageError("no such dtype", value=options.dtype,
                         fix=did_you_mean(options.dtype, DTYPES))  # fmt: skip
    config = read_json(folder / "config.json")
    engine = options.engine
    if engine == "auto":
        engine = "packed" if config.get("model_type") in _PACKED_TYPES else "transformers"
    if engine not in ENGINES:
        raise UsageError("no such engine", value=engine, fix=did_you_mean(engine, ENGINES))
    tokenizer = load_tokenizer(options.tokenizer or folder)
    forbid_network()
    import importlib

    module, _, name = ENGINES[engine].partition(":")
    kind = getattr(importlib.import_module(module), name)
    scorer: Scorer = kind(folder, tokenizer, options)
    rows = int(config.get("vocab_size", 0))
    if rows and tokenizer.vocab_size > rows:
        raise DataError(f"the tokenizer has {tokenizer.vocab_size} ids, the model {rows} rows",
                        where=folder, fix="Give the tokenizer of this model.")  # fmt: skip
    return scorer


def forbid_network() -> None:
    """Hugging Face libraries must not reach out, whatever a configuration names."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def context_limit(config: dict[str, Any], asked: int | None) -> int:
    """Tokens the model can take: its own limit, shortened by the user's."""
    own = int(config.get("max_position_embeddings") or config.get("n_positions") or 2048)
    if asked is None:
        return own
    if not 8 <= asked <= own:
        raise UsageError(f"the model takes 8 to {own} tokens", value=asked)
    return asked


def weights_sha256(folder: Path) -> str:
    """Hash over ``config.json`` and every safetensors file of a model folder.

    Raises:
        DataError: there are no safetensors files.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError("no safetensors weights", where=folder,
                        fix="Convert pickled weights first; they are never loaded.")  # fmt: skip
    parts = {file.name: sha256_file(file) for file in [folder / "config.json", *files]}
    return sha256_json(parts)


def stop_ids(tokenizer: Tokenizer, folder: Path) -> tuple[int, ...]:
    """Ids that end a continuation: the tokenizer's EOS and those of the generation config."""
    found = {tokenizer.eos_id} - {None}
    config = folder / "generation_config.json"
    if config.is_file():
        said = read_json(config).get("eos_token_id")
        found |= set(said if isinstance(said, list) else [said]) - {None}
    return tuple(sorted(index for index in found if index is not None))


def first_token(tokenizer: Tokenizer, policy: str = "auto") -> tuple[int, ...]:
    """The beginning-of-sequence id that a prompt starts with, if any.

    Args:
        tokenizer: the tokenizer.
        policy: ``auto`` does as the tokenizer does by default; ``always``; ``never``.

    Raises:
        UsageError: ``always``, and the tokenizer has none.
    """
    if policy == "always" and tokenizer.bos_id is None:
        raise UsageError("the tokenizer has no beginning-of-sequence token", value=policy)
    if policy == "never" or tokenizer.bos_id is None:
        return ()
    return (tokenizer.bos_id,) if policy == "always" or _adds_bos(tokenizer) else ()


def _adds_bos(tokenizer: Tokenizer) -> bool:
    """Whether encoding with special tokens starts with BOS; LLaMA's ``.model`` files do."""
    config = tokenizer.path.with_name("tokenizer_config.json")
    if config.is_file():
        said = json.loads(config.read_text(encoding="utf-8")).get("add_bos_token")
        if isinstance(said, bool):
            return said
    if isinstance(tokenizer.engine, FastEngine):
        ids = tokenizer.engine.fast.encode("a", add_special_tokens=True).ids
        return bool(ids and ids[0] == tokenizer.bos_id)
    return True
