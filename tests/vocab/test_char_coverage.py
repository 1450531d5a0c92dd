"""Characters and words that are one token, against the vocabularies themselves."""

from pathlib import Path

import numpy as np
import pytest

from yanmo.vocab.char_coverage import (
    TABLES,
    coverage,
    encode_inside,
    read_words,
    table,
    words_kept,
)
from yanmo.vocab.load import load_tokenizer


def test_coverage_counts_each_character_alone(spm_file: Path, wordpiece: Path) -> None:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(spm_file))
    found = coverage(load_tokenizer(spm_file))
    for name in TABLES:
        # Single characters are the leaves of byte-pair encoding: in the vocabulary means reached.
        one = sum(processor.piece_to_id(c) != processor.unk_id() for c in table(name))
        assert found[name] == {"one": one, "several": len(table(name)) - one, "unk": 0,
                               "of": len(table(name))}  # fmt: skip
    assert found["gb2312-1"]["one"] > 50
    known = set(wordpiece.read_text(encoding="utf-8").split())
    found = coverage(load_tokenizer(wordpiece))
    for name in TABLES:
        one = sum(c in known for c in table(name))
        assert found[name] == {"one": one, "several": 0, "unk": found[name]["of"] - one,
                               "of": len(table(name))}  # fmt: skip


def test_tables_have_the_sizes_of_the_standards() -> None:
    # Big5 level 2 has 7652; two of them the codec knows as compatibility forms.
    sizes = {name: len(table(name)) for name in TABLES}
    assert sizes == {"gb2312-1": 3755, "gb2312-2": 3008, "tgh8105": 8105, "big5-1": 5401,
                     "big5-2": 7650}  # fmt: skip
    assert not set(table("gb2312-1")) & set(table("gb2312-2"))
    assert all(c.encode("big5") >= b"\xc9\x40" for c in table("big5-2"))
    assert all(c.encode("gb2312") >= b"\xd8\xa1" for c in table("gb2312-2"))


def test_context_of_a_unigram_with_a_normaliser(chinese_unigram: Path) -> None:
    """nmt_nfkc eats the line end before a character and would put its own space there."""
    tokenizer = load_tokenizer(chinese_unigram)
    (ids,) = encode_inside(tokenizer, ["数"])
    assert ids is not None
    assert [tokenizer.id_to_piece(int(i)) for i in ids] == ["数"]


def test_words(spm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(
        "# list\n数据\t7\n模型 2\n龘靐\nagain\n\n", encoding="utf-8"
    )
    words = read_words(tmp_path / "words.txt")
    assert words.words == ("数据", "模型", "龘靐", "again")
    assert words.weights == (7.0, 2.0, 1.0, 1.0)
    tokenizer = load_tokenizer(spm_file)
    found = words_kept(tokenizer, words)
    pieces = {tokenizer.id_to_piece(k) for k in range(tokenizer.vocab_size)}
    kept = [w in pieces or f"▁{w}" in pieces for w in words.words]
    assert 0 < sum(kept) < 4
    assert found["one"] == sum(kept) / 4
    weights = np.array(words.weights)
    assert found["weighted_one"] == pytest.approx(weights[kept].sum() / weights.sum())
    assert found["characters"] >= 0.25  # 龘靐 goes to bytes


def test_lists_with_phrases_and_fractions(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    lines = ("\ufeff数据 12 n", "ice cream\t2.5\tnoun", "New York", "模型\tn", "数据 1e3", "#x 3")
    path.write_text("\n".join(lines), encoding="utf-8")
    words = read_words(path)
    assert dict(zip(words.words, words.weights, strict=True)) == {
        "数据": 1012.0, "ice cream": 2.5, "New York": 1.0, "模型": 1.0,
    }  # fmt: skip


@pytest.mark.realdata
def test_real_tokenizers_have_the_published_coverage(real_tokenizers: Path) -> None:
    """GB 2312 level 1, both levels, Big5 level 1, as counted from the vocabularies themselves."""
    counted = {"llama": (607, 610, 539), "chinese-llama-2": (3751, 6464, 4912),
               "bert-base-chinese": (3735, 5291, 4798), "chinese-llama": (3745, 5609, 4342),
               "llama3": (1766, 1785, 1667), "qwen": (3753, 6641, 4009)}  # fmt: skip
    for name, expected in counted.items():
        one = {t: n["one"] for t, n in coverage(load_tokenizer(real_tokenizers / name)).items()}
        found = (one["gb2312-1"], one["gb2312-1"] + one["gb2312-2"], one["big5-1"])
        assert found == expected, name
