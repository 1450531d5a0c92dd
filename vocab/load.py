"""One door to every tokenizer: a Hugging Face folder, ``tokenizer.json``, SentencePiece ``.model``,
tiktoken ranks, WordPiece ``vocab.txt``.

The engines are `tokenizers` and `sentencepiece` themselves; torch and transformers are not needed.
Text is always text here: a literal ``</s>`` inside a web page must not become the end-of-sequence
id, so special tokens are never parsed from the input and never added to the output.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json, sha256_file, sha256_json

if TYPE_CHECKING:
    from .columns import ColumnEncoder

Ids = npt.NDArray[np.uint32]

# Special tokens that play a role when no configuration says so.
_ROLE_NAMES = {
    "bos": ("<s>", "<|begin_of_text|>", "[CLS]"),
    "eos": ("</s>", "<|end_of_text|>", "<|endoftext|>", "[SEP]"),
    "pad": ("<pad>", "<|pad|>", "<|finetune_right_pad_id|>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
}
_TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\s*")


class Differs(Exception):
    """The fast encoder gave other ids than the reference; says for which text."""


class Engine(Protocol):
    """What a tokenizer library must offer."""

    library: str

    def encode_batch(self, texts: list[str]) -> list[Ids]: ...
    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str: ...
    def id_to_piece(self, index: int) -> str | None: ...
    def piece_to_id(self, piece: str) -> int | None: ...


@dataclass(frozen=True)
class Tokenizer:
    """A loaded tokenizer.

    Attributes:
        name: name of the folder or file it came from.
        kind: ``spm-bpe``, ``spm-unigram``, ``byte-bpe``, ``wordpiece``, or another model's name.
        vocab_size: highest id + 1 (rows that an embedding needs at least).
        bos_id, eos_id, pad_id, unk_id: ids of the roles, ``None`` where the tokenizer has none.
        sha256: identity of the ids: hash of the file that defines them.
        path: that file.
        engine: the library behind it.
    """

    name: str
    kind: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    unk_id: int | None
    sha256: str
    path: Path
    engine: Engine

    def encode_batch(self, texts: list[str]) -> list[Ids]:
        """Encode texts, without any special token.

        Args:
            texts: any strings; literal special tokens in them are encoded as plain text.

        Returns:
            One uint32 array of ids per text.

        Raises:
            DataError: a text holds a lone surrogate, which is not Unicode text.
        """
        try:
            return self.engine.encode_batch(texts)
        except (TypeError, UnicodeEncodeError):
            for number, text in enumerate(texts):
                _refuse_surrogates(text, number)
            raise

    def encode(self, text: str) -> Ids:
        """Encode one text, without any special token."""
        return self.encode_batch([text])[0]

    def decode(self, ids: Sequence[int] | Ids, *, skip_special: bool = True) -> str:
        """Turn ids back into text; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: token ids.
            skip_special: leave special tokens out instead of showing their names.
        """
        return self.engine.decode([int(i) for i in ids], skip_special=skip_special)

    def id_to_piece(self, index: int) -> str | None:
        """The vocabulary's own spelling of an id (``▁word``, ``Ġword``, ``<0xE4>``)."""
        return self.engine.id_to_piece(index)

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a vocabulary entry in its own spelling, or ``None``."""
        return self.engine.piece_to_id(piece)


def _refuse_surrogates(text: str, number: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            "a text holds a lone surrogate",
            where=f"text {number}",
            value=text[error.start : error.end],
            fix="It is not Unicode text: decode the source again with errors='replace'.",
        ) from None


class FastEngine:
    """A `tokenizers.Tokenizer`."""

    library = "tokenizers"

    def __init__(self, fast: Any) -> None:
        fast.no_truncation()
        fast.no_padding()
        fast.encode_special_tokens = True
        self.fast = fast

    def encode_batch(self, texts: list[str]) -> list[Ids]:
        encodings = self.fast.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        return str(self.fast.decode(list(ids), skip_special_tokens=skip_special))

    def id_to_piece(self, index: int) -> str | None:
        piece: str | None = self.fast.id_to_token(index)
        return piece

    def piece_to_id(self, piece: str) -> int | None:
        index: int | None = self.fast.token_to_id(piece)
        return index


class SentencePieceEngine:
    """A `sentencepiece.SentencePieceProcessor`, one thread (parallelism is over parts)."""

    library = "sentencepiece"

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def encode_batch(self, texts: list[str]) -> list[Ids]:
        arrays = self.processor.encode(texts, return_type="numpy", num_threads=1)
        return [array.astype(np.uint32) for array in arrays]

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        if skip_special:
            return str(self.processor.decode(list(ids)))
        parts: list[str] = []
        run: list[int] = []
        for index in ids:
            if self.processor.is_control(index):
                parts += [self.processor.decode(run), self.processor.id_to_piece(index)]
                run = []
            else:
                run.append(index)
        return "".join([*parts, self.processor.decode(run)])

    def id_to_piece(self, index: int) -> str | None:
        if not 0 <= index < self.processor.get_piece_size():
            return None
        return str(self.processor.id_to_piece(index))

    def piece_to_id(self, piece: str) -> int | None:
        index = int(self.processor.piece_to_id(piece))
        return index if self.id_to_piece(index) == piece else None


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Load any tokenizer.

    Args:
        path: a folder (``tokenizer.json`` wins, then ``tokenizer.model``, ``*.tiktoken``,
            ``vocab.json`` with ``merges.txt``, ``vocab.txt``), or one of these files.

    Raises:
        UsageError: nothing is there, or nothing in the folder is a tokenizer.
        DataError: the file is damaged.
    """
    file = find_tokenizer_file(Path(path))
    form = sniff_format(file)
    if form == "json":
        return _load_json(file)
    if form == "spm":
        return _load_spm(file)
    from . import convert

    if form == "tiktoken":
        converted = convert.tiktoken_json(file)
    elif form == "vocab-merges":
        converted = convert.vocab_merges_json(file, file.with_name("merges.txt"))
    else:
        converted = convert.wordpiece_json(file, _read_config(file.parent))
    return _from_json(file, converted)


