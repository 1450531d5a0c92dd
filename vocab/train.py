"""Train a vocabulary from documents: SentencePiece BPE, or byte-level BPE with `tokenizers`.

Settings follow LLaMA where it is right for Chinese and English alike: identity normalisation (text
comes back as it was; ``nmt_nfkc`` would turn ，：（） into ASCII), byte fallback (nothing is
unknown), digits one by one, spaces kept. They leave LLaMA in one point: no space is put before the
text (``dummy_prefix`` is off), because it costs a token at the start of every Chinese text and
makes the first word of a text differ from the same word after a line end.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.recipe import setting, to_table

from . import agreement, charsets, convert, folder
from .lines import MAX_LINE_CHARS, Ledger, read_lines
from .spm import parse_model
from .spm_json import bos_template, spm_document
from .surfaces import census

ROLES = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"}
# Fixed, because the count is written into the model and must not depend on the machine.
SPM_THREADS = 4
HAN_PATTERN = r"\p{Han}+"
# With these known, text that spells a byte piece such as <0x0A> never falls back to that piece.
BYTE_SPELLING = "<>x0123456789ABCDEF"
# The check of the result runs on this many lines at least, if there are so many.
PROBES = 500


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What decides the vocabulary."""

    size: int = setting(low=300, high=1_000_000, help="Entries in all, special tokens included.")
    kind: str = setting("spm-bpe", choices=("spm-bpe", "spm-unigram", "byte-bpe", "wordpiece"))
    column: str = setting("text", help="Column or JSON field that holds the text.")
    sample: float = setting(1.0, low=0, high=1, help="Share of the lines to train on.")
    seed: int = setting(0, help="Seed of the choice of lines.")
    shrink: bool = setting(False, help="Take the largest size that the text supports.")
    special: tuple[str, ...] = setting((), help="Further special tokens.")
    min_frequency: int = setting(2, low=1, help="Least count of a merge (not for SentencePiece).")
    character_coverage: float = setting(
        0.9995, low=0.5, high=1, source="google/sentencepiece README: 0.9995 for Chinese"
    )
    required_chars: str = setting(
        "off", choices=("off", *charsets.NAMES), help="Characters that must have a piece."
    )
    max_piece_chars: int = setting(16, low=1, high=512, source="sentencepiece and LLaMA: 16")
    dummy_prefix: bool = setting(False, help="Put a space before each text, as LLaMA does.")
    pattern: str = setting(
        "han",
        choices=("han", "qwen", "gpt2", "cl100k"),
        help="Words of byte-level BPE; han: Han runs stand alone, digits one by one.",
    )

    def __post_init__(self) -> None:
        clash = sorted(set(self.special) & set(ROLES.values()))
        if clash:
            raise RecipeError("a special token is already there", value=clash[0])


@dataclass(frozen=True)
class Trained:
    """A tokenizer in memory, ready to be written."""

    document: dict[str, Any]
    extra: dict[str, bytes]
    roles: dict[str, str]


def train_tokenizer(inputs: Sequence[Path], out: Path, options: TrainOptions) -> dict[str, Any]:
    """Train a tokenizer and write its folder.

    Args:
        inputs: run folders, Parquet, JSONL or text files.
        out: folder to write.
        options: what decides the vocabulary.

    Returns:
        The report that also stands in ``report.json``.

    Raises:
        UsageError: the text does not support so many entries (and ``shrink`` is off), or the
            required characters do not fit.
        DataError: there is no text, or the two libraries do not agree on the result.
    """
    folder.refuse_foreign(out, inputs)
    corpus = _Corpus(inputs, options)
    trained = _TRAINERS[options.kind](corpus, options)
    pieces = _pieces(trained.document)
    report = {
        "kind": options.kind,
        "size": len(pieces),
        "asked": options.size,
        "text": corpus.ledger.close(),
        "pieces": census(pieces, options.kind, special=_special(trained.document)),
        "agreement": _check(trained, corpus.probes, options),
    }
    folder.write_tokenizer(
        out,
        document=trained.document,
        config=folder.tokenizer_config(trained.roles, extra_special=options.special),
        provenance={
            "made_by": "vocab train",
            "options": to_table(options),
            "inputs": folder.input_identities(inputs),
            "base": None,
            "added_ids": [],
        },
        report=report,
        extra=trained.extra,
    )
    return report


