"""Text in, MinHash signature out, on one core: yanmo, datatrove, rensa.

112 values over token 5-grams each. Seconds are processor seconds of the process that does the work;
imports, compilation, reading the texts and one warm-up call are outside.
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from . import texts
from .rounds import Claim, Options, Peer, Result, alternate, available, spread, timed

MEGABYTES: Final = 8.0
ROUNDS: Final = 3
PAIRS: Final = 200
SHINGLE, PERMUTATIONS, SEED = 5, 112, 1
TEXT_IN: Final = ("datatrove", "datatrove, plain tokenizer", "rensa, strings", "rensa, hashes")


def run(options: Options) -> Result:
    """Measure all sides on Chinese and on English.

    Returns:
        MB of text a second, and how close each side's estimates come to exact similarities.
    """
    result = Result(
        "Signatures: text in, 112-value MinHash of token 5-grams out, one core",
        [
            "text",
            "side",
            "MB/s",
            "spread %",
            "yanmo is × as fast",
            "|estimate - exact|",
            "expected",
        ],
    )
    result.notes += [
        "MB/s: median over rounds of UTF-8 bytes of text by processor seconds; A B A B …",
        "The last two columns: mean absolute error of the similarity of "
        f"{PAIRS} pairs, over each side's own shingles, and what binomial sampling of "
        f"{PERMUTATIONS} values gives.",
        "'kernel' rows get shingles that are already cut (strings) or hashed; no text is read.",
    ]
    for language in options.languages:
        _language(language, options, result)
    return result


def _language(language: str, options: Options, result: Result) -> None:
    workload = texts.load(language, megabytes=options.megabytes or MEGABYTES)
    rounds = options.rounds or ROUNDS
    sides, kernels = ours(workload.texts)
    pairs = _pairs(workload.texts)
    errors = {"yanmo": _error([_similarity(a, b) for a, b in pairs])}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = texts.write_jsonl(workload.texts, folder, files=1)[0]
        for plain in (False, True) if available("datatrove", result) else ():
            peer = stack.enter_context(Peer("datatrove", "datatrove_signature"))
            peer.ask("load", path=str(path), language=language, plain=plain)
            name = TEXT_IN[plain]
            sides[name] = lambda peer=peer: peer.ask("run")["seconds"]
            errors[name] = _error(peer.ask("pairs", pairs=pairs)["pairs"])
        if available("rensa", result):
            peer = stack.enter_context(Peer("rensa", "rensa_signature"))
            for way in peer.ask("load", path=str(path))["ways"]:
                sides[f"rensa, {way}"] = lambda way=way: peer.ask("run", way=way)["seconds"]
            errors["rensa, strings"] = _error(peer.ask("pairs", pairs=pairs)["pairs"])
        took = alternate({**sides, **kernels}, rounds=rounds)
    _report(workload, took, errors, result)
    result.notes.append(
        f"{language}: {len(workload.texts)} documents, {workload.megabytes:.1f} MB, "
        f"{workload.source}; {rounds} rounds."
    )


def ours(
    documents: list[str],
) -> tuple[dict[str, Callable[[], float]], dict[str, Callable[[], float]]]:
    """Our side from text, and its second half alone, given shingle hashes."""
    import numpy as np
    import pyarrow as pa

    from yanmo.curate import sketch

    column = pa.array(documents)
    hashes, bounds, _ = sketch.shingles(column, k=SHINGLE)
    a, b = sketch.permutations(PERMUTATIONS, SEED)
    empty = np.full((len(documents), PERMUTATIONS), 0xFFFFFFFF, np.uint32)

    whole = timed(lambda: sketch.signatures(column, k=SHINGLE, count=PERMUTATIONS, seed=SEED))
    kernel = timed(lambda: sketch._minimise(hashes, bounds, a, b, empty.copy()))
    return {"yanmo": whole}, {"yanmo, kernel hashes": kernel}


def _pairs(documents: list[str]) -> list[tuple[str, str]]:
    """Documents and edited copies: similarities from about 0.2 to 1."""
    able = [text for text in documents if len(texts.TOKEN.findall(text)) >= texts.MIN_TOKENS]
    rates = [0.2 * i / PAIRS for i in range(PAIRS)]
    chosen = [able[i % len(able)][:20_000] for i in range(PAIRS)]
    return [
        (text, texts.edited(text, rate=rate, seed=texts.SEED + i))
        for i, (text, rate) in enumerate(zip(chosen, rates, strict=True))
    ]


def _similarity(first: str, second: str) -> list[float]:
    import pyarrow as pa

    from yanmo.curate import sketch

    made, _ = sketch.signatures(pa.array([first, second]), k=SHINGLE, count=PERMUTATIONS, seed=SEED)
    exact = texts.jaccard(texts.shingles(first), texts.shingles(second))
    return [float((made[0] == made[1]).mean()), exact]


def _error(found: list[list[float]]) -> tuple[float, float]:
    """Mean absolute error of the estimates, and the one that 112 draws would have."""
    error = statistics.fmean(abs(estimate - exact) for estimate, exact in found)
    # The mean absolute deviation of a nearly normal variable is sqrt(2 / pi) of its deviation.
    expected = statistics.fmean(
        math.sqrt(2 / math.pi * j * (1 - j) / PERMUTATIONS) for _, j in found
    )
    return error, expected


def _report(
    workload: texts.Workload,
    took: dict[str, list[float]],
    errors: dict[str, tuple[float, float]],
    result: Result,
) -> None:
    megabytes, language = workload.megabytes, workload.language
    median = {name: statistics.median(values) for name, values in took.items()}
    for name, values in took.items():
        kernel = "kernel" in name
        own = median["yanmo, kernel hashes" if kernel else "yanmo"]
        ratio = None if name.startswith("yanmo") else median[name] / own
        row: list[Any] = [language, name, megabytes / median[name], spread(values), ratio]
        result.rows.append([*row, *errors.get(name, (None, None))])
    result.data[language] = {
        "megabytes": megabytes, "documents": len(workload.texts), "seconds": took, "errors": errors,
    }  # fmt: skip
    for peers, text, target in (
        (("datatrove",), "datatrove (its tokenizer)", 50),
        (("datatrove, plain tokenizer",), "datatrove (plain tokenizer)", 50),
        (("rensa, strings", "rensa, hashes"), "rensa (the faster shingling)", 10),
    ):
        if peers[0] in median:
            ratio = min(median[peer] for peer in peers) / median["yanmo"]
            result.claims.append(Claim(f"{language}: signatures, times {text}", ratio, target))
    for side, (error, expected) in errors.items():
        text = f"{language}: equal work, error of {side} by the expected one"
        result.claims.append(Claim(text, error / expected, 1.5, at_most=True))
