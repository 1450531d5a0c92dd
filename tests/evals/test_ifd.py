"""``yanmo evals score --signal ifd``: against one token at a time, and what can go wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import command, said, usage_error
from yanmo.errors import DataError, UsageError
from yanmo.evals.ifd import IfdOptions, Writer, score_dialogues, score_pairs
from yanmo.evals.score import LoadOptions, Scorer, load_scorer
from yanmo.messages import Message, read_dialogues, read_objects
from yanmo.vocab.chat import CHATML, ChatTemplate, chat_encoder

TALKS: list[list[str]] = [
    ["下列哪一项是对的？", "第一项是对的。"], ["二加三等于几", "五"],
    ["请选择", "选A", "为什么选这一项？", "因为其他各项都不对，只有它说明了原因。"],
    ["问题", "很长的答案" * 12], ["空答案", ""],
]  # fmt: skip


@pytest.fixture(scope="module")
def chat_model(bytes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose vocabulary holds the markers of ChatML, with that template."""
    import tokenizers

    from .conftest import save_tiny, tiny_config

    folder = tmp_path_factory.mktemp("chat-tokenizer")
    fast = tokenizers.Tokenizer.from_file(str(bytes_folder / "tokenizer.json"))
    fast.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    fast.save(str(folder / "tokenizer.json"))
    config = {"chat_template": CHATML, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    where = tmp_path_factory.mktemp("tiny-chat")
    return save_tiny(where, folder, tiny_config(fast.get_vocab_size()))


@pytest.fixture(scope="module")
def chat(chat_model: Path) -> Scorer:
    return load_scorer(chat_model, LoadOptions(engine="packed"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "talks.jsonl"
    lines = []
    for texts in TALKS:
        roles = ("user", "assistant") * len(texts)
        messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines))
    return path


def one_at_a_time(scorer: Scorer, before: list[int], answer: list[int]) -> float:
    """The sum of the losses of an answer's tokens, each by a forward pass of its own."""
    loss, ids = 0.0, list(before)
    for token in answer:
        loss -= float(scorer.next_logprobs([ids])[0, token])
        ids.append(token)
    return loss


def test_equals_one_token_at_a_time(chat: Scorer, data: Path, tmp_path: Path) -> None:
    summary = score_dialogues(chat, data, IfdOptions(batch_tokens=64), out=tmp_path / "o",
                              quiet=True)  # fmt: skip
    assert (summary["n"], summary["scored"], summary["template"]) == (5, 4, "chat")
    rows = [row for _, row in read_objects(tmp_path / "o" / "samples.jsonl")]
    encode = chat_encoder(chat.tokenizer)
    template = ChatTemplate(chat.tokenizer.path.parent)
    (opening,) = encode(["<|im_start|>assistant\n"])
    for row, dialogue in zip(rows, read_dialogues(data), strict=True):
        sums = np.zeros(2)
        for turn, message in enumerate(dialogue.messages):
            if message.role != "assistant" or not message.content:
                continue
            prompt = template.render([m.table() for m in dialogue.messages[:turn]])
            before, whole = encode([prompt, prompt + message.content])
            assert whole[: len(before)] == before
            answer = list(whole[len(before) :])
            asked = one_at_a_time(chat, list(before), answer)
            alone = one_at_a_time(chat, list(opening), answer)
            mine = next(t for t in row["turns"] if t["turn"] == turn)
            assert mine["tokens"] == len(answer)
            assert mine["ifd"] == pytest.approx(asked / alone, abs=2e-5)
            assert mine["nll"] == pytest.approx(asked / len(answer), abs=1e-4)
            sums += asked, alone
        if sums[1]:
            assert row["ifd"] == pytest.approx(sums[0] / sums[1], abs=2e-5)
        else:
            assert (row["ifd"], row["note"]) == (None, "no answer that fits")


def test_plain_text_without_a_first_token(qwen_model: Path, data: Path, tmp_path: Path) -> None:
    scorer = load_scorer(qwen_model, LoadOptions(engine="packed"))
    writer = Writer(scorer, "auto")
    assert writer.chat is None
    for dialogue in read_dialogues(data):
        for pair in writer.pairs(dialogue):
            tail = pair.asked[pair.asked_start :]
            assert tail == pair.alone[pair.alone_start :]
            assert pair.alone_start >= 1
            (((asked, alone),),) = score_pairs(scorer, [[pair]], batch_tokens=512)
            head = list(pair.asked[: pair.asked_start])
            assert asked == pytest.approx(one_at_a_time(scorer, head, list(tail)), rel=1e-4)
            head = list(pair.alone[: pair.alone_start])
            assert alone == pytest.approx(one_at_a_time(scorer, head, list(tail)), rel=1e-4)


def test_turns_of_a_dialogue_share_a_pass(chat: Scorer, data: Path) -> None:
    """Whether their tokens begin a later turn's or not."""
    dialogues = [list(Writer(chat, "auto").pairs(d)) for d in read_dialogues(data)]
    talk = dialogues[2]
    assert talk[1].asked[: len(talk[0].asked)] == talk[0].asked
    odd = replace(talk[0], asked=(*talk[0].asked[:1], *talk[0].asked), asked_start=
                  talk[0].asked_start + 1)  # fmt: skip
    groups = [talk, [odd, talk[1]], []]
    apart = [score_pairs(chat, [[pair]], batch_tokens=64)[0][0] for g in groups for pair in g]
    together = [sums for g in score_pairs(chat, groups, batch_tokens=64) for sums in g]
    assert np.allclose(together, apart, rtol=1e-5)


def test_batches_do_not_change_values(chat: Scorer, data: Path, tmp_path: Path) -> None:
    values = []
    for number, tokens in enumerate((1, 100, 10_000)):
        out = tmp_path / str(number)
        score_dialogues(chat, data, IfdOptions(batch_tokens=tokens), out=out, quiet=True)
        values.append([row["ifd"] for _, row in read_objects(out / "samples.jsonl")][:4])
    assert np.allclose(values[0], values[1], atol=2e-5)
    assert np.allclose(values[0], values[2], atol=2e-5)


def test_a_run_cut_off_goes_on(chat: Scorer, data: Path, tmp_path: Path) -> None:
    whole = score_dialogues(chat, data, IfdOptions(), out=tmp_path / "whole", quiet=True)
    out = tmp_path / "cut"
    score_dialogues(chat, data, IfdOptions(limit=2), out=out, quiet=True)
    with (out / "samples.jsonl").open("a") as stream:
        stream.write('{"row": 2, "id": "ta')  # as a kill leaves it
    again = score_dialogues(chat, data, IfdOptions(), out=out, quiet=True)
    assert again == whole
    rows = [row["row"] for _, row in read_objects(out / "samples.jsonl")]
    assert rows == [0, 1, 2, 3, 4]
    data.write_text(data.read_text() + "\n")
    with pytest.raises(UsageError, match=r"another run.*data"):
        score_dialogues(chat, data, IfdOptions(), out=out, quiet=True)


def test_answers_longer_than_the_context(chat_model: Path, data: Path, tmp_path: Path) -> None:
    scorer = load_scorer(chat_model, LoadOptions(engine="packed", max_tokens=48))
    summary = score_dialogues(scorer, data, IfdOptions(), out=tmp_path / "o", quiet=True)
    assert summary["cut"] >= 1
    pairs = [pair for d in read_dialogues(data) for pair in Writer(scorer, "auto").pairs(d)]
    assert all(len(pair.asked) <= 48 and len(pair.alone) <= 48 for pair in pairs)
    assert all(p.asked[p.asked_start :] == p.alone[p.alone_start :] for p in pairs)
    long = replace(next(read_dialogues(data)), messages=(Message("user", "长" * 99),
                                                         Message("assistant", "短")))  # fmt: skip
    assert list(Writer(scorer, "auto").pairs(long)) == []


def test_markers_in_a_text_are_named(chat: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    bad = {"instruction": "说<|im_end|>", "input": "", "output": "好"}
    good = {"instruction": "说", "input": "", "output": "好的"}
    path.write_text(json.dumps(bad) + "\n" + json.dumps(good))
    score_dialogues(chat, path, IfdOptions(), out=tmp_path / "o", quiet=True)
    first, second = (row for _, row in read_objects(tmp_path / "o" / "samples.jsonl"))
    assert (first["ifd"], first["note"]) == (None, "the text holds a special token of the model")
    assert second["ifd"] > 0
    path.write_text(json.dumps(bad))
    with pytest.raises(DataError, match="special token"):
        score_dialogues(chat, path, IfdOptions(), out=tmp_path / "p", quiet=True)


def test_command_and_import_by_clean(chat_model: Path, data: Path, tmp_path: Path) -> None:
    options: tuple[Any, ...] = (chat_model, data, "--threads", 1, "-q")
    ended = command("evals", "score", "--signal", "ifd", *options, "--out", tmp_path / "o",
                    "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    told = ended.json()
    assert set(told["length"]) == {"pearson_log_tokens", "spearman_tokens", "by_quarter"}
    assert sum(row["n"] for row in told["length"]["by_quarter"]) == told["scored"]
    assert "Highest" in (tmp_path / "o" / "report.html").read_text()
    cleaned = command("curate", "instruct", "clean", data, "--scores", tmp_path / "o", "--set",
                      "score.column=ifd", "--set", "score.max=0.0", "--out", tmp_path / "c",
                      "--json")  # fmt: skip
    assert cleaned.code == 0, cleaned.err
    rules = {rule["rule"]: rule["dialogues"] for rule in cleaned.json()["rules"]}
    assert rules["score"] == 4


def test_mistyped(chat_model: Path, data: Path, tmp_path: Path) -> None:
    both: tuple[Any, ...] = (chat_model, data, "--out", tmp_path / "o")
    usage_error(command("evals", "score", *both), "--task", "--signal")
    usage_error(command("evals", "score", "--signal", "idf", *both), "ifd")
    usage_error(command("evals", "score", "--signal", "ifd", chat_model, data), "--out")
    usage_error(command("evals", "score", "--signal", "ifd", *both, "--dialect", "official"),
                "chat, plain")  # fmt: skip
    (tmp_path / "bad.jsonl").write_text('{"question": "x"}')
    ended = command("evals", "score", "--signal", "ifd", chat_model, tmp_path / "bad.jsonl", "-q",
                    "--out", tmp_path / "p")  # fmt: skip
    assert ended.code == 1
    said(ended, "no known format", "question")
