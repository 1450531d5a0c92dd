"""What is wrong inside a byte-level or WordPiece vocabulary: ids, merges, recognition elsewhere."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.files import read_json

from .agreement import fast_of
from .checks_spm import SPECIAL_NAME
from .convert import GPT2_PATTERN
from .findings import Finding, some
from .llama_cpp import CHECK_TEXT, Recognition, recognise
from .patient import Patient, holes
from .reach_bytes import COMPLETIONS, ByteReach, text_of, two_part_faults


def byte_findings(patient: Patient, reach: ByteReach) -> list[Finding]:
    """Everything that a byte-level vocabulary alone shows."""
    return [*_reach(patient, reach), *_merges(patient), *_recognition(patient)]


def id_findings(patient: Patient) -> list[Finding]:
    """Holes in the ids, rows of padding behind them, special names that are text (any family)."""
    return [*_holes(patient), *_padding(patient), *_names(patient)]


def _reach(patient: Patient, reach: ByteReach) -> Iterator[Finding]:
    surfaces = patient.surfaces()
    for name, ids, what in (
        (
            "tokens without two parts",
            two_part_faults(patient, surfaces),
            "Byte-pair encoding of the token by lower ranks does not end in two parts, so no "
            "single merge stands for it; a converter must write all its splits.",
        ),
        (
            "tokens that live as whole words alone",
            reach.whole_words,
            "Merges never make them; `ignore_merges` takes a word that is an entry as it is. A "
            "program without that rule never brings them out.",
        ),
        (
            "bytes that no UTF-8 text holds",
            reach.not_in_text,
            "They cannot come out, and every byte-level vocabulary has them.",
        ),
        (
            "cut characters that were not seen",
            reach.not_seen,
            f"Merges make them from their bytes, but none of up to {COMPLETIONS} characters that "
            "hold those bytes brought them out.",
        ),
    ):
        if ids:
            examples = some({"id": i, "token": _shown(surfaces[i])} for i in ids)
            yield Finding(name, "note", len(ids), patient.size, what, examples)


def _shown(surface: bytes) -> str:
    text = text_of(surface)
    return repr(surface)[2:-1] if text is None else text


def _merges(patient: Patient) -> Iterator[Finding]:
    model = patient.document["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    twice = [pair for pair, count in Counter(merges).items() if count > 1]
    if twice:
        yield Finding(
            "merges that stand twice", "warning", len(twice), len(merges),
            "The second has no effect, and files that count merges go wrong.",
            some(" + ".join(pair) for pair in twice),
        )  # fmt: skip


def _pattern(document: Mapping[str, Any]) -> str:
    text = document.get("pre_tokenizer") or {}
    for step in text.get("pretokenizers", [text]):
        pattern = step.get("pattern", {})
        if "Regex" in pattern:
            return str(pattern["Regex"])
    return GPT2_PATTERN if '"use_regex": true' in json.dumps(text) else ""


def recognition(patient: Patient) -> Recognition:
    """Whether llama.cpp's converter knows a byte-level tokenizer, and the line to add if not.

    The ids are those of the whole tokenizer, with what its post-processor adds. A rank file has
    none: of the families that are known, Llama-3 puts its first token before a text.
    """
    ids: list[int] = fast_of(patient.document).encode(CHECK_TEXT).ids
    if patient.ranks is not None:
        named = {token["content"]: token["id"] for token in patient.document["added_tokens"]}
        ids = [*(named[name] for name in ("<|begin_of_text|>",) if name in named), *ids]
    return recognise(ids, pattern=_pattern(patient.document), name=patient.name)


def _recognition(patient: Patient) -> Iterator[Finding]:
    found = recognition(patient)
    if found.known_as:
        what = f"chkhsh {found.chkhsh[:16]}… is known as {found.known_as}."
        yield Finding("llama.cpp", "note", 1, None, what, (found.chkhsh,))
        return
    yield Finding(
        "llama.cpp",
        "warning",
        1,
        None,
        "The hash of the check text is not among the known ones: convert_hf_to_gguf.py will stop "
        'with "BPE pre-tokenizer was not recognized".',
        (found.line,),
        "Add the line to get_vocab_base_pre, with the name of the base's pre-tokenizer.",
    )


def _holes(patient: Patient) -> Iterator[Finding]:
    gaps = holes(patient.pieces)
    if gaps:
        yield Finding(
            "ids without an entry", "warning", len(gaps), patient.size,
            "Ids below the highest that no token has: rows that are never trained.",
            some(gaps), "New entries go behind the highest id, not into the holes.",
        )  # fmt: skip


def _padding(patient: Patient) -> Iterator[Finding]:
    file = patient.file.with_name("config.json")
    rows = read_json(file).get("vocab_size") if file.is_file() else None
    if not isinstance(rows, int) or rows == patient.size:
        return
    if rows < patient.size:
        yield Finding(
            "rows of the model", "ill", patient.size - rows, patient.size,
            f"config.json has {rows} rows for {patient.size} ids: the last crash the embedding.",
            ({"vocab_size": rows, "ids": patient.size},), "`yanmo vocab embed` adds the rows.",
        )  # fmt: skip
        return
    yield Finding(
        "rows of the model", "note", rows - patient.size, rows,
        "The embedding is padded: new entries fall inside the padding, so a resize sees nothing to "
        "do and leaves their rows untrained.",
        ({"vocab_size": rows, "ids": patient.size},),
    )  # fmt: skip


def _names(patient: Patient) -> Iterator[Finding]:
    if patient.model is not None:
        return
    special = {t["content"] for t in patient.document["added_tokens"] if t["special"]}
    wrong = [
        {"id": i, "piece": piece}
        for i, piece in enumerate(patient.pieces)
        if piece not in special and SPECIAL_NAME.match(piece)
    ]
    if wrong:
        yield Finding(
            "special names that are text", "note", len(wrong), None,
            "They are named like special tokens and are none: not skipped in decoding.",
            some(wrong),
        )  # fmt: skip
