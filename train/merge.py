"""`yanmo train merge`: one model folder out of a base and an adapter."""

from pathlib import Path
from typing import Any

import torch

from yanmo.errors import DataError
from yanmo.files import atomic_folder, write_json

from .checkpoint import resolve
from .folder import load_model, save_model
from .lora import LoraEmbedding, LoraLinear, load_adapter, merged, read_adapter

# Ids that the check reads; any will do.
PROBE = 8


def merge_adapter(base: Path, adapter: Path, out: Path) -> dict[str, Any]:
    """Merge, write, read back, and compare the logits with those of base and adapter.

    Args:
        base: model folder, with its tokenizer.
        adapter: adapter folder, ours or peft's.
        out: model folder to write.

    Returns:
        ``adapted`` (layers), ``largest_difference`` (of a logit, merged against unmerged).

    Raises:
        DataError: a folder is damaged, or the two do not fit.
    """
    source = resolve(base)
    model = load_model(source)
    load_adapter(model, read_adapter(adapter))
    weights = merged(model, dict(model.named_parameters()))
    probe = torch.arange(PROBE)[None] % model.config.vocab_size
    with atomic_folder(out) as folder:
        save_model(model.config, weights, folder, tokenizer=source)
        write_json(folder / "yanmo" / "lineage.json", {"base": str(base), "adapter": str(adapter)})
        with torch.no_grad():
            wanted = model.eval().logits(probe)
            difference = (load_model(folder).logits(probe) - wanted).abs().max().item()
        if not difference <= 1e-4 * wanted.abs().max().item():
            raise DataError("the merged model computes other logits", where=out, value=difference)
    adapted = sum(isinstance(m, LoraLinear | LoraEmbedding) for m in model.modules())
    return {"adapted": adapted, "largest_difference": difference}
