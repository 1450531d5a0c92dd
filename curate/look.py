"""Look into token shards: from a position to its page, and documents as text."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import UsageError
from yanmo.order import source_codes
from yanmo.recipe import did_you_mean
from yanmo.shards import open_shards

from .pack import shards_tokenizer
from .pieces import pieces


def where(folder: Path, position: int, *, context: int = 20) -> dict[str, Any]:
    """Walk from a token position to document, source and page.

    Args:
        folder: shards.
        position: token position over all parts.
        context: tokens shown on either side.

    Returns:
        The fields of :class:`yanmo.shards.Place`, and ``before``, ``token``, ``after`` as text.
    """
    shards = open_shards(folder)
    place = shards.where(position)
    tokenizer = shards_tokenizer(folder)
    low, high = max(place.start, position - context), min(place.end, position + 1 + context)
    pieces = {
        "before": shards.read(low, position),
        "token": shards.read(position, position + 1),
        "after": shards.read(position + 1, high),
    }
    texts = {name: tokenizer.decode(ids, skip_special=False) for name, ids in pieces.items()}
    return {**dataclasses.asdict(place), **texts}


def peek(
    folder: Path,
    *,
    first: int = 0,
    documents: int = 3,
    max_tokens: int = 200,
    source: str | None = None,
    boundaries: bool = False,
) -> list[dict[str, Any]]:
    """Decode some documents.

    Args:
        folder: shards.
        first: number of the first document; of this source's documents, if one is named.
        documents: how many.
        max_tokens: tokens decoded of each.
        source: look only at this source.
        boundaries: also cut the text between its tokens.

    Returns:
        For each: the fields of :class:`yanmo.shards.Place`, ``tokens``, ``text``, ``cut``: whether
        there is more; with ``boundaries`` also ``pieces``.

    Raises:
        UsageError: there is no such source.
    """
    shards = open_shards(folder)
    tokenizer = shards_tokenizer(folder)
    chosen: Sequence[int] = range(shards.documents)
    if source is not None:
        names, codes = source_codes(shards)
        if source not in names:
            raise UsageError("no such source in the shards", where=folder, value=source,
                             fix=did_you_mean(source, names))  # fmt: skip
        chosen = np.flatnonzero(codes == names.index(source)).tolist()
    found = []
    for number in chosen[first : first + documents]:
        ids = shards.document(number)
        start = int(shards.document_ends[number]) - len(ids)
        text = tokenizer.decode(ids[:max_tokens], skip_special=False)
        row = dataclasses.asdict(shards.where(start))
        row |= {"tokens": len(ids), "text": text, "cut": len(ids) > max_tokens}
        if boundaries:
            row["pieces"] = pieces(tokenizer, ids[:max_tokens].tolist())
        found.append(row)
    return found