class _Corpus:
    """The lines on their way into a trainer; may be gone through more than once.

    Keeps the books and some lines to check the result on, and the first error: sentencepiece turns
    an exception of its iterator into a RuntimeError of its own, `tokenizers` may drop it.
    """

    def __init__(self, inputs: Sequence[Path], options: TrainOptions) -> None:
        self._inputs, self._options = inputs, options
        self.ledger, self.probes = Ledger(), list[str]()
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        self.ledger, self.probes = Ledger(), []
        stride = 1
        try:
            for number, line in enumerate(self._lines()):
                if number % stride == 0:
                    self.probes.append(line[:MAX_LINE_CHARS])
                    if len(self.probes) == 2 * PROBES:
                        del self.probes[1::2]
                        stride *= 2
                yield line
            if not any(probe.strip() for probe in self.probes):
                raise DataError("there is no text to train on", fix="Is the column right?")
        except Exception as error:
            self.error = error
            raise

    def _lines(self) -> Iterator[str]:
        options = self._options
        return read_lines(
            self._inputs,
            self.ledger,
            column=options.column,
            keep_line_ends=options.kind == "byte-bpe",
            sample=options.sample,
            seed=options.seed,
        )

    def feed(self, fast: Any, trainer: Any) -> None:
        """Train a `tokenizers.Tokenizer`; an error of the input is raised as it was."""
        try:
            fast.train_from_iterator(iter(self), trainer)
        finally:
            if self.error is not None:
                raise self.error


def _pieces(document: dict[str, Any]) -> list[str]:
    vocab = document["model"]["vocab"]
    if isinstance(vocab, list):
        return [piece for piece, _ in vocab]
    by_id = {index: piece for piece, index in vocab.items()}
    by_id |= {token["id"]: token["content"] for token in document["added_tokens"]}
    return [by_id[index] for index in sorted(by_id)]


def _special(document: dict[str, Any]) -> list[str]:
    return [token["content"] for token in document["added_tokens"]]


def _check(trained: Trained, probes: list[str], options: TrainOptions) -> Mapping[str, Any]:
    engines = {"tokenizers": agreement.fast_engine(trained.document)}
    model = trained.extra.get("tokenizer.model")
    if model is not None:
        engines = {"sentencepiece": agreement.spm_engine(model), **engines}
    found = agreement.agreement(
        engines,
        probes,
        special=_special(trained.document),
        spaces_lost=model is not None,
        round_trip=options.kind != "wordpiece",
    )
    return agreement.require_agreement(found)


def _too_many(options: TrainOptions, largest: int) -> UsageError:
    return UsageError(
        f"the text does not support {options.size} entries, only {largest}",
        where="size",
        fix=f"Ask for at most {largest}, give more text, or say --shrink.",
    )


def _train_spm(corpus: _Corpus, options: TrainOptions) -> Trained:
    import sentencepiece

    writer = io.BytesIO()
    required = [*charsets.characters(options.required_chars)]
    if options.kind == "spm-unigram":
        required += BYTE_SPELLING
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus),
            model_writer=writer,
            model_type=options.kind.removeprefix("spm-"),
            vocab_size=options.size,
            hard_vocab_limit=not options.shrink,
            character_coverage=options.character_coverage,
            required_chars="".join(required),
            max_sentencepiece_length=options.max_piece_chars,
            max_sentence_length=4 * MAX_LINE_CHARS,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=options.dummy_prefix,
            byte_fallback=True,
            split_digits=True,
            split_by_unicode_script=True,
            control_symbols=list(options.special),
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            num_threads=SPM_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explain(str(error), options, corpus) from None
    data = writer.getvalue()
    document = spm_document(parse_model(data), bos=ROLES["bos"])
    return Trained(document, {"tokenizer.model": data}, ROLES)


