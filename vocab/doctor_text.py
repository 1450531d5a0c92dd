"""What a tokenizer does to text: do the libraries agree, is old text left alone, what does it cost.

One pass over the lines; every line is encoded once by each library and once by the base.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

from yanmo.errors import MissingDependency

from . import agreement
from .agreement import SPACE, Encode
from .charsets import HAN_RUN
from .convert import FAMILIES
from .patient import Patient
from .spm import dump_model

BATCH: Final = 2000
AUTO: Final = "AutoTokenizer"
AS_LLAMA: Final = "AutoTokenizer, class LlamaTokenizer"
_LOADED_BY_NAME: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


@dataclass
class Engines:
    """The libraries that read a tokenizer, the reference first, and those that could not."""

    encode: dict[str, Encode]
    failed: dict[str, str] = field(default_factory=dict)


@contextmanager
def engines_of(patient: Patient, *, libraries: bool = True) -> Iterator[Engines]:
    """Every library that can read a tokenizer as it stands.

    Args:
        patient: the tokenizer.
        libraries: ask transformers (and tiktoken, where it is installed) too.
    """
    if patient.model is not None:
        found = Engines({"sentencepiece": patient.encode()})
        sidecar = patient.file.with_name("tokenizer.json")
        whole = json.loads(sidecar.read_text("utf-8")) if sidecar.is_file() else patient.document
        found.encode["tokenizers"] = agreement.plain_engine(whole)[0]
    else:
        found = Engines({"tokenizers": patient.encode()})
    with tempfile.TemporaryDirectory() as scratch:
        if libraries:
            _ask(found, "tiktoken", lambda: _tiktoken(patient) if patient.ranks else None)
            for name, folder in _folders(patient, Path(scratch)).items():
                _ask(found, name, partial(_auto, folder))
        yield found


def _auto(folder: Path) -> Encode:
    return agreement.auto_engine(folder)[0]


def _ask(found: Engines, name: str, make: Callable[[], Encode | None]) -> None:
    try:
        encode = make()
    except MissingDependency:
        found.failed[name] = "not installed"
    except Exception as error:  # whatever a library raises about a file it cannot read
        found.failed[name] = f"cannot read it: {str(error).splitlines()[0][:120]}"
    else:
        if encode is not None:
            found.encode[name] = encode


def _folders(patient: Patient, scratch: Path) -> dict[str, Path]:
    """The folder as transformers is given it; a bare ``.model`` as its class would have it too."""
    folder, name = patient.file.parent, patient.file.name
    if patient.model is None or (folder / "tokenizer_config.json").is_file():
        return {AUTO: folder} if name in _LOADED_BY_NAME else {}
    plain, llama = scratch / "plain", scratch / "llama"
    for place in (plain, llama):
        place.mkdir()
        if patient.renamed:
            (place / "tokenizer.model").write_bytes(dump_model(patient.model))
        else:
            copyfile(patient.file, place / "tokenizer.model")
    config = {"tokenizer_class": "LlamaTokenizer"}
    (llama / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return {AUTO: plain, AS_LLAMA: llama} if patient.kind == "spm-bpe" else {AUTO: plain}


def _tiktoken(patient: Patient) -> Encode:
    ranks = patient.ranks or {}
    family = FAMILIES[len(ranks)]
    return agreement.tiktoken_engine(
        ranks, pattern=family.pattern, special=family.special, nfc=family.nfc
    )[0]


@dataclass
class Slice:
    """One kind of line: how many, how long, and what it costs in tokens."""

    lines: int = 0
    chars: int = 0
    tokens: int = 0
    base_tokens: int = 0
    changed: int = 0
    example: dict[str, Any] | None = None

    def table(self, *, base: bool) -> dict[str, Any]:
        """For ``report.json``; tokens per character, ``None`` where there is no character."""
        per = self.tokens / self.chars if self.chars else None
        found: dict[str, Any] = {"lines": self.lines, "chars": self.chars, "tokens_per_char": per}
        if base:
            found["base_tokens_per_char"] = self.base_tokens / self.chars if self.chars else None
            found |= {"changed": self.changed, "example": self.example}
        return found


@dataclass
class Tally:
    """What was seen over all lines.

    Attributes:
        lines: lines read.
        compared: lines on which the libraries were compared.
        with_special: lines that spell a special token (transformers parses it): left out.
        with_u2581: lines that hold U+2581, SentencePiece's own space: left out.
        different: by library, lines whose ids differ from the reference's.
        examples: by library, the first such line and the pieces.
        slices: ``han`` (holds a hanzi), ``english`` (a Latin letter and no hanzi), ``other``.
    """

    lines: int = 0
    compared: int = 0
    with_special: int = 0
    with_u2581: int = 0
    different: dict[str, int] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    slices: dict[str, Slice] = field(default_factory=dict)


def slice_of(line: str) -> str:
    """``han``, ``english`` or ``other``."""
    if HAN_RUN.search(line):
        return "han"
    return "english" if any(c.isascii() and c.isalpha() for c in line) else "other"


def read_text(patient: Patient, engines: Engines, lines: Iterable[str]) -> Tally:
    """Encode all lines with all libraries and with the base.

    Args:
        patient: the tokenizer.
        engines: who encodes; the first is the reference.
        lines: any number of lines; they are read once.
    """
    base = _base_encode(patient)
    tally = Tally(different=dict.fromkeys(list(engines.encode)[1:], 0))
    tally.slices = {name: Slice() for name in ("han", "english", "other")}
    special = patient.special()
    for batch in agreement.batches(lines, BATCH):
        ids = {name: encode(batch) for name, encode in engines.encode.items()}
        old = base(batch) if base is not None else None
        for number, line in enumerate(batch):
            mine = {name: found[number] for name, found in ids.items()}
            _compare(patient, tally, line, mine, special)
            _cost(patient, tally, line, next(iter(mine.values())), old[number] if old else None)
    return tally


def _base_encode(patient: Patient) -> Encode | None:
    base = patient.base
    if base is None:
        return None
    if base.model is not None:
        return agreement.spm_engine(dump_model(base.model))[0]
    return agreement.plain_engine(base.document)[0]


def _compare(
    patient: Patient, tally: Tally, line: str, ids: Mapping[str, list[int]], special: list[str]
) -> None:
    tally.lines += 1
    if any(token in line for token in special):
        tally.with_special += 1
        return
    if patient.kind.startswith("spm") and SPACE in line:
        tally.with_u2581 += 1
        return
    tally.compared += 1
    reference, *others = ids
    for name in others:
        if ids[name] == ids[reference]:
            continue
        tally.different[name] += 1
        if name not in tally.examples:
            where = _first_difference(ids[reference], ids[name])
            tally.examples[name] = {
                "line": line[:200],
                reference: _pieces(patient, ids[reference][where:]),
                name: _pieces(patient, ids[name][where:]),
            }


def _first_difference(left: list[int], right: list[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(left), len(right)))


def _pieces(patient: Patient, ids: list[int], count: int = 8) -> str:
    shown = [patient.pieces[i] if i < patient.size else f"#{i}" for i in ids[:count]]
    return " ".join(shown)


def _cost(patient: Patient, tally: Tally, line: str, new: list[int], old: list[int] | None) -> None:
    one = tally.slices[slice_of(line)]
    one.lines += 1
    one.chars += len(line)
    one.tokens += len(new)
    if old is None:
        return
    one.base_tokens += len(old)
    if old != new:
        one.changed += 1
        if one.example is None:
            where = max(_first_difference(old, new) - 1, 0)
            one.example = {
                "line": line[:200],
                "base": _pieces(patient, old[where:]),
                "now": _pieces(patient, new[where:]),
            }
