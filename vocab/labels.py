"""What tokenizers and inputs are called where several stand side by side: no two the same."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .load import Tokenizer


def tokenizer_labels(tokenizers: Sequence[Tokenizer], given: Sequence[str] = ()) -> list[str]:
    """A label of its own for each tokenizer.

    Args:
        tokenizers: in any order, the same one several times if need be.
        given: what the user calls each; empty: the tokenizer's own name.
    """
    names = given or [""] * len(tokenizers)
    wanted = [name or t.name for name, t in zip(names, tokenizers, strict=True)]
    return distinct_labels(wanted, [t.path.parent for t in tokenizers])


def distinct_labels(names: Sequence[str], paths: Iterable[Path]) -> list[str]:
    """Names made distinct: as many parent folders as are needed, else numbers.

    Args:
        names: what each would like to be called.
        paths: where each is.

    Returns:
        As many different labels, in order; a name that is alone stays as it is.
    """
    keys = [(path.resolve().parts[1:-1], name) for name, path in zip(names, paths, strict=True)]
    labels = {key: key[1] for key in keys}
    for depth in range(1, 1 + max((len(parents) for parents, _ in keys), default=0)):
        counts = Counter(labels.values())
        twins = [key for key, label in labels.items() if counts[label] > 1]
        if not twins:
            break
        labels |= {(up, name): "/".join((*up[-depth:], name)) for up, name in twins}
    found: list[str] = []
    for key in keys:
        times = sum(earlier == key for earlier in keys[: len(found)])
        found.append(f"{labels[key]} ({times + 1})" if times else labels[key])
    return found
