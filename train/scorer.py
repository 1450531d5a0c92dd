"""A model that gives a number instead of the next token: reward models, and PPO's value model.

Shapes: ``B`` sequences, ``T`` tokens, ``D`` width.

On disk it is a Hugging Face folder of ``…ForSequenceClassification`` with one label (``model.*``
and ``score.weight``), which transformers opens, and ``yanmo/reward.json`` with the bias that makes
the mean reward of reference answers 0 (PPO reads absolute rewards, InstructGPT's section 3.5).
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from yanmo.errors import DataError
from yanmo.files import read_json, write_json
from yanmo.vocab.folder import TOKENIZER_FILES

from .attention import Documents
from .folder import WEIGHTS, load_config, load_model, weight_files
from .model import Llama

HEAD: Final = "score.weight"
FACTS: Final = "reward.json"


class Scorer(nn.Module):
    """A backbone and a linear head to one number, computed in float32 at least.

    Attributes:
        backbone: a causal model; its output projection is not used.
        score: the head's weight, (1, D).
        bias: what is added to every score; a number, not trained.
    """

    def __init__(self, backbone: Llama, *, seed: int = 0, bias: float = 0.0) -> None:
        """Put a fresh head on a model: normal with 1/sqrt(D + 1).

        Source: lm-human-preferences (Ziegler et al. 2019).
        """
        super().__init__()
        self.backbone, self.bias = backbone, bias
        width = backbone.config.hidden_size
        generator = torch.Generator().manual_seed(seed)
        fresh = torch.empty(1, width).normal_(0.0, (width + 1) ** -0.5, generator=generator)
        self.score = nn.Parameter(fresh.to(backbone.model.norm.weight.dtype))

    def forward(self, tokens: Tensor, documents: Documents | None = None) -> Tensor:
        """The score after each token; the reward of a text is the score at its last token.

        Args:
            tokens: (B, T) int64 ids.
            documents: boundaries; what stands behind the end of a text never reaches it.

        Returns:
            (B, T), float32 or wider.
        """
        states = self.backbone.hidden(tokens, documents)
        # A bfloat16 head rounds the small margins that ranking lives from.
        wide = torch.promote_types(states.dtype, torch.float32)
        with torch.autocast(states.device.type, enabled=False):
            return (states.to(wide) @ self.score.to(wide).T).squeeze(-1) + self.bias

    def rewards(self, tokens: Tensor, ends: Tensor, documents: Documents | None = None) -> Tensor:
        """(B,): the score at the last token of each text.

        Args:
            tokens: (B, T) int64 ids.
            ends: (B,) int64: index of the last real token, counted, never looked up by pad id.
            documents: boundaries.
        """
        scores: Tensor = self(tokens, documents)
        return scores.gather(1, ends[:, None]).squeeze(1)


def save_scorer(
    scorer: Scorer,
    folder: Path,
    *,
    tokenizer: Path | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a scorer's folder (not atomic by itself, see ``yanmo.files.atomic_folder``).

    Args:
        scorer: the model.
        folder: made if missing.
        tokenizer: folder whose tokenizer files are copied.
        weights: of the backbone by Hugging Face's names, where they are not its own parameters
            (adapters merged).
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = dict(scorer.backbone.named_parameters()) if weights is None else weights
    weights = {n: v for n, v in own.items() if n.startswith("model.")}
    kept = {n: v.detach().cpu().contiguous() for n, v in {**weights, HEAD: scorer.score}.items()}
    table = scorer.backbone.config.to_hf()
    table["architectures"] = [
        name.replace("ForCausalLM", "ForSequenceClassification") for name in table["architectures"]
    ]
    table["num_labels"], table["id2label"] = 1, {"0": "reward"}
    table["dtype"] = str(kept[HEAD].dtype).removeprefix("torch.")
    write_json(folder / "config.json", table)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "yanmo").mkdir(exist_ok=True)
    write_json(folder / "yanmo" / FACTS, {"bias": scorer.bias})
    if tokenizer is not None:
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)


def load_scorer(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Scorer:
    """Read a scorer.

    Raises:
        DataError: the folder holds no scorer, or a weight is missing or of another shape.
    """
    folder = Path(folder)
    config = load_config(folder)
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        weights |= load_file(path)
    head = weights.pop(HEAD, None)
    if head is None:
        raise DataError("the model has no head for scores", where=folder,
                        fix="Train one with `yanmo train reward`.")  # fmt: skip
    # The output projection is not part of a scorer; a tied model needs none.
    backbone = Llama(dataclasses.replace(config, tie_word_embeddings=True)).to(dtype)
    if head.shape != (1, config.hidden_size):
        raise DataError(f"weight '{HEAD}' should have shape {(1, config.hidden_size)}",
                        where=folder, value=tuple(head.shape))  # fmt: skip
    missing, unknown = backbone.load_state_dict(
        {n: v.to(dtype) for n, v in weights.items()}, strict=False
    )
    if missing or unknown:
        raise DataError("weights are missing or have no place", where=folder,
                        value=[*missing, *unknown][:5])  # fmt: skip
    facts = folder / "yanmo" / FACTS
    scorer = Scorer(backbone, bias=float(read_json(facts)["bias"]) if facts.is_file() else 0.0)
    with torch.no_grad():
        scorer.score.copy_(head)
    return scorer


def scorer_from(folder: str | Path, *, seed: int, dtype: torch.dtype = torch.float32) -> Scorer:
    """A scorer with a fresh head on a causal model, or a stored scorer as it is.

    Raises:
        DataError: see :func:`yanmo.train.folder.load_model`.
    """
    names = read_json(Path(folder) / "config.json").get("architectures") or [""]
    if names[0].endswith("ForSequenceClassification"):
        return load_scorer(folder, dtype=dtype)
    return Scorer(load_model(folder, dtype=dtype), seed=seed)
