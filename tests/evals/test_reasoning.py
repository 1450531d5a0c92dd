"""Reading answers from words, reasoning runs, rotated options and chat templates."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yanmo.errors import DataError, UsageError
from yanmo.evals.exam import Question
from yanmo.evals.multiple_choice import evaluate
from yanmo.evals.planning import Settings, rotated
from yanmo.evals.reasoning import read_answer
from yanmo.evals.score import LoadOptions, Scorer, load_scorer
from yanmo.evals.summary import averaged_rotations
from yanmo.vocab.chat import ChatTemplate, chat_encoder, refuse_markers
from yanmo.vocab.load import load_tokenizer

from .conftest import save_tiny, tiny_config


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("首先排除A，再排除B。\n所以答案是C。", "C"),
        ("答案是A？不对，重新想。所以答案是D。", "D"),
        ("答案：B", "B"),
        ("答案为（A）", "A"),
        ("因此选择C。", "C"),
        ("正确答案应该是选项 D", "D"),
        ("The answer is (B).", "B"),
        ("Answer: C", "C"),
        ("B选项正确，因为其余三项都不符合题意。", "B"),
        ("A项是正确的，C不对。", "A"),
        ("只有 C 符合题意", "C"),
        ("我不知道。", None),
        ("A和B都有道理。", None),
        ("答案是E。", None),
        ("DNA 是遗传物质，答案不明", None),
        ("", None),
    ],
)
def test_read_answer(text: str, letter: str | None) -> None:
    assert read_answer(text, "ABCD") == letter


def test_reasoning_run_counts_what_names_no_letter(packed: Scorer, demo: Path) -> None:
    settings = replace(Settings(), reason=True, shots=1, per_subject=1, max_new_tokens=12)
    outcome = evaluate(packed, demo, settings=settings)
    assert all(row["text"] is not None for row in outcome.samples)
    nothing = [row for row in outcome.samples if row["prediction"] is None]
    assert outcome.summary["invalid"] == len(nothing)
    assert outcome.summary["mass"] is None
    assert outcome.summary["calibration"] is None
    right = sum(row["prediction"] == row["answer"] for row in outcome.samples)
    assert outcome.summary["accuracy"]["micro"] == right / 6


def test_both_engines_write_the_same(packed: Scorer, plain: Scorer) -> None:
    prompts = [[1, 50, 60, 70], [1, 400], [1, 30, 31, 32, 33, 34]]
    assert packed.generate(prompts, 8, [2]) == plain.generate(prompts, 8, [2])


def test_rotation_puts_every_option_behind_every_letter() -> None:
    question = Question("law", "0", "q", ("w", "x", "y", "z"), "B")
    shown = [rotated(question, shift).options for shift in range(4)]
    assert shown[1] == ("x", "y", "z", "w")
    assert all({row[place] for row in shown} == {"w", "x", "y", "z"} for place in range(4))


def test_averaged_rotations_cancel_a_liking_for_a_letter() -> None:
    # The model adds 3 to whatever stands behind A, and 1 to the option that is right (C).
    rows = []
    for shift in range(4):
        scores = [1.0 if (i + shift) % 4 == 2 else 0.0 for i in range(4)]
        scores[0] += 3.0
        back = [scores[(place - shift) % 4] for place in range(4)]
        rows.append({"subject": "law", "id": "0", "shift": shift, "answer": "C", "logprobs": back})
    assert int(np.argmax(rows[0]["logprobs"])) == 0  # A, if asked once
    assert averaged_rotations(rows) == {"law": [1.0]}


def test_rotated_run(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    settings = replace(Settings(), rotate=True, per_subject=2, shots=2)
    found = evaluate(packed, demo, settings=settings, out=tmp_path)
    assert len(found.samples) == 4 * 12
    assert found.summary["n"] == found.summary["rotated"]["n"] == 12
    assert sum(found.summary["letters"]["predicted"].values()) == 48
    once = evaluate(packed, demo, settings=replace(settings, rotate=False))
    assert once.summary["accuracy"] == found.summary["accuracy"]
    again = evaluate(packed, demo, settings=settings, out=tmp_path)
    assert (again.computed, again.summary) == (0, found.summary)


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def chat_model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tokenizers

    fast = tokenizers.ByteLevelBPETokenizer()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    fast.train([str(corpus)], vocab_size=700, special_tokens=marks)
    folder = tmp_path_factory.mktemp("chat-tokenizer")
    fast.save(str(folder / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return save_tiny(tmp_path_factory.mktemp("tiny-chat"), folder, tiny_config(700))


def test_chat_run(chat_model: Path, demo: Path) -> None:
    settings = replace(Settings(), dialect="official-chat", shots=1, per_subject=1)
    fast = evaluate(load_scorer(chat_model), demo, settings=settings)
    slow = load_scorer(chat_model, LoadOptions(engine="transformers"))
    for a, b in zip(fast.samples, evaluate(slow, demo, settings=settings).samples, strict=True):
        assert np.abs(np.array(a["logprobs"]) - b["logprobs"]).max() < 1e-4
    assert fast.summary["slot"]["answers"] == ["A", "B", "C", "D"]


def test_markers_become_one_id_and_content_must_not_hold_them(chat_model: Path) -> None:
    tokenizer = load_tokenizer(chat_model)
    messages = [{"role": "user", "content": "地球"}]
    text = ChatTemplate(chat_model).render(messages)
    assert text == "<|im_start|>user\n地球<|im_end|>\n<|im_start|>assistant\n"
    ids = chat_encoder(tokenizer)([text])[0]
    start, end = (tokenizer.piece_to_id(f"<|im_{x}|>") for x in ("start", "end"))
    assert (ids[0], ids.count(start), ids.count(end)) == (start, 2, 1)
    refuse_markers(tokenizer, messages, where="here")
    with pytest.raises(DataError, match=r"law 3: the text holds a special token"):
        refuse_markers(tokenizer, [{"role": "user", "content": "<|im_end|>"}], where="law 3")


def test_templates_that_cannot_be_used(chat_model: Path, spm_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no chat template"):
        ChatTemplate(spm_model)
    with pytest.raises(UsageError, match=r"need a tokenizer\.json"):
        chat_encoder(load_tokenizer(spm_model))
    shutil.copytree(chat_model, tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").write_text(
        "{{ raise_exception('no turns') }}", "utf-8"
    )
    with pytest.raises(DataError, match=r"refuses the messages.*no turns"):
        ChatTemplate(tmp_path / "m").render([])


@pytest.mark.realdata
def test_template_of_a_real_model_equals_transformers(realdata: Path) -> None:
    from transformers import AutoTokenizer

    folder = realdata / "models" / "minimind2-small"
    turns = [("user", "1+1=？\n答案："), ("assistant", "2"), ("user", "2+2=？ ")]
    messages = [{"role": role, "content": content} for role, content in turns]
    peer = AutoTokenizer.from_pretrained(str(folder))
    text = ChatTemplate(folder).render(messages)
    assert text == peer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = peer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert list(chat_encoder(load_tokenizer(folder))([text])[0]) == ids["input_ids"]
