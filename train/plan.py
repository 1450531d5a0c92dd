"""What a training run will need, before it is started: memory by what holds it, operations, hours.

What a layer keeps for its backward pass is not estimated from a formula: one and two layers of the
very model are run on fake tensors, which have shapes and no memory, and what autograd saves is
counted. The rest is arithmetic.

Three moments may be the fullest; ``K`` is what all of them hold: weights, optimiser state, copies.

    head      K + activations + gradients of earlier micro-batches + gradient and logits of the head
    layers    the same, with a layer's backward pass in place of the logits
    end       K + all gradients (+ the embedding's once more, where it is tied to the head)
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from .attention import Documents
from .config import ModelConfig
from .loss import CHUNK_BYTES
from .model import Llama
from .optim import wants_muon
from .recipe import Pretrain
from .setup import choose_trainable
from .speed import flops_per_token
from .step import computing, weight_dtype

# A frozen weight in blocks of 64 with one scale each, the scales in 8 bits: 4 + 8/64 + 32/(64·256).
# Source: QLoRA (Dettmers et al. 2023). 8 bits: a float16 scale a row is nothing.
QUANTISED_BITS: Final = {16: 16.0, 8: 8.0, 4: 4.127}
QUANTISED: Final = "_proj.weight"
PARTS: Final = ("weights", "copies", "gradients", "optimizer", "activations", "head", "backward")


@dataclass(frozen=True)
class Weights:
    """Sizes of a model's weights in bytes; ``trained`` is what has a gradient.

    Attributes:
        all: weights as they are kept.
        trained: gradients of the trained ones.
        optimizer: state of the optimiser.
        head: gradient of the output projection; 0 if it is frozen.
        tied: gradient of an embedding that is also the output projection.
    """

    all: float
    trained: int
    optimizer: int
    head: int
    tied: int


@dataclass(frozen=True)
class Activations:
    """What autograd saves in a forward pass of one micro-batch, in bytes.

    Attributes:
        per_sequence: of a sequence, all layers.
        fixed: whatever the number of sequences: weights in the narrow type.
        workspace: gradients alive at once in the backward pass of a layer, of a sequence.
    """

    per_sequence: float
    fixed: float
    workspace: float


def saved_bytes(config: ModelConfig, recipe: Pretrain, *, layers: int, sequences: int) -> int:
    """Bytes that the backward pass of a model with ``layers`` layers keeps, weights left out.

    Runs on fake tensors: no memory is used, and nothing is computed.
    """
    tokens = recipe.data.sequence_tokens
    with FakeTensorMode(), _default_dtype(weight_dtype(recipe.precision)):
        model = Llama(dataclasses.replace(config, num_hidden_layers=layers))
        choose_trainable(model, recipe)
        model.recompute = recipe.run.recompute
        model.backend = "eager" if recipe.run.attention == "eager" else "sdpa"
        ids = torch.zeros(sequences, tokens, dtype=torch.int64)
        starts = torch.zeros(sequences, tokens, dtype=torch.int64)
        documents = Documents(starts, ((tokens,),) * sequences)
        own = {_storage(p) for p in (*model.parameters(), *model.buffers())}
        seen: dict[int, int] = {}
        kept: list[Tensor] = []  # a storage must not die, or its address names another one

        def pack(value: Tensor) -> Tensor:
            if _storage(value) not in own:
                seen[_storage(value)] = value.untyped_storage().nbytes()
                kept.append(value)
            return value

        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value),
            computing(model, recipe.precision, torch.device("cpu")),
        ):
            model.hidden(ids, documents)
        return sum(seen.values())


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _storage(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def activations(config: ModelConfig, recipe: Pretrain) -> Activations:
    """Count what a micro-batch keeps, from runs with one and two layers and sequences."""
    one, two = (
        [saved_bytes(config, recipe, layers=layers, sequences=n) for n in (1, 2)]
        for layers in (1, 2)
    )
    deep = config.num_hidden_layers - 1
    at = [a + (b - a) * deep for a, b in zip(one, two, strict=True)]
    slope = float(at[1] - at[0])
    width = 2 if recipe.precision == "bfloat16" else weight_dtype(recipe.precision).itemsize
    inner = 3 * config.intermediate_size + 2 * config.hidden_size
    workspace = inner * width * recipe.data.sequence_tokens
    if recipe.run.recompute:  # a layer's activations are there again while it goes backward
        plain = dataclasses.replace(recipe, run=dataclasses.replace(recipe.run, recompute=False))
        workspace += saved_bytes(config, plain, layers=2, sequences=1)
        workspace -= saved_bytes(config, plain, layers=1, sequences=1)
    return Activations(slope, max(at[0] - slope, 0.0), workspace)


def weights(config: ModelConfig, recipe: Pretrain, *, bits: int = 16) -> Weights:
    """Sizes of weights, gradients and optimiser state.

    Args:
        config: the model.
        recipe: says what is trained, how, and in which precision.
        bits: of the frozen matrices of the layers: 16 means as they are; 8 or 4 quantised, for
            programs that can (this package trains on whole weights only).
    """
    dtype = weight_dtype(recipe.precision)
    with torch.device("meta"):
        model = Llama(config).to(dtype)
        choose_trainable(model, recipe)
    total, trained, state = 0.0, 0, 0
    for name, value in model.named_parameters():
        size = value.numel() * dtype.itemsize
        if value.requires_grad:
            muon = recipe.optimizer.kind == "muon" and wants_muon(name, value)
            trained, state = trained + size, state + size * (1 if muon else 2)
            total += size
        elif bits < 16:
            kept = QUANTISED_BITS[bits] if name.endswith(QUANTISED) else 16.0
            total += value.numel() * kept / 8
        else:
            total += size
    rows = sum(p.numel() for p in model.head.parameters() if p.requires_grad)
    head = config.vocab_size * config.hidden_size * dtype.itemsize if rows else 0
    return Weights(total, trained, state, head, head if config.tie_word_embeddings else 0)


def memory(
    config: ModelConfig,
    recipe: Pretrain,
    *,
    micro_sequences: int,
    processes: int = 1,
    bits: int = 16,
    counted: tuple[Weights, Activations] | None = None,
) -> dict[str, float]:
    """Bytes at the fullest moment of a step on one device, by what holds them.

    Args:
        config: the model.
        recipe: of the run; its ``run.device`` says how many logits are held at once.
        micro_sequences: sequences of a forward pass.
        processes: devices that share the run.
        bits: see :func:`weights`.
        counted: what :func:`weights` and :func:`activations` gave, if known.

    Returns:
        One number for each of ``PARTS``, and their sum as ``total``.
    """
    sizes, kept = counted or (weights(config, recipe, bits=bits), activations(config, recipe))
    share = processes if recipe.run.parallel == "shard" else 1
    tokens = micro_sequences * recipe.data.sequence_tokens
    compute = 2 if recipe.precision == "bfloat16" else weight_dtype(recipe.precision).itemsize
    narrow = recipe.precision == "bfloat16"
    # The head in bfloat16, and a product before it is added to the gradient.
    copies = config.vocab_size * config.hidden_size * 4 if narrow else 0
    mine = -(-recipe.batch_sequences // processes)
    again = sizes.trained / share if mine > micro_sequences else 0.0  # gradients wait for the next
    chunk = CHUNK_BYTES["cuda" if recipe.run.device.startswith("cuda") else "cpu"]
    logits = min(chunk, tokens * config.vocab_size * 4) * (1.5 if narrow else 1) + copies
    states = tokens * config.hidden_size * compute
    always = {"weights": sizes.all / share, "optimizer": sizes.optimizer / share,
              "copies": kept.fixed + (_unsharded(config, compute) if share > 1 else 0)}  # fmt: skip
    forward = {"activations": kept.per_sequence * micro_sequences, "gradients": again}
    moments = (
        {**forward, "head": sizes.head + states + logits, "backward": 0},
        {**forward, "head": sizes.head + states, "backward": kept.workspace * micro_sequences},
        {"activations": 0, "gradients": sizes.trained / share, "head": 0, "backward": sizes.tied},
    )
    fullest = max(moments, key=lambda moment: sum(moment.values()))
    found = {name: float((always | fullest)[name]) for name in PARTS}
    return {**found, "total": sum(found.values())}


def _unsharded(config: ModelConfig, itemsize: int) -> int:
    """FSDP: the layer that computes and the next one are whole, and so are embedding and head."""
    layer = config.hidden_size * (
        2 * config.query_width + 2 * config.key_width + 3 * config.intermediate_size
    )
    ends = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    return (2 * layer + ends) * itemsize


def largest_micro(
    config: ModelConfig,
    recipe: Pretrain,
    limit: float,
    counted: tuple[Weights, Activations],
    *,
    processes: int = 1,
) -> int:
    """The most sequences of a forward pass that fit into ``limit`` bytes; 0: not even one.

    Args:
        config: the model.
        recipe: of the run.
        limit: bytes of a device.
        counted: what :func:`weights` and :func:`activations` gave.
        processes: devices that share the run.
    """
    low, high = 0, max(recipe.batch_sequences // processes, 1)
    while low < high:
        middle = (low + high + 1) // 2
        need = memory(config, recipe, micro_sequences=middle, processes=processes,
                      counted=counted)["total"]  # fmt: skip
        low, high = (middle, high) if need <= limit else (low, middle - 1)
    return low


def work(config: ModelConfig, recipe: Pretrain, tokens: int | None) -> Mapping[str, Any]:
    """Floating-point operations of a run of ``tokens`` tokens.

    Returns:
        ``{"flops_per_token", "flops"}`` by the usual convention (recomputed ones do not count), and
        ``hardware_flops``, where they do; ``None`` where the tokens are not known.
    """
    per_token = flops_per_token(config, recipe.data.sequence_tokens)
    again = 4 / 3 if recipe.run.recompute else 1.0
    flops = None if tokens is None else per_token * tokens
    return {"flops_per_token": per_token, "flops": flops,
            "hardware_flops": None if flops is None else flops * again}  # fmt: skip
