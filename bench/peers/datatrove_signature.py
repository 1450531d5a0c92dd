"""datatrove's signature step on texts in memory: no files, no pipeline, its arithmetic alone.

Fastest settings that keep the work equal: xxhash (its default; 32 and 64 bits ran alike), and of
its normalisation what our shingles do as well (lower case, punctuation, white space); numbers and
diacritics stay as they are, which saves it 10 to 40 % of the time before tokenizing.
"""

import time
from typing import Any

from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from plain_tokenizer import PlainTokenizer
from serve import DATATROVE_LANGUAGES, read_texts, serve

NORM = TextNormConfig(norm_numbers=False, norm_unicode_diacritics=False)
STATE: dict[str, Any] = {}


def step(language: str, *, plain: bool) -> MinhashDedupSignature:
    """The step with 5-grams, 14 bands of 8 values."""
    config = MinhashConfig(norm_config=NORM, hash_config=HashConfig(precision=64))
    tokenizer = PlainTokenizer(language) if plain else DATATROVE_LANGUAGES[language]
    return MinhashDedupSignature(".bench/unused", config, language=tokenizer)


def signature(text: str) -> list[list[int]]:
    """What the step computes for a document, by band; nothing for one without a shingle."""
    shingles = STATE["step"].get_shingles(text)
    return STATE["step"].get_signature(shingles) if shingles.size else []


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``load``: texts and tokenizer, warm; ``run``: processor seconds; ``pairs``: similarities."""
    if request["op"] == "load":
        STATE["texts"] = read_texts(request["path"])
        STATE["step"] = step(request["language"], plain=request["plain"])
        for text in STATE["texts"][:20]:
            signature(text)
        return {"documents": len(STATE["texts"])}
    if request["op"] == "run":
        start = time.process_time()
        made = [signature(text) for text in STATE["texts"]]
        return {"seconds": time.process_time() - start, "signatures": len(made)}
    return {"pairs": [similarity(first, second) for first, second in request["pairs"]]}


def similarity(first: str, second: str) -> list[float]:
    """Estimated from the signatures, and exact over the sets of its own shingles."""
    one, two = ([v for band in signature(text) for v in band] for text in (first, second))
    sets = [set(STATE["step"].get_shingles(text).ravel().tolist()) for text in (first, second)]
    equal = sum(a == b for a, b in zip(one, two, strict=True)) / len(one)
    return [equal, len(sets[0] & sets[1]) / len(sets[0] | sets[1])]


if __name__ == "__main__":
    serve(answer)
