"""The loader: every token once an epoch, and an order that is one number's function."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yanmo.errors import DataError
from yanmo.order import shards_identity
from yanmo.shards import Shards, open_shards
from yanmo.train.data import Batch, Loader
from yanmo.train.loss import IGNORED

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Shards:
    """Three parts; documents from one id to five sequences long."""
    parts = [documents(30, seed=i, longest=80) for i in range(3)]
    return open_shards(write_shards(tmp_path_factory.mktemp("shards") / "s", parts))


def _loader(shards: Shards, seed: int | None = 0) -> Loader:
    return Loader(shards, sequence_tokens=16, seed=seed)


def _all_tokens(shards: Shards) -> np.ndarray:
    return np.concatenate([shards.ids(i) for i in range(len(shards.parts))])


def test_every_token_is_a_target_exactly_once_an_epoch(shards: Shards) -> None:
    loader = _loader(shards)
    for epoch in (0, 1):
        first = epoch * loader.sequences
        batch = loader.batch(range(first, first + loader.sequences))
        kept = batch.labels[batch.labels != IGNORED]
        assert Counter(kept.tolist()) == Counter(_all_tokens(shards).tolist())
        assert batch.targets == loader.targets == shards.tokens == len(kept)
        seen = batch.positions[batch.positions >= 0]
        assert sorted(seen.tolist()) == list(range(shards.tokens))


def test_each_label_follows_its_input_in_its_document(shards: Shards) -> None:
    """Checked token by token against the documents themselves."""
    loader = _loader(shards)
    batch = loader.batch(range(loader.sequences))
    everything, ends = _all_tokens(shards), set(shards.document_ends.tolist())
    starts = batch.documents.starts.flatten().tolist()
    for flat, position in enumerate(batch.positions.tolist()):
        token, label = batch.tokens.flatten()[flat].item(), batch.labels.flatten()[flat].item()
        if position < 0:
            assert label == IGNORED
            continue
        assert label == everything[position]
        opens = position == 0 or position in ends
        assert token == (loader.opening if opens else everything[position - 1])
        if starts[flat] != flat % 16:  # not the first of its piece
            assert batch.positions[flat - 1] == position - 1
        elif not opens:
            assert position - _document_start(ends, position) in range(16, 16 * 9, 16)


def _document_start(ends: set[int], position: int) -> int:
    return max((end for end in ends if end <= position), default=0)


def test_two_documents_never_share_a_boundary(shards: Shards) -> None:
    loader = _loader(shards)
    batch = loader.batch(range(loader.sequences))
    owners = loader.document_of(batch.positions).reshape(-1, 16)
    for row, counts in enumerate(batch.documents.lengths):
        at = 0
        for count in counts:
            assert len(set(owners[row, at : at + count].tolist())) == 1
            at += count


def test_order_depends_on_content_seed_and_epoch(shards: Shards) -> None:
    def labels(loader: Loader, epoch: int) -> list[list[int]]:
        first = epoch * loader.sequences
        rows: list[list[int]] = loader.batch(range(first, first + loader.sequences)).labels.tolist()
        return rows

    base = labels(_loader(shards), 0)
    assert labels(_loader(shards), 0) == base
    assert labels(_loader(shards), 1) != base
    assert labels(_loader(shards, seed=1), 0) != base


def test_equal_shards_written_again_keep_the_order(
    tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    parts = [documents(20, seed=5)]
    first, second = (open_shards(write_shards(tmp_path / n, parts)) for n in "ab")
    other = open_shards(write_shards(tmp_path / "c", [documents(20, seed=6)]))
    assert shards_identity(first) == shards_identity(second)
    assert shards_identity(first) != shards_identity(other)
    a, b = (_loader(s).batch(range(4)).tokens for s in (first, second))
    assert torch.equal(a, b)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro", [1, 2])
def test_global_batches_are_the_same_for_any_split(shards: Shards, ranks: int, micro: int) -> None:
    """Rank r of W takes rows r, r + W, …; together they are the global batch, step after step."""
    loader = _loader(shards)
    for step in range(2 * loader.sequences // 8):
        rows = range(step * 8, step * 8 + 8)
        whole = loader.batch(rows)
        got: list[tuple[int, list[int]]] = []
        for rank in range(ranks):
            mine = rows[rank::ranks]
            for at in range(0, len(mine), micro):
                part = loader.batch(mine[at : at + micro])
                got += zip(mine[at : at + micro], part.labels.tolist(), strict=True)
        assert [labels for _, labels in sorted(got)] == whole.labels.tolist()


def test_a_batch_may_straddle_epochs(shards: Shards) -> None:
    loader = _loader(shards)
    last = loader.sequences - 1
    batch = loader.batch([last, last + 1])
    assert torch.equal(batch.labels[0], loader.batch([last]).labels[0])
    assert torch.equal(batch.labels[1], loader.batch([loader.sequences]).labels[0])


def test_without_bos_documents_open_with_eos(
    tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    path = write_shards(tmp_path / "s", [documents(9, seed=1)], bos_id=None)
    loader = _loader(open_shards(path), seed=None)
    assert loader.opening == 2
    assert loader.batch([0]).tokens[0, 0].item() == 2


def test_evaluation_keeps_the_documents_in_order(shards: Shards) -> None:
    loader = _loader(shards, seed=None)
    positions = loader.batch(range(loader.sequences)).positions
    full = positions.reshape(-1, 16)[:, 0].tolist()
    windows = int((np.diff(shards.document_ends, prepend=0) // 16).sum())
    assert full[:windows] == sorted(full[:windows])


def test_a_row_leads_to_its_page(shards: Shards) -> None:
    loader = _loader(shards)
    batch = loader.batch([3])
    places = loader.places(batch, range(16))
    assert len(places) == sum(1 for n in set(loader.document_of(batch.positions)) if n >= 0)
    for place in places:
        ids = shards.document(place.document)
        assert place.id == f"d{int(place.part[5:10])}-{place.row}"
        assert place.end - place.start == len(ids)


def test_sources_and_bytes_are_per_document(shards: Shards) -> None:
    loader = _loader(shards)
    names, codes = loader.sources
    assert sorted(names) == ["books", "web"]
    assert [names[c] for c in codes[:3]] == ["web", "books", "web"]
    assert len(codes) == shards.documents
    lengths = np.diff(shards.document_ends, prepend=0)
    assert loader.text_bytes.tolist() == (3 * (lengths - 1)).tolist()


def test_an_id_outside_the_vocabulary_names_the_document(
    tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    path = write_shards(tmp_path / "s", [documents(9, seed=1)])
    damaged = np.fromfile(path / "part-00000.bin", np.uint16)
    damaged[0] = 60_000
    damaged.tofile(path / "part-00000.bin")
    loader = _loader(open_shards(path))
    with pytest.raises(DataError, match=r"d0-0.*vocabulary.*60000"):
        loader.batch(range(loader.sequences))


def test_a_batch_on_the_cpu_stays_itself(shards: Shards) -> None:
    batch: Batch = _loader(shards).batch([0, 1])
    assert batch.to(torch.device("cpu")) is batch
    assert batch.tokens.dtype == batch.labels.dtype == torch.int64
    assert batch.tokens.shape == batch.labels.shape == (2, 16)
