"""More text than there is: documents put together from paragraphs of real ones, source by source.

A new document takes the place of a real one that is drawn at random: it is dealt paragraphs of the
same source until it is as long, from a shuffled deck that is shuffled again when it is used up. So
lengths, sources and the words of a paragraph are those of the real texts; a paragraph comes again
about as often as the size is a multiple of theirs, in other company, and never twice in a document
unless the deck ends in it. What goes from one paragraph to the next is lost.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final

from .texts import SEED, Workload, by_source

MIN_CHARS: Final = 200
"""Of a passage."""


def load(language: str, *, megabytes: float, seed: int = SEED) -> Workload:
    """Documents of one language, as many as asked for.

    Args:
        language: ``zh`` or ``en``.
        megabytes: millions of bytes of text.
        seed: of what is drawn.
    """
    sources, where = by_source(language)
    texts = list(recombine(sources, megabytes=megabytes, seed=seed))
    return Workload(language, texts, f"paragraphs of {where} recombined, seed {seed}", False)


def recombine(
    sources: Sequence[Sequence[str]], *, megabytes: float, seed: int = SEED
) -> Iterator[str]:
    """New documents out of real ones until there are enough.

    Args:
        sources: documents of each source.
        megabytes: millions of UTF-8 bytes.
        seed: of what is drawn.
    """
    rng = random.Random(seed)
    models: list[tuple[int, float, Iterator[str]]] = []
    for texts in sources:
        cards = [card for text in texts for card in passages(text)]
        mean = sum(len(card.encode()) for card in cards) / max(1, len(cards))
        deck = _dealt(cards, rng)
        models += [(len(text.encode()), mean, deck) for text in texts if text.strip()]
    left = megabytes * 1e6
    while left > 0:
        size, mean, deck = rng.choice(models)
        chosen: list[str] = []
        # Half a passage too long as often as half a passage too short.
        while not chosen or size > mean / 2:
            chosen.append(next(deck))
            size -= len(chosen[-1].encode())
        text = "".join(chosen).strip()
        left -= len(text.encode())
        yield text


def passages(text: str) -> list[str]:
    """Paragraphs with the blank line behind them, lines where there is none; none is lost.

    Short ones stay together up to ``MIN_CHARS``: a list of words is a list there, too.
    """
    end = "\n\n" if "\n\n" in text.strip() else "\n"
    found, held = [], ""
    for part in text.split(end):
        held += part + end
        if len(held) >= MIN_CHARS:
            found.append(held)
            held = ""
    return found + [held] * bool(held.strip())


def _dealt(cards: Sequence[str], rng: random.Random) -> Iterator[str]:
    order = list(cards)
    while True:
        rng.shuffle(order)
        yield from order
