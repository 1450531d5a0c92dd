"""Dialects word for word, and answer ids from the real prompt."""

from pathlib import Path

import pytest

from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.evals.exam import Question, Subject
from yanmo.evals.prompts import (
    common_prefix,
    find_slots,
    load_dialect,
    load_dialects,
    plain_encoder,
)
from yanmo.vocab.load import load_tokenizer

LAW = Subject("Law", "法学", "Humanities")
SHOT = Question("law", "0", "宪法是____", ("根本法", "民法", "刑法", "商法"), "A")
ASKED = Question("law", "7", r" 已知 {x} 与 \frac{1}{2}，则", ("{question}", "2", "3", "4"), "D")


def test_official_word_for_word() -> None:
    dialect = load_dialect("official")
    prompt = dialect.prompt(dialect.heading("law", LAW), [SHOT], ASKED)
    assert prompt == (
        "以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\n"
        "宪法是____\nA. 根本法\nB. 民法\nC. 刑法\nD. 商法\n答案：A\n\n"
        " 已知 {x} 与 \\frac{1}{2}，则\nA. {question}\nB. 2\nC. 3\nD. 4\n答案："
    )


def test_every_dialect_has_its_source() -> None:
    for name, dialect in load_dialects().items():
        assert dialect.source, name
        assert dialect.ask(ASKED).endswith(dialect.item[-1]), name


def test_unknown_dialects_and_placeholders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'official'"):
        load_dialect("oficial")
    path = tmp_path / "d.toml"
    path.write_text(
        '[mine]\ntitle = "t"\nsource = "s"\nheader = "{topic}"\noption = "{letter} {text}"\n'
        'item = "{question}{options}"\nanswer = "{letter}"\nshot_end = ""\n',
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match=r"topic.* is no placeholder of 'header'"):
        load_dialect(f"{path}:mine")
    path.write_text('[mine]\ntitel = "t"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="Did you mean 'title'"):
        load_dialect(f"{path}:mine")


def test_a_shot_needs_its_answer() -> None:
    with pytest.raises(DataError, match="a shot has no answer"):
        load_dialect("official").worked(Question("law", "3", "q", ("1", "2"), None))


def test_sentencepiece_letters_are_those_inside_a_word(spm_folder: Path) -> None:
    tokenizer = load_tokenizer(spm_folder)
    prompt = load_dialect("official").ask(SHOT)
    (slot,) = find_slots(plain_encoder(tokenizer), [prompt], [list("ABCD")])
    pieces = [tokenizer.id_to_piece(tail[0]) for tail in slot.tails]
    assert slot.single
    assert pieces == ["A", "B", "C", "D"]
    # What looking the letters up alone would have given: the start of a word.
    alone = tokenizer.encode("A").tolist()
    assert tokenizer.id_to_piece(alone[0]) in ("▁", "▁A")
    assert alone != list(slot.tails[0])


def test_slots_of_many_prompts_equal_slots_one_by_one(spm_folder: Path, bytes_folder: Path) -> None:
    dialect = load_dialect("official")
    prompts = [dialect.prompt("", [SHOT] * n, q) for n in (0, 1, 3) for q in (SHOT, ASKED)]
    for folder in (spm_folder, bytes_folder):
        tokenizer = load_tokenizer(folder)
        together = find_slots(plain_encoder(tokenizer), prompts, [list("ABCD")] * len(prompts))
        alone = [
            find_slots(plain_encoder(tokenizer), [prompt], [list("ABCD")])[0] for prompt in prompts
        ]
        assert together == alone
        for prompt, slot in zip(prompts, together, strict=True):
            for letter, tail in zip("ABCD", slot.tails, strict=True):
                assert slot.context + tail == tuple(tokenizer.encode(prompt + letter).tolist())


def merging_tokenizer(folder: Path) -> Path:
    """A vocabulary in which a letter merges with the colon before it: the prompt's ids change."""
    import tokenizers
    from tokenizers import models

    symbols = ["：", "A", "B", "答", "：A", "：B", "C", "x"]
    model = models.BPE({s: i for i, s in enumerate(symbols)}, [("：", "A"), ("：", "B")])
    tokenizers.Tokenizer(model).save(str(folder / "tokenizer.json"))
    return folder


def test_a_letter_that_merges_with_the_prompt(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(merging_tokenizer(tmp_path))
    (slot,) = find_slots(plain_encoder(tokenizer), ["答："], [["A", "B", "C"]])
    # "：" is no longer part of the context; C is then two tokens and all are summed.
    assert slot.context == (3,)
    assert slot.tails == ((4,), (5,), (0, 6))
    assert not slot.single


def test_letters_that_cannot_be_told_apart(tmp_path: Path) -> None:
    import tokenizers
    from tokenizers import models

    model = models.WordLevel({"[UNK]": 0, "答": 1}, unk_token="[UNK]")
    fast = tokenizers.Tokenizer(model)
    fast.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    fast.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"答.*does not tell the answers apart"):
        find_slots(plain_encoder(load_tokenizer(tmp_path)), ["答"], [["A", "B"]])


def test_common_prefix() -> None:
    assert common_prefix([(1, 2, 3), (1, 2), (1, 2, 4, 5)]) == 2
    assert common_prefix([(1,), (2,)]) == 0
    assert common_prefix([(7, 8)]) == 2
