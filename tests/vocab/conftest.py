"""Tiny tokenizers trained on text written here, and the folder of real tokenizers."""

import io
import json
from pathlib import Path

import pytest

from tests.vocab.mixed_texts import DOCUMENTS

ZH = (
    "研墨先于落笔，磨得越细，写得越稳。今天是个好日子，我们一起去北京看长城！"
    "中华人民共和国的首都在北京。数据清洗比模型结构更重要，我们先看数据。"
    "你好吗？我很好，谢谢你。机器学习需要大量的数据，数据质量决定模型质量。"
)
EN = (
    "Grind the ink before you write. People create features in 2016 and 1999. "
    "The quick brown fox jumps over the lazy dog, again and again. "
    "def main(argc, argv): return create(people, feature)"
)
NEW_ZH = "数据质量决定模型质量。北京的长城。机器学习模型。我们一起学习机器学习。国家图书馆在北京。"


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Two hundred short Chinese and English lines."""
    return [f"{ZH[k % 20 :]} {EN[k % 30 :]} {k}" for k in range(200)]


@pytest.fixture(scope="session")
def spm_file(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A LLaMA-like SentencePiece BPE model of 420 pieces."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=out,
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.98,
        num_threads=1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("spm") / "tokenizer.model"
    path.write_bytes(out.getvalue())
    return path


@pytest.fixture(scope="session")
def byte_folder(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A byte-level BPE folder of 400 tokens and one special token."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    fast = tokenizers.Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(texts, trainer)
    folder = tmp_path_factory.mktemp("byte")
    fast.save(str(folder / "tokenizer.json"))
    config = {"eos_token": {"content": "<|endoftext|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def english_spm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA-like base: English BPE, some single hanzi, a dummy prefix, sentinels."""
    import sentencepiece

    from yanmo.vocab.spm import Piece, dump_model, parse_model

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{EN[k % 30 :]} 的 一 是 {k}" for k in range(200)]),
        model_writer=out,
        model_type="bpe",
        vocab_size=380,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    model = parse_model(out.getvalue())
    spaces = tuple(Piece("\u2581" * k, -1e9) for k in (2, 3, 4))
    path = tmp_path_factory.mktemp("english") / "tokenizer.model"
    path.write_bytes(dump_model(model.with_pieces(model.pieces + spaces)))
    return path


@pytest.fixture(scope="session")
def english_bytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level base of English and a few hanzi, Han runs on their own."""
    from yanmo.vocab.train import TrainOptions, train_tokenizer

    root = tmp_path_factory.mktemp("bytes")
    lines = [f"{EN[k % 30 :]} 的 一 是 和 模型 {k}" for k in range(200)]
    (root / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    options = TrainOptions(size=400, kind="byte-bpe", shrink=True)
    train_tokenizer([root / "text.txt"], root / "tokenizer", options)
    return root / "tokenizer"


@pytest.fixture(scope="session")
def chinese_unigram(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A Chinese unigram model, with Latin and digits in it, as the published ones are."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts, *(f"{NEW_ZH[k % 9 :]}{k}" for k in range(100))]),
        model_writer=out,
        model_type="unigram",
        vocab_size=180,
        num_threads=1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("chinese") / "chinese_sp.model"
    path.write_bytes(out.getvalue())
    return path


@pytest.fixture(scope="session")
def real_tokenizers(realdata: Path) -> Path:
    """The folder of real tokenizers, or a skip."""
    return realdata / "tokenizers"


@pytest.fixture(scope="session")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of hanzi and letters that knows little: most of it is [UNK]."""
    signs = [*"今天是个好日子我们一起去北京看长城数据", *"abcdefghijklmnopqrstuvwxyz，。！"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, "again", "##s", "in", "and"]
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(pieces)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "mixed.jsonl"
    rows = [{"text": text, "source": "web" if k % 2 else "book", "lang": "zh" if k != 1 else "en"}
            for k, text in enumerate(DOCUMENTS)]  # fmt: skip
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def zero_merge(
    english_spm: Path, chinese_unigram: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The published recipe on tiny models; ``trainer_spec.vocab_size`` left as it was.

    Words without parts, Latin and digits, as the published unigram model has them.
    """
    from yanmo.vocab.merge import MergeOptions, merge_tokenizers
    from yanmo.vocab.spm import Piece

    from .merged_models import changed

    root = tmp_path_factory.mktemp("zero")
    words = [
        "越来越",
        "越",
        "来",
        "维生素",
        "维",
        "生",
        "素",
        "外星人",
        "eo",
        "tur",
        "20",
        "16",
        "》、《",
    ]
    chinese = changed(chinese_unigram, root / "chinese", [Piece(word, -9.0) for word in words])
    merge_tokenizers(english_spm, chinese, root / "merged", MergeOptions(scores="zero"))
    return root / "merged"
