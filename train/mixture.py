"""How often each source is read in an epoch. The shards hold every document once; only this list of
document numbers repeats or samples them."""

from collections.abc import Mapping

import numpy as np

from yanmo.errors import RecipeError
from yanmo.recipe import did_you_mean
from yanmo.shards import Shards

from .data import Loader
from .packing import Ints, order, order_key


def choose_documents(loader: Loader, epochs: Mapping[str, float], seed: int) -> Ints:
    """The documents of one epoch of a mixture.

    Args:
        loader: over all documents of the shards.
        epochs: per source, how often it is read in an epoch: 2.5 reads every document twice and a
            half of them once more (in tokens); sources that are not named are read once.
        seed: chooses the documents of a fraction; the same in every epoch, so that all epochs have
            the same number of sequences.

    Raises:
        RecipeError: no such source, or nothing is left.
    """
    names, source_of = loader.sources
    for name in epochs:
        if name not in names:
            raise RecipeError("no such source in the shards", where="data.sources", value=name,
                              fix=did_you_mean(name, names))  # fmt: skip
    lengths = np.diff(loader.shards.document_ends, prepend=0)
    chosen: list[Ints] = []
    for code, name in enumerate(names):
        own = np.flatnonzero(source_of == code)
        whole, part = divmod(epochs.get(name, 1.0), 1.0)
        chosen += [own] * int(whole)
        if part:
            key = order_key("mixture", loader.identity, seed, name)
            scrambled = own[order(len(own), key)]
            tokens = np.cumsum(lengths[scrambled])
            chosen.append(scrambled[: int(np.searchsorted(tokens, part * tokens[-1])) + 1])
    documents = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    if len(documents) == 0:
        raise RecipeError("the mixture reads nothing", where="data.sources", value=dict(epochs))
    return documents


def make_loader(
    shards: Shards, *, sequence_tokens: int, seed: int, epochs: Mapping[str, float]
) -> Loader:
    """A training loader over shards, with a mixture if ``epochs`` names any source."""
    loader = Loader(shards, sequence_tokens=sequence_tokens, seed=seed)
    if not epochs:
        return loader
    documents = choose_documents(loader, epochs, seed)
    return Loader(shards, sequence_tokens=sequence_tokens, seed=seed, documents=documents)
