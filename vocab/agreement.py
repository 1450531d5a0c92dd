"""Do the libraries agree? One file is worth little if three programs read it three ways.

Two exceptions are inherent and are counted, not hidden: text that spells a special token
(transformers parses it, sentencepiece does not), and U+2581, which SentencePiece uses as its space.
"""

import importlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, MissingDependency

from .load import FastEngine

SPACE = "\u2581"
Encode = Callable[[list[str]], list[list[int]]]
Decode = Callable[[list[int]], str]
Engine = tuple[Encode, Decode]


def spm_engine(model: bytes) -> Engine:
    """sentencepiece itself, on a serialized model."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def encode(texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = processor.encode(texts, num_threads=1)
        return found

    return encode, lambda ids: str(processor.decode(ids))


def fast_engine(document: Mapping[str, Any]) -> Engine:
    """`tokenizers` on a ``tokenizer.json`` document, special tokens in text parsed."""
    import tokenizers

    fast = tokenizers.Tokenizer.from_str(json.dumps(document, ensure_ascii=False))

    def encode(texts: list[str]) -> list[list[int]]:
        found = fast.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    return encode, lambda ids: str(fast.decode(ids, skip_special_tokens=False))


def plain_engine(document: Mapping[str, Any]) -> Engine:
    """As :func:`fast_engine`, but special tokens in text are text."""
    fast = fast_of(document)

    def encode(texts: list[str]) -> list[list[int]]:
        found = fast.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    return encode, lambda ids: str(fast.decode(ids, skip_special_tokens=False))


def fast_of(document: Mapping[str, Any]) -> Any:
    """A ``tokenizer.json`` document as the library's object; special tokens in text are text."""
    import tokenizers

    fast = tokenizers.Tokenizer.from_str(json.dumps(document, ensure_ascii=False))
    return FastEngine(fast).fast


def tiktoken_engine(
    ranks: Mapping[bytes, int], *, pattern: str, special: Mapping[str, int], nfc: bool
) -> Engine:
    """`tiktoken` on a table of ranks, special tokens in text taken as text.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        module = importlib.import_module("tiktoken")
    except ImportError:
        raise MissingDependency("tiktoken is not installed", fix="pip install tiktoken") from None
    encoding = module.Encoding(
        "yanmo", pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens=dict(special)
    )

    def encode(texts: list[str]) -> list[list[int]]:
        normal = [unicodedata.normalize("NFC", text) for text in texts] if nfc else texts
        return [encoding.encode_ordinary(text) for text in normal]

    return encode, lambda ids: str(encoding.decode(ids))


def auto_engine(folder: Path) -> Engine:
    """`transformers.AutoTokenizer` on a folder.

    Raises:
        MissingDependency: transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingDependency(
            "transformers is not installed", fix='pip install "yanmo[train]"'
        ) from None
    auto = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)

    def encode(texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = auto(texts, add_special_tokens=False)["input_ids"]
        return found

    return encode, lambda ids: str(auto.decode(ids, clean_up_tokenization_spaces=False))


def agreement(
    engines: Mapping[str, Engine],
    texts: Iterable[str],
    *,
    special: Sequence[str] = (),
    spaces_lost: bool = True,
    round_trip: bool = True,
) -> dict[str, Any]:
    """Encode every text with every engine, compare the ids, decode them again.

    Args:
        engines: name to (encode, decode); the first is the reference.
        texts: what to encode.
        special: literal special tokens; texts that hold one are counted and left out.
        spaces_lost: U+2581 comes back as a space (SentencePiece); such texts are counted.
        round_trip: whether ``decode(encode(text)) == text`` is promised.

    Returns:
        ``{"engines", "round_trip", "texts", "equal", "with_special_token", "with_u2581",
        "different", "lost", "example"}``: how many texts were looked at, agreed on, left out,
        encoded differently, not given back; and the first that differs or is lost.
    """
    counts = dict.fromkeys(
        ("texts", "equal", "with_special_token", "with_u2581", "different", "lost"), 0
    )
    example: dict[str, Any] | None = None
    for batch in batches(texts, 2000):
        plain = []
        for text in batch:
            if any(token in text for token in special):
                counts["with_special_token"] += 1
            elif spaces_lost and SPACE in text:
                counts["with_u2581"] += 1
            else:
                plain.append(text)
        counts["texts"] += len(batch)
        for fault, text, detail in _compare(engines, plain, round_trip=round_trip):
            counts[fault] += 1
            example = example or {"fault": fault, "text": text, **detail}
        counts["equal"] += len(plain)
    counts["equal"] -= counts["different"]
    return {"engines": list(engines), "round_trip": round_trip, **counts, "example": example}


def require_agreement(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pass a finding of :func:`agreement` on if nothing differs and nothing is lost.

    Raises:
        DataError: with the first text that does.
    """
    if found["example"] is not None:
        raise DataError(f"{' and '.join(found['engines'])} disagree", value=found["example"])
    return found


def _compare(
    engines: Mapping[str, Engine], texts: list[str], *, round_trip: bool
) -> Iterable[tuple[str, str, dict[str, Any]]]:
    encoded = {name: encode(texts) for name, (encode, _) in engines.items()}
    reference, *others = encoded.values()
    for number, text in enumerate(texts):
        mine = reference[number]
        if any(other[number] != mine for other in others):
            yield "different", text, {name: ids[number] for name, ids in encoded.items()}
        for name, (_, decode) in engines.items() if round_trip else ():
            back = decode(mine)
            if back != text:
                yield "lost", text, {name: back}
                break


def batches(texts: Iterable[str], size: int) -> Iterable[list[str]]:
    """Lists of up to ``size`` texts."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
