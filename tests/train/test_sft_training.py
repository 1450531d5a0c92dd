"""Fine-tuning computes what it should: packed as alone, split as whole, as transformers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from yanmo.train.distributed import World
from yanmo.train.folder import load_model
from yanmo.train.loss import IGNORED
from yanmo.train.model import Llama
from yanmo.train.sft_data import Corpus
from yanmo.train.sft_feed import DialogueFeed
from yanmo.train.sft_noise import Neftune
from yanmo.train.sft_recipe import Dialogues
from yanmo.train.step import accumulate

from .tiny_chats import corpus_of, some_dialogues, write_model

ONE = World(torch.device("cpu"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture(scope="module")
def corpus(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus_of(model, some_dialogues(12, seed=3), tmp_path_factory.mktemp("data"))


def feed_of(corpus: Corpus, model: Path, **data: Any) -> DialogueFeed:
    settings = Dialogues(max_tokens=192, **data)
    return DialogueFeed(corpus, settings, seed=0, pad_id=2, tokenizer=model)


def gradients(
    model: Llama, feed: DialogueFeed, *, micro: int = 1 << 20
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of an epoch as one global batch."""
    model.zero_grad(set_to_none=True)
    rows = range(feed.sequences)
    batches = [feed.batch(rows[at : at + micro]) for at in range(0, len(rows), micro)]
    done = accumulate(model, batches, ONE)
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return done.loss, found


def near(a: tuple[float, dict[str, Tensor]], b: tuple[float, dict[str, Tensor]]) -> None:
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    assert a[1].keys() == b[1].keys()
    for name, value in a[1].items():
        assert (value - b[1][name]).abs().max().item() <= 1e-10, name


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_packed_dialogues_are_as_if_alone(model: Path, corpus: Corpus, backend: str) -> None:
    """Loss and gradients in float64, rows of several dialogues against one dialogue a row."""
    net = load_model(model, dtype=torch.float64)
    net.backend = backend
    packed, alone = (feed_of(corpus, model, packing=p) for p in (True, False))
    assert packed.sequences < alone.sequences
    assert max(len(row) for row in packed.batch(range(packed.sequences)).documents.lengths) > 1
    near(gradients(net, packed), gradients(net, alone))
    near(gradients(net, alone, micro=1), gradients(net, alone))


def test_micro_batches_are_the_whole(model: Path, corpus: Corpus) -> None:
    """Though their numbers of targets and their widths differ."""
    net = load_model(model, dtype=torch.float64)
    feed = feed_of(corpus, model)
    for micro in (1, 2, 3):
        near(gradients(net, feed, micro=micro), gradients(net, feed))


def test_dialogues_of_one_weight_are_a_mean_of_means(model: Path, corpus: Corpus) -> None:
    """The gradient is the mean of the gradients of each dialogue's own mean loss."""
    net = load_model(model, dtype=torch.float64)
    alone = feed_of(corpus, model, packing=False)
    wanted: dict[str, Tensor] = {}
    for row in range(alone.sequences):
        net.zero_grad(set_to_none=True)
        accumulate(net, [alone.batch([row])], ONE)
        for name, p in net.named_parameters():
            assert p.grad is not None
            wanted[name] = wanted.get(name, 0) + p.grad / alone.sequences
    for micro in (1, 100):
        weighed = feed_of(corpus, model, loss_weight="example")
        found = gradients(net, weighed, micro=micro)[1]
        for name, value in wanted.items():
            assert (value - found[name]).abs().max().item() <= 1e-10, name
    by_token = gradients(net, feed_of(corpus, model))[1]
    assert any((wanted[n] - by_token[n]).abs().max().item() > 1e-4 for n in wanted)


def test_the_loss_is_that_of_transformers(model: Path, corpus: Corpus) -> None:
    """Padded dialogues with labels of -100, by a program that shares nothing with ours."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    rows, labels = [], []
    for begin, end in zip(corpus.begins, corpus.ends, strict=True):
        last = corpus.labels[end - 1]
        ids = [*corpus.tokens[begin:end].tolist(), int(last)]
        rows.append(ids)
        labels.append([-100, *corpus.labels[begin:end].tolist()])
    width = max(map(len, rows))
    padded = torch.tensor([ids + [0] * (width - len(ids)) for ids in rows])
    masked = torch.tensor([row + [-100] * (width - len(row)) for row in labels])
    seen = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rows])
    expected = theirs(input_ids=padded, attention_mask=seen, labels=masked).loss.item()
    for packing in (True, False):
        net = load_model(model, dtype=torch.float32)
        loss, _ = gradients(net, feed_of(corpus, model, packing=packing))
        assert loss == pytest.approx(expected, abs=1e-5)


def noise_of(net: Llama, feed: DialogueFeed, rows: list[int]) -> Tensor:
    """What is added to the embeddings of a batch; the layers are not computed."""
    batch, seen = feed.batch(rows), []
    handle = net.model.embed_tokens.register_forward_hook(lambda *a: seen.append(a[2]))
    net(batch.tokens, batch.labels, batch.documents)
    handle.remove()
    with torch.no_grad():
        plain = torch.nn.functional.embedding(batch.tokens, net.model.embed_tokens.weight)
    return (seen[0] - plain).detach()


def test_noise_is_scaled_by_the_length_of_each_dialogue(model: Path, corpus: Corpus) -> None:
    """``alpha / sqrt(L D)`` bounds it, and its variance is a third of that squared."""
    net, feed = load_model(model, dtype=torch.float64), feed_of(corpus, model)
    alpha, width = 5.0, net.config.hidden_size
    Neftune(alpha, seed=0, room=192).attach(net)
    net.train()
    row = next(r for r in range(feed.sequences)
               if len({*feed.batch([r]).documents.lengths[0]}) > 1)  # fmt: skip
    noise = noise_of(net, feed, [row])[0]
    at = 0
    for length in feed.batch([row]).documents.lengths[0]:
        part = noise[at : at + length]
        bound = alpha / math.sqrt(length * width)
        assert part.abs().max().item() <= bound
        assert part.abs().max().item() > 0.95 * bound
        assert part.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        at += length


def test_noise_depends_on_the_row_alone_and_is_not_there_in_evaluation(
    model: Path, corpus: Corpus
) -> None:
    net, feed = load_model(model, dtype=torch.float64), feed_of(corpus, model)
    Neftune(5.0, seed=0, room=192).attach(net)
    net.train()
    both = noise_of(net, feed, [0, 1])
    for number in (0, 1):
        alone = noise_of(net, feed, [number])[0]
        assert torch.equal(both[number, : len(alone)], alone)
    later = noise_of(net, feed, [feed.sequences])[0]  # the next epoch has other noise
    assert not torch.equal(later[:10], both[0, :10])
    net.eval()
    assert noise_of(net, feed, [0, 1]).abs().max().item() == 0.0
    net.train()
    tokens = feed.batch([0]).tokens
    with torch.no_grad():  # generation does not know rows
        embedded = net.model.embed_tokens(tokens)
    assert torch.equal(embedded, net.model.embed_tokens.weight[tokens])


def test_masked_labels_move_no_gradient(model: Path, corpus: Corpus) -> None:
    """What the user says could be anything where nothing that follows is trained."""
    net, feed = load_model(model, dtype=torch.float64), feed_of(corpus, model)
    batch = feed.batch([0])
    loss = net(batch.tokens, batch.labels, batch.documents)
    kept = np.flatnonzero(batch.labels.ravel().numpy() != IGNORED)
    assert loss.rows.tolist() == kept.tolist()
    assert loss.targets == batch.targets < batch.read