def column_encoder(path: Path) -> "ColumnEncoder":
    """The encoder of whole text columns; the last one asked for stays in memory.

    Args:
        path: as for :func:`load_tokenizer`.
    """
    file = find_tokenizer_file(path)
    return _column_encoder(file, sha256_json([_identity(file), _read_config(file.parent)]))


@lru_cache(maxsize=1)
def _column_encoder(file: Path, identity: str) -> "ColumnEncoder":
    from .columns import ColumnEncoder

    return ColumnEncoder(load_tokenizer(file))


def find_tokenizer_file(path: Path) -> Path:
    """The file that defines the ids of a tokenizer folder (or the file itself)."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError("no such tokenizer", where=path, fix="Give a folder or a tokenizer file.")
    for name in ("tokenizer.json", "tokenizer.model"):
        if (path / name).is_file():
            return path / name
    for pattern in ("*.tiktoken", "*.model", "vocab.json", "vocab.txt"):
        found = sorted(path.glob(pattern))
        if len(found) == 1:
            return found[0]
    raise UsageError("no tokenizer in the folder", where=path, fix="Expected tokenizer.json, "
                     "tokenizer.model, *.tiktoken, vocab.json or vocab.txt.")  # fmt: skip


def sniff_format(file: Path) -> str:
    """Tell the format by content: ``json``, ``spm``, ``tiktoken``, ``vocab-merges``, ``wordpiece``.

    Names lie: Llama-3's ``tokenizer.model`` is a tiktoken rank file.
    """
    with file.open("rb") as stream:
        head = stream.read(4096)
    first_line = head.split(b"\n", 1)[0]
    if head.lstrip()[:1] == b"{":
        return "vocab-merges" if file.with_name("merges.txt").is_file() else "json"
    if _TIKTOKEN_LINE.fullmatch(first_line):
        return "tiktoken"
    if file.suffix == ".txt":
        return "wordpiece"
    # A ModelProto opens with field 1 (a piece), length-delimited: byte 0x0A.
    if head[:1] == b"\x0a":
        return "spm"
    raise DataError(
        "not a tokenizer file",
        where=file,
        value=head[:16],
        fix="A Git LFS pointer or a torn download? Compare its size with the original.",
    )


def _load_json(file: Path) -> Tokenizer:
    document = read_json(file)
    if not isinstance(document, dict) or "model" not in document:
        raise DataError("no `model` in it: not a tokenizer.json", where=file)
    return _from_json(file, document, text=file.read_text(encoding="utf-8"))


def _from_json(file: Path, document: dict[str, Any], *, text: str | None = None) -> Tokenizer:
    fast = _parse(text or json.dumps(document, ensure_ascii=False), file)
    if _moved(fast, document) and document["model"].get("type", "BPE") == "BPE":
        from .convert import pin_added_tokens

        fast = _parse(json.dumps(pin_added_tokens(document), ensure_ascii=False), file)
    if moved := _moved(fast, document):
        raise DataError("tokenizers gives an added token another id", where=file, value=moved)
    engine = FastEngine(fast)
    added = fast.get_added_tokens_decoder()
    special = {str(token.content) for token in added.values() if token.special}
    roles = _roles(_read_config(file.parent), engine, special)
    if roles["unk"] is None:
        unknown = document["model"].get("unk_token")
        roles["unk"] = engine.piece_to_id(unknown) if unknown else None
    size = 1 + max(fast.get_vocab(with_added_tokens=True).values(), default=-1)
    return _tokenizer(file, _json_kind(document), size, roles, engine)


def _parse(text: str, file: Path) -> Any:
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the Rust side raises bare Exception
        raise DataError(f"tokenizers cannot read it ({error})", where=file) from None


def _moved(fast: Any, document: dict[str, Any]) -> str | None:
    """The first added token that does not have the id that the file says."""
    for token in document.get("added_tokens", []):
        if fast.token_to_id(token["content"]) != token["id"]:
            return str(token["content"])
    return None


def _json_kind(document: dict[str, Any]) -> str:
    model = document["model"]
    name = str(model.get("type", "BPE"))
    if name == "BPE":
        if '"ByteLevel"' in json.dumps(document.get("pre_tokenizer")):
            return "byte-bpe"
        return "spm-bpe" if model.get("byte_fallback") else "bpe"
    return {"Unigram": "spm-unigram"}.get(name, name.lower())


def _load_spm(file: Path) -> Tokenizer:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError) as error:
        raise DataError(f"sentencepiece cannot read it ({error})", where=file) from None
    engine = SentencePieceEngine(processor)
    roles = _roles(_read_config(file.parent), engine, set())
    for role in roles:
        if roles[role] is None:
            index = int(getattr(processor, f"{role}_id")())
            roles[role] = index if index >= 0 else None
    from .spm import model_type

    kind = f"spm-{model_type(file.read_bytes())}"
    return _tokenizer(file, kind, int(processor.get_piece_size()), roles, engine)


def _tokenizer(
    file: Path, kind: str, size: int, roles: dict[str, int | None], engine: Engine
) -> Tokenizer:
    generic = {"tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json"}
    name = file.resolve().parent.name if file.name in generic else file.stem
    return Tokenizer(
        name=name, kind=kind, vocab_size=size, bos_id=roles["bos"], eos_id=roles["eos"],
        pad_id=roles["pad"], unk_id=roles["unk"], sha256=_identity(file), path=file, engine=engine,
    )  # fmt: skip


def _identity(file: Path) -> str:
    """Hash of what defines the ids."""
    digest = sha256_file(file)
    if file.name == "vocab.json":
        digest = sha256_json([digest, sha256_file(file.with_name("merges.txt"))])
    return digest


def _read_config(folder: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            merged.update(read_json(folder / name))
    return merged


def _roles(config: dict[str, Any], engine: Engine, special: set[str]) -> dict[str, int | None]:
    """Ids of the four roles: the configuration's word first, then well-known special tokens."""
    names = guess_roles(special) if not config else {}
    for role in _ROLE_NAMES:
        said = config.get(f"{role}_token")
        if said:
            names[role] = said["content"] if isinstance(said, dict) else said
    # A configuration that names its tokens and leaves one out means that there is none.
    return {
        role: engine.piece_to_id(names[role]) if role in names else None for role in _ROLE_NAMES
    }


def guess_roles(special: set[str]) -> dict[str, str]:
    """Which special tokens play which role, by well-known names."""
    found = {
        role: next((name for name in names if name in special), None)
        for role, names in _ROLE_NAMES.items()
    }
    return {role: name for role, name in found.items() if name is not None}
