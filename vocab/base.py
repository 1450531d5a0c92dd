"""A base vocabulary that can grow: SentencePiece BPE or byte-level BPE, with one interface.

New entries go behind everything the base has, in ids and in rank, so that base ids keep their
meaning and base merges act first:

- SentencePiece: unique, strictly falling scores below the base's lowest. Sentinels are set aside
  (LLaMA gives runs of spaces -1e9, where float32 can no longer tell s from s-1: pieces scored
  from there would tie and merge leftmost-first).
- byte-level: merges appended after the last one, ids after the highest, added tokens included, so
  that special tokens stay where they are.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json, sha256_file

from . import convert, folder
from .load import find_tokenizer_file, guess_roles, sniff_format
from .spm import Model, Piece, PieceType, dump_model, parse_model, type_of
from .spm_json import spm_document
from .surfaces import surfaces

# From 2^24 on, neighbouring whole numbers are no longer distinct in float32.
SENTINEL = float(2**24)
_KEPT = ("chat_template", "model_max_length", "additional_special_tokens", "extra_special_tokens")
_SPECIAL_TYPES = (PieceType.CONTROL, PieceType.UNKNOWN)
_ROLES = ("bos", "eos", "pad", "unk")


@dataclass(frozen=True)
class Token:
    """A new entry: its bytes, the two entries that merge into it (none: a character), and why."""

    surface: bytes
    left: bytes | None = None
    right: bytes | None = None
    why: str = "learned"


@dataclass(frozen=True)
class Base:
    """A vocabulary in memory.

    Attributes:
        name: name of its folder or file.
        kind: ``spm-bpe`` or ``byte-bpe``.
        path: the file that defines its ids; ``sha256`` is the hash of that file.
        model: the SentencePiece model (``spm-bpe`` only).
        document: its ``tokenizer.json``.
        config: its ``tokenizer_config.json``, reduced to what a fast tokenizer needs.
        pieces: every entry by id, in the vocabulary's own spelling.
    """

    name: str
    kind: str
    path: Path
    sha256: str
    model: Model | None
    document: Mapping[str, Any]
    config: Mapping[str, Any]
    pieces: tuple[str, ...]

    @property
    def size(self) -> int:
        """The first free id."""
        return len(self.pieces)

    def surfaces(self) -> list[bytes]:
        """The bytes behind every id."""
        return surfaces(self.pieces, self.kind)

    def special(self) -> list[str]:
        """What `tokenizers` would parse out of text."""
        return [token["content"] for token in self.document["added_tokens"]]


def load_base(path: str | Path) -> Base:
    """Load a vocabulary that can grow.

    Args:
        path: tokenizer folder or file. In a folder with both, ``tokenizer.model`` rules, and the
            tokens that ``tokenizer.json`` adds behind its pieces are taken into the model.

    Raises:
        UsageError: nothing there, or of a kind that cannot grow (unigram, WordPiece).
        DataError: damaged, or the ids have holes that new entries could not keep.
    """
    path = Path(path)
    file = path / "tokenizer.model" if (path / "tokenizer.model").is_file() else None
    file = file or find_tokenizer_file(path)
    form = sniff_format(file)
    config = _config(file.parent)
    if form == "spm":
        return _load_spm(file, config)
    if form == "tiktoken":
        return _byte_base(file, convert.tiktoken_json(file), config)
    if form == "vocab-merges":
        merges = file.with_name("merges.txt")
        return _byte_base(file, convert.vocab_merges_json(file, merges), config)
    if form == "json":
        document = read_json(file)
        if "'ByteLevel'" in str(document.get("pre_tokenizer")):
            return _byte_base(file, document, config)
    raise UsageError(
        "only SentencePiece BPE and byte-level BPE vocabularies can grow",
        where=file,
        fix="A tokenizer.json made from a .model grows through that .model.",
    )


def name_of(file: Path) -> str:
    """How a tokenizer is called: as its folder, or as a file with a name of its own."""
    generic = file.name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
    return file.resolve().parent.name if generic else file.stem


def _config(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            found |= read_json(directory / name)
    roles = {role: found.get(f"{role}_token") for role in _ROLES}
    named = {
        role: value["content"] if isinstance(value, dict) else value
        for role, value in roles.items()
        if value
    }
    kept = {key: found[key] for key in _KEPT if found.get(key)}
    return {**folder.tokenizer_config(named), **kept}


def _load_spm(file: Path, config: dict[str, Any]) -> Base:
    model = parse_model(file.read_bytes())
    if type_of(model) != "bpe":
        raise UsageError(
            f"a {type_of(model)} model cannot grow by merges",
            where=file,
            fix="Give it as NEW to `yanmo vocab merge`, with a BPE base.",
        )
    sidecar = file.with_name("tokenizer.json")
    processor: Any = None
    if sidecar.is_file():
        document = read_json(sidecar)
        model = take_added(model, document.get("added_tokens", []), sidecar)
        processor = document.get("post_processor")
    texts = [piece.text for piece in model.pieces]
    if "eos_token" not in config:
        special = {p.text for p in model.pieces if p.type in _SPECIAL_TYPES}
        config |= {f"{role}_token": name for role, name in guess_roles(special).items()}
    bos = config.get("bos_token")
    document = spm_document(model, bos=bos if bos in texts else None)
    if processor is not None:
        document["post_processor"] = processor
    return Base(
        name_of(file), "spm-bpe", file, sha256_file(file), model, document, config, tuple(texts)
    )


def take_added(model: Model, added: Sequence[Mapping[str, Any]], file: Path) -> Model:
    """Take the tokens that a ``tokenizer.json`` adds behind the pieces into the model.

    Raises:
        DataError: their ids leave a hole.
    """
    pieces = list(model.pieces)
    for token in sorted(added, key=lambda item: int(item["id"])):
        if token["id"] < len(pieces):
            continue
        if token["id"] > len(pieces):
            raise DataError("ids of added tokens have a hole", where=file, value=token["id"])
        kind = PieceType.CONTROL if token["special"] else PieceType.USER_DEFINED
        pieces.append(Piece(token["content"], 0.0, kind))
    return model.with_pieces(tuple(pieces))


def _byte_base(file: Path, document: dict[str, Any], config: dict[str, Any]) -> Base:
    if document["model"].get("type", "BPE") != "BPE":
        raise UsageError("not a BPE vocabulary", where=file, value=document["model"]["type"])
    document = convert.listed_merges(convert.pin_added_tokens(copy.deepcopy(document)))
    if not any(f"{role}_token" in config for role in _ROLES):
        special = {token["content"] for token in document["added_tokens"] if token["special"]}
        config |= {f"{role}_token": name for role, name in guess_roles(special).items()}
    pieces = convert.pieces_by_id(document)
    return Base(name_of(file), "byte-bpe", file, sha256_file(file), None, document, config, pieces)


def score_floor(model: Model) -> float:
    """The lowest score of a normal piece that is no sentinel."""
    scores = [p.score for p in model.pieces if p.type is PieceType.NORMAL]
    return min((s for s in scores if abs(s) < SENTINEL), default=0.0)


def grow(base: Base, tokens: Sequence[Token]) -> Base:
    """Append entries, in order.

    Args:
        base: what to grow.
        tokens: new entries; each after the two it is merged from.

    Raises:
        DataError: an entry is already there, is empty, or its halves are not there before it.
    """
    known = set(base.surfaces())
    for token in tokens:
        halves = [half for half in (token.left, token.right) if half is not None]
        if not token.surface or token.surface in known:
            raise DataError("a new entry is empty or already there", value=token.surface)
        if any(half not in known for half in halves) or b"".join(halves) not in (
            token.surface,
            b"",
        ):
            raise DataError("a new entry does not follow from earlier ones", value=token)
        known.add(token.surface)
    if base.model is not None:
        return _grow_spm(base, base.model, tokens)
    return _grow_bytes(base, tokens)


def _grow_spm(base: Base, model: Model, tokens: Sequence[Token]) -> Base:
    floor = score_floor(model)
    if abs(floor) + len(tokens) >= SENTINEL:
        raise DataError("no room for unique scores below the base's", value=floor)
    new = tuple(
        Piece(token.surface.decode("utf-8"), floor - 1 - rank) for rank, token in enumerate(tokens)
    )
    model = model.with_pieces(model.pieces + new)
    document = spm_document(model)
    document["post_processor"] = base.document["post_processor"]
    pieces = base.pieces + tuple(piece.text for piece in new)
    return replace(base, model=model, document=document, pieces=pieces)


def _grow_bytes(base: Base, tokens: Sequence[Token]) -> Base:
    spelled = [convert.to_alphabet(token.surface) for token in tokens]
    merges = [
        [convert.to_alphabet(token.left), convert.to_alphabet(token.right)]
        for token in tokens
        if token.left is not None and token.right is not None
    ]
    if len(merges) != len(tokens):
        raise DataError("a byte-level entry must be a merge of two")
    old = base.document["model"]
    vocab = {**old["vocab"], **{s: base.size + k for k, s in enumerate(spelled)}}
    model = {**old, "vocab": vocab, "merges": [*old["merges"], *merges]}
    document = {**base.document, "model": model}
    return replace(base, document=document, pieces=base.pieces + tuple(spelled))


@dataclass(frozen=True)
class Notes:
    """What is written beside a grown vocabulary.

    Attributes:
        provenance: command, options and inputs, for ``yanmo.json``.
        report: ``report.json``.
        extra: further files by name.
    """

    provenance: Mapping[str, Any]
    report: Mapping[str, Any]
    extra: Mapping[str, bytes] = field(default_factory=dict)


def write_grown(out: Path, base: Base, grown: Base, notes: Notes) -> Path:
    """Write a grown vocabulary as a tokenizer folder; ``yanmo.json`` names base and added ids.

    Args:
        out: folder to write.
        base: what it grew from.
        grown: the result.
        notes: what else belongs there.
    """
    model = {"tokenizer.model": dump_model(grown.model)} if grown.model is not None else {}
    return folder.write_tokenizer(
        out,
        document=grown.document,
        config=grown.config,
        provenance={
            **notes.provenance,
            "base": {"name": base.name, "sha256": base.sha256, "size": base.size},
            "added_ids": [base.size, grown.size],
        },
        report=notes.report,
        extra={**model, **notes.extra},
    )
