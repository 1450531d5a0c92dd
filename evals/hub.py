"""The ``transformers`` engine: any causal model that the installed transformers knows.

Batches are padded on the right, which a causal model never sees. It is the plain path: slower
than the packed engine and the oracle it is tested against.
"""

import copy
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo.errors import DataError, MissingDependency, UsageError
from yanmo.files import read_json
from yanmo.vocab.load import Tokenizer

from .score import Floats, Ids, LoadOptions, ModelInfo, context_limit, weights_sha256


class TransformersScorer:
    """Scores with ``AutoModelForCausalLM``; see ``score.Scorer`` for the methods."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, options: LoadOptions) -> None:
        self.tokenizer = tokenizer
        self.device = torch.device(options.device)
        digest = weights_sha256(folder)
        self.model = _load(folder, options).to(self.device).eval()
        config = read_json(folder / "config.json")
        self.info = ModelInfo(
            name=folder.resolve().name,
            path=str(folder),
            architecture=str((config.get("architectures") or ["?"])[0]),
            parameters=sum(p.numel() for p in self.model.parameters()),
            sha256=digest,
            tokenizer_sha256=tokenizer.sha256,
            dtype=options.dtype,
            device=self.device.type,
            engine="transformers",
            max_tokens=context_limit(config, options.max_tokens),
        )

    @torch.inference_mode()
    def prefill(self, ids: Ids) -> object:
        """See ``score.Scorer``."""
        inputs = torch.tensor([list(ids)], device=self.device)
        out = self.model(input_ids=inputs, use_cache=True, logits_to_keep=1)
        return getattr(out, _cache_name(self.model))

    def next_logprobs(self, suffixes: Sequence[Ids], prefix: object | None = None) -> Floats:
        """See ``score.Scorer``."""
        last = [len(suffix) - 1 for suffix in suffixes]
        keep = sorted(set(last))
        logits = self._logits(suffixes, prefix, keep)
        column = torch.tensor([keep.index(index) for index in last], device=self.device)
        rows = torch.arange(len(last), device=self.device)
        return _numpy(logits[rows, column].float().log_softmax(-1))

    def token_logprobs(
        self, sequences: Sequence[Ids], starts: Sequence[int], prefix: object | None = None
    ) -> list[Floats]:
        """See ``score.Scorer``."""
        first, longest = min(starts) - 1, max(len(sequence) for sequence in sequences)
        logits = self._logits(sequences, prefix, list(range(first, longest)))
        scored = []
        for row, (sequence, start) in enumerate(zip(sequences, starts, strict=True)):
            targets = torch.tensor(sequence[start:], dtype=torch.int64, device=self.device)
            picked = logits[row, start - 1 - first : len(sequence) - 1 - first].float()
            rows = torch.arange(len(targets), device=self.device)
            scored.append(_numpy(picked.log_softmax(-1)[rows, targets]))
        return scored

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Ids], max_tokens: int, stop: Ids) -> list[list[int]]:
        """See ``score.Scorer``."""
        found = []
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=self.device)
            out = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens,
                do_sample=False, eos_token_id=list(stop) or None, pad_token_id=0,
                temperature=None, top_p=None, top_k=None,
            )  # fmt: skip
            new = out[0, len(prompt) :].tolist()
            found.append(new[:-1] if new and new[-1] in stop else new)
        return found

    @torch.inference_mode()
    def _logits(
        self, sequences: Sequence[Ids], prefix: Any | None, keep: list[int]
    ) -> torch.Tensor:
        """Logits (N, len(keep), V) at the kept positions of right-padded sequences."""
        longest = max(len(sequence) for sequence in sequences)
        inputs = torch.zeros(len(sequences), longest, dtype=torch.int64)
        for row, sequence in enumerate(sequences):
            inputs[row, : len(sequence)] = torch.tensor(list(sequence))
        options: dict[str, Any] = {"use_cache": False}
        if prefix is not None:
            # A cache grows in place, so every batch works on a copy of the prefix's.
            cache: Any = copy.deepcopy(prefix)
            cache.batch_repeat_interleave(len(sequences))
            options = {"use_cache": True, _cache_name(self.model): cache}
        kept = torch.tensor(keep, device=self.device)
        out = self.model(input_ids=inputs.to(self.device), logits_to_keep=kept, **options)
        logits: torch.Tensor = out.logits
        if logits.shape[1] != len(keep):  # an architecture that ignores the argument
            logits = logits[:, kept]
        return logits


def _cache_name(model: Any) -> str:
    """What the model calls its key-value cache: ``cache`` since transformers 5.24."""
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def _load(folder: Path, options: LoadOptions) -> Any:
    try:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingDependency("the package transformers is not installed",
                                fix="pip install 'yanmo[train]'") from None  # fmt: skip
    try:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        return AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=getattr(torch, options.dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except ValueError as error:
        raise UsageError(f"transformers does not know this model ({error})",
                         where=folder) from None  # fmt: skip
    except OSError as error:
        raise DataError(f"the model cannot be loaded ({error})", where=folder) from None


def _numpy(values: torch.Tensor) -> Floats:
    return np.asarray(values.cpu().numpy(), dtype=np.float32)
