"""rensa's R-MinHash on texts in memory: 112 values over token 5-grams, on one core.

rensa takes tokens, so its user cuts the shingles in Python. Two ways are offered, the faster one
counts: shingles joined as strings (what its documentation shows), and token hashes from rensa
combined into shingle hashes with numpy, which its batch functions take as a flat array.
"""

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rensa import CMinHash, RMinHash
from serve import read_texts, serve

PERMUTATIONS, SEED = 112, 42
HANZI = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKENS = re.compile(f"[{HANZI}]|[^\\W_{HANZI}]+")
POWERS = [np.uint64(pow(0xD1342543DE82EF95, 4 - i, 1 << 64)) for i in range(5)]
SHIFT, MIX = np.uint64(33), np.uint64(0xFF51AFD7ED558CCD)
STATE: dict[str, Any] = {}


def shingles(text: str) -> list[str]:
    """Token 5-grams as strings."""
    t = TOKENS.findall(text.lower())
    return list(map("".join, zip(t, t[1:], t[2:], t[3:], t[4:], strict=False))) or ["".join(t)]


def hashes(texts: list[str]) -> tuple[Any, Any]:
    """Shingle hashes of all texts back to back (uint64), and where each begins."""
    tokens = RMinHash.hash_token_sets([TOKENS.findall(text.lower()) for text in texts])
    parts = [combine(np.array(some, np.uint64)) for some in tokens]
    ends = np.cumsum([0, *(len(part) for part in parts)]).astype(np.uint64)
    return np.concatenate(parts), ends


def combine(tokens: Any) -> Any:
    """Shingle hashes of one text: a polynomial of five token hashes, mixed."""
    count = max(len(tokens) - 4, min(1, len(tokens)))
    padded = np.concatenate([tokens, np.zeros(4, np.uint64)]) if len(tokens) < 5 else tokens
    total = padded[:count] * POWERS[0]
    for i in range(1, 5):
        total += padded[i : i + count] * POWERS[i]
    total ^= total >> SHIFT
    total *= MIX
    return total ^ (total >> SHIFT)


def as_strings() -> Any:
    """Text in, signature out, by strings."""
    cut = [shingles(text) for text in STATE["texts"]]
    return RMinHash.digest_matrix_from_token_sets(cut, PERMUTATIONS, SEED)


def as_hashes() -> Any:
    """Text in, signature out, by hashes."""
    return RMinHash.digest_matrix_from_flat_token_hashes(
        *hashes(STATE["texts"]), PERMUTATIONS, SEED
    )


WAYS: dict[str, Callable[[], Any]] = {
    "strings": as_strings,
    "hashes": as_hashes,
    "kernel strings": lambda: RMinHash.digest_matrix_from_token_sets(
        STATE["cut"], PERMUTATIONS, SEED
    ),
    "kernel hashes": lambda: RMinHash.digest_matrix_from_flat_token_hashes(
        *STATE["hashes"], PERMUTATIONS, SEED
    ),
    "kernel strings, C-MinHash": lambda: CMinHash.digests64_from_token_sets(
        STATE["cut"], PERMUTATIONS, SEED
    ),
    "kernel strings, rho": lambda: RMinHash.digest_matrix_from_token_sets_rho(
        STATE["cut"], PERMUTATIONS, SEED
    ),
}
"""Text in, signature out; then rensa's kernels alone, given shingles. Rho samples the tokens."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``load``: texts and their shingles; ``run``: processor seconds of a way; ``pairs``."""
    if request["op"] == "load":
        STATE["texts"] = read_texts(request["path"])
        STATE["cut"] = [shingles(text) for text in STATE["texts"]]
        STATE["hashes"] = hashes(STATE["texts"])
        for way in WAYS.values():
            way()
        return {"documents": len(STATE["texts"]), "ways": list(WAYS)}
    if request["op"] == "run":
        start = time.process_time()
        WAYS[request["way"]]()
        return {"seconds": time.process_time() - start}
    return {"pairs": [similarity(first, second) for first, second in request["pairs"]]}


def similarity(first: str, second: str) -> list[float]:
    """Estimated from the signatures, and exact over the sets of shingles."""
    cut = [shingles(first), shingles(second)]
    one, two = RMinHash.digests_from_token_sets(cut, PERMUTATIONS, SEED)
    equal = sum(a == b for a, b in zip(one, two, strict=True)) / PERMUTATIONS
    sets = [set(some) for some in cut]
    return [equal, len(sets[0] & sets[1]) / len(sets[0] | sets[1])]


if __name__ == "__main__":
    serve(answer)