def _explain(message: str, options: TrainOptions, corpus: _Corpus) -> Exception:
    """sentencepiece's message in words that name the way out."""
    if corpus.error is not None:
        return corpus.error
    high = re.search(r"set it to a value <= (\d+)", message)
    if high:
        return _too_many(options, int(high[1]))
    low = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if low:
        return UsageError(
            f"{options.size} entries do not hold the {low[1]} that must be there",
            where="size",
            fix=f"Bytes, special tokens and characters need {low[1]}: ask for more, lower "
            "character_coverage, or take a smaller required_chars.",
        )
    return DataError(f"sentencepiece failed: {message.strip()}")


def _train_byte_level(corpus: _Corpus, options: TrainOptions) -> Trained:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    fast = tokenizers.Tokenizer(models.BPE())
    fast.pre_tokenizer = _words(options.pattern)
    fast.decoder = decoders.ByteLevel()
    special = [ROLES["unk"], ROLES["bos"], ROLES["eos"], ROLES["pad"], *options.special]
    trainer = trainers.BpeTrainer(
        vocab_size=options.size,
        min_frequency=options.min_frequency,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=4 * options.max_piece_chars,
        show_progress=False,
    )
    corpus.feed(fast, trainer)
    document = _finished(fast, options)
    document["post_processor"] = bos_template(ROLES["bos"], special.index(ROLES["bos"]))
    return Trained(document, {}, ROLES)


def _words(pattern: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    rule = {
        "han": convert.QWEN_PATTERN,
        "qwen": convert.QWEN_PATTERN,
        "gpt2": convert.GPT2_PATTERN,
        "cl100k": convert.CL100K_PATTERN,
    }[pattern]
    steps: list[Any] = []
    if pattern == "han":
        steps.append(pre_tokenizers.Split(Regex(HAN_PATTERN), "isolated"))
    steps.append(pre_tokenizers.Split(Regex(rule), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return pre_tokenizers.Sequence(steps)


def _finished(fast: Any, options: TrainOptions) -> dict[str, Any]:
    size = int(fast.get_vocab_size())
    if size < options.size and not options.shrink:
        raise _too_many(options, size)
    if size > options.size:
        raise UsageError(
            f"{options.size} entries do not hold the {size} that must be there", where="size"
        )
    document: dict[str, Any] = json.loads(fast.to_str())
    return document


def _train_wordpiece(corpus: _Corpus, options: TrainOptions) -> Trained:
    """BERT's WordPiece: every hanzi is a word of its own, unknown words become ``[UNK]``.

    The trainer numbers the ``##`` characters in the order of a hash map, which differs from run to
    run and decides ties. So a first pass finds them, and the second gets them sorted.
    """
    roles = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "eos": "[SEP]", "mask": "[MASK]"}
    special = [*roles.values(), *options.special]
    alphabet = list(charsets.characters(options.required_chars))
    first = _wordpiece_pass(corpus, options, special=special, alphabet=alphabet, size=0)
    inner = sorted(p for p in first["model"]["vocab"] if len(p) == 3 and p.startswith("##"))
    document = _wordpiece_pass(
        corpus, options, special=[*special, *inner], alphabet=alphabet, size=options.size
    )
    document["added_tokens"] = document["added_tokens"][: len(special)]
    vocab = document["model"]["vocab"]
    lines = "".join(f"{piece}\n" for piece in sorted(vocab, key=vocab.__getitem__))
    return Trained(document, {"vocab.txt": lines.encode()}, roles)


def _wordpiece_pass(
    corpus: _Corpus, options: TrainOptions, *, special: list[str], alphabet: list[str], size: int
) -> dict[str, Any]:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    fast = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=options.min_frequency,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    corpus.feed(fast, trainer)
    if size:
        return _finished(fast, options)
    document: dict[str, Any] = json.loads(fast.to_str())
    return document


_TRAINERS = {
    "spm-bpe": _train_spm,
    "spm-unigram": _train_spm,
    "byte-bpe": _train_byte_level,
    "wordpiece": _train_wordpiece,
}
