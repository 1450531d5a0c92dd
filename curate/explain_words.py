"""The listed words of one document, for `why`: which, of what category, where, in what context."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

SHOWN_WORDS: Final = 20
SHOWN_PLACES: Final = 5
CONTEXT: Final = 8  # characters on each side


def words_of(run: Path, identity: str) -> list[dict[str, Any]]:
    """Its rows of ``words/``, in the order of the text; none where nothing was counted."""
    paths = sorted((run / "words").glob("part-*.parquet"))
    if not paths:
        return []
    return pl.scan_parquet(paths).filter(pl.col("id") == identity).collect().to_dicts()


def word_lines(found: Mapping[str, Any]) -> list[str]:
    """For a person: how many and how dense, then each word with its places.

    A place is shown in its text only where that still reads so: later steps may have cut or
    covered some of it.
    """
    rows: Sequence[Mapping[str, Any]] = found.get("words") or []
    signals = found.get("signals") or {}
    if signals.get("n_listed_words") is None:
        return []
    lines = [f"listed words: {signals['n_listed_words']:.0f} "
             f"({signals['n_listed_word_types']:.0f} different), "
             f"{signals['listed_word_density']:.4g} per 1000 characters by weight"]  # fmt: skip
    by_word: dict[tuple[str, str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_word.setdefault((row["word"], row["category"], row["weight"]), []).append(row)
    for (word, category, weight), places in list(by_word.items())[:SHOWN_WORDS]:
        at = ", ".join(f"{p['start']}–{p['end']}" for p in places[:SHOWN_PLACES])
        more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
        heavy = "" if weight == 1 else f", weight {weight:g}"
        lines.append(f"- {word} ({category}{heavy}) at {at}{more}{_context(found, places[0])}")
    if len(by_word) > SHOWN_WORDS:
        lines.append(f"… and {len(by_word) - SHOWN_WORDS} more words (--json lists all)")
    if len(rows) < signals["n_listed_words"]:
        lines.append(f"places of the first {len(rows)} only (words.max_places)")
    return lines


def _context(found: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    text = found.get("text") or ""
    start, end = place["start"], place["end"]
    if len(text) != (found.get("signals") or {}).get("n_chars"):
        return ""
    around = text[max(0, start - CONTEXT) : start], text[start:end], text[end : end + CONTEXT]
    before, inside, after = (" ".join(part.split("\n")) for part in around)
    return f": {before}[{inside}]{after}"
