"""One vocabulary entry for a reader: bytes, type, score or rank, and what it is made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .derivations import Derivation, Lattice, Merges, rules_of, source_of
from .load import Tokenizer
from .spm import Model, PieceType
from .surfaces import piece_bytes

TYPES = (
    "normal", "word start", "continuation", "byte", "part of a character", "unknown", "control",
    "special", "added", "user-defined", "unused",
)  # fmt: skip
"""What an entry can be. ``added`` and ``user-defined`` entries are found before any merge."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>\Z")
_WHOLE = ("unknown", "control", "special", "added", "user-defined", "byte")
_SPM_TYPES = {
    PieceType.NORMAL: "normal", PieceType.UNKNOWN: "unknown", PieceType.CONTROL: "control",
    PieceType.USER_DEFINED: "user-defined", PieceType.UNUSED: "unused", PieceType.BYTE: "byte",
}  # fmt: skip
_EVIDENCE = ("why", "count", "documents", "domains", "top_share")


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        index: its id.
        piece: the vocabulary's own spelling (``▁the``, ``Ġthe``, ``##ing``, ``<0xE4>``).
        surface: the bytes it adds to a text.
        type: one of :data:`TYPES`.
        score: log-probability or merge score, if the vocabulary has scores.
        rank: place of its merge in the list of merges (0 first), if it has one.
        made_of: its last merge; the parts at which merging stops, if none makes it; ``None`` for
            what is not put together.
        instead: for a unigram piece, the best other pieces and their score.
        evidence: what speaks for it, from the ``added.tsv`` of `vocab extend`.
    """

    index: int
    piece: str
    surface: bytes
    type: str
    score: float | None
    rank: int | None
    made_of: Derivation | list[str] | None
    instead: tuple[list[str], float] | None
    evidence: Mapping[str, str]


class Entries:
    """The entries of a tokenizer, each looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Read what the file says of its entries.

        Args:
            tokenizer: any.
        """
        self.tokenizer = tokenizer
        source = source_of(tokenizer)
        self.rules = rules_of(source)
        self._model = source if isinstance(source, Model) else None
        document: dict[str, Any] = {} if isinstance(source, Model) else source
        self._added = {t["id"]: bool(t["special"]) for t in document.get("added_tokens", [])}
        self.ignores_merges = bool(document and document["model"].get("ignore_merges"))
        self._evidence = read_evidence(tokenizer.path.parent)
        self._seen: dict[int, Entry] = {}

    def __getitem__(self, index: int) -> Entry:
        if index not in self._seen:
            self._seen[index] = self._look(index)
        return self._seen[index]

    def index_of(self, piece: str) -> int | None:
        """The id of a piece, if it has one."""
        return self.tokenizer.piece_to_id(piece)

    def _look(self, index: int) -> Entry:
        piece = self.tokenizer.id_to_piece(index) or ""
        surface = piece_bytes(piece, self.tokenizer.kind)
        kind = self._type(index, piece, surface)
        whole = kind in _WHOLE
        rules = self.rules
        made_of = rules.derive(piece) if isinstance(rules, Merges) and not whole else None
        if isinstance(made_of, list) and len(made_of) < 2:  # a character or byte: nothing to say
            made_of = None
        listed = isinstance(made_of, Derivation) and self._model is None
        rank = int(made_of.rank) if isinstance(made_of, Derivation) and listed else None
        instead = rules.without(piece) if isinstance(rules, Lattice) and not whole else None
        return Entry(
            index, piece, surface, kind, self._score(index), rank, made_of, instead,
            self._evidence.get(index, {}),
        )  # fmt: skip

    def _score(self, index: int) -> float | None:
        if self._model is not None:
            return self._model.pieces[index].score
        if isinstance(self.rules, Lattice):
            return self.rules.scores.get(self.tokenizer.id_to_piece(index) or "")
        return None

    def _type(self, index: int, piece: str, surface: bytes) -> str:
        kind = self.tokenizer.kind
        if self._model is not None:
            return _SPM_TYPES[self._model.pieces[index].type]
        if index == self.tokenizer.unk_id:
            return "unknown"
        if index in self._added:
            return "special" if self._added[index] else "added"
        if kind.startswith("spm"):
            return "byte" if _BYTE.match(piece) else "normal"
        if kind == "byte-bpe":
            return _byte_level_type(surface)
        if kind == "wordpiece":
            return "continuation" if piece.startswith("##") else "word start"
        return "normal"


def _byte_level_type(surface: bytes) -> str:
    try:
        surface.decode("utf-8")
    except UnicodeDecodeError:
        return "byte" if len(surface) == 1 else "part of a character"
    return "normal"


def read_evidence(folder: Path) -> dict[int, dict[str, str]]:
    """What `vocab extend` found on each entry that it added.

    Args:
        folder: a tokenizer folder, with an ``added.tsv`` or without.

    Returns:
        ``{id: {"why", "count", "documents", "domains", "top_share"}}``, empty values left out.
    """
    path = folder / "added.tsv"
    if not path.is_file():
        return {}
    head, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    names = head.split("\t")
    if "id" not in names:
        return {}
    found: dict[int, dict[str, str]] = {}
    for line in lines:
        row = dict(zip(names, line.split("\t"), strict=False))
        if row.get("id", "").isdecimal():
            named = _EVIDENCE[:3] if row.get("domains") == "0" else _EVIDENCE
            found[int(row["id"])] = {k: row[k] for k in named if row.get(k)}
    return found
