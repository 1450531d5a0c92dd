"""Sources repeated and sampled by an index; the shards stay as they are."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanmo import recipe as recipes
from yanmo.errors import RecipeError
from yanmo.shards import Shards, open_shards
from yanmo.train.data import Loader
from yanmo.train.mixture import choose_documents, make_loader
from yanmo.train.recipe import Pretrain


@pytest.fixture(scope="module")
def shards(
    tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path], documents: Any
) -> Shards:
    folder = tmp_path_factory.mktemp("s") / "s"
    return open_shards(write_shards(folder, [documents(60, seed=1), documents(60, seed=2)]))


def _chosen(shards: Shards, seed: int = 0, **epochs: float) -> Counter[int]:
    loader = Loader(shards, sequence_tokens=24, seed=0)
    return Counter(choose_documents(loader, epochs, seed).tolist())


def test_sources_are_read_as_often_as_asked(shards: Shards) -> None:
    found = _chosen(shards, web=2.0, books=0.0)
    assert found == Counter(dict.fromkeys(range(0, 120, 2), 2))
    assert _chosen(shards, web=1.0) == Counter(range(120))


def test_a_fraction_is_of_tokens_fixed_by_the_seed(shards: Shards) -> None:
    lengths = np.diff(shards.document_ends, prepend=0)
    found = _chosen(shards, books=0.0, web=1.25)
    twice = [n for n, times in found.items() if times == 2]
    web = lengths[::2].sum()
    assert 0.25 * web <= sum(lengths[twice]) <= 0.25 * web + lengths.max()
    assert _chosen(shards, books=0.0, web=1.25) == found
    assert _chosen(shards, seed=1, books=0.0, web=1.25) != found


def test_an_epoch_holds_the_mixture(shards: Shards) -> None:
    loader = make_loader(shards, sequence_tokens=24, seed=0, epochs={"web": 2.0, "books": 0.5})
    for epoch in (0, 1):
        first = epoch * loader.sequences
        positions = loader.batch(range(first, first + loader.sequences)).positions
        found = Counter(positions[positions >= 0].tolist())
        owners = loader.document_of(np.array(list(found)))
        for position, owner in zip(found, owners, strict=True):
            assert found[position] == (2 if owner % 2 == 0 else 1)
        assert sum(found.values()) == loader.targets


def test_what_is_not_there_is_refused(shards: Shards) -> None:
    with pytest.raises(RecipeError, match=r"no such source.*Did you mean 'books'"):
        _chosen(shards, book=2.0)
    with pytest.raises(RecipeError, match="reads nothing"):
        _chosen(shards, web=0.0, books=0.0)
    with pytest.raises(RecipeError, match="less than never"):
        recipes.load(Pretrain, overrides=["data.sources.web=-1.0"])


def test_a_mixture_stands_in_the_recipe() -> None:
    recipe = recipes.load(Pretrain, overrides=["data.sources.web=0.5"])
    assert recipe.data.sources == {"web": 0.5}
    assert "web = 0.5" in recipes.dumps(recipe)
