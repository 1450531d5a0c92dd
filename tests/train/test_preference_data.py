"""Reading of rankings and pairs: what is left out is counted, what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import command, said, usage_error
from yanmo.errors import DataError
from yanmo.train.chat_text import ChatText
from yanmo.train.preference_data import fold_of, load_answers, read_judged, split

from .preference_runs import chat_model, star_pairs, star_rankings, write_rows

ASK = [{"role": "user", "content": "q"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("model") / "m")


def ranking(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "prompt": ASK, "responses": ["x", "yy"], "rank": [1, 2]} | changes


def test_every_record_is_used_or_counted_with_its_reason(tmp_path: Path, model: Path) -> None:
    rows = [
        ranking(),
        ranking(responses=["x", "y", "z"], rank=[2, 1, None]),
        ranking(rank=None),
        ranking(rank=[1, None]),
        ranking(rank=[3, 3]),
        ranking(responses=["x", "x"]),
        ranking(responses=["x", "<|im_end|>"]),
        ranking(responses=["x", "y" * 90]),
        ranking(responses=["x", "y", "z" * 90], rank=[1, 2, 3]),
        {"prompt": "q", "chosen": "x", "rejected": "y"},
    ]
    found = load_answers([write_rows(tmp_path / "r.jsonl", rows)], ChatText(model), max_tokens=64)
    assert found.counts == {
        "read": 10, "used": 4, "unranked": 2, "tied": 1, "identical": 1, "markers": 1,
        "too_long": 1, "too_long_answers": 2, "answers": 8, "pairs": 4,
    }  # fmt: skip
    first, second = found.rankings[:2]
    chat = ChatText(model)
    text = chat.tokenizer.decode([*first.prompt, *first.answers[1]], skip_special=False)
    assert text == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nyy<|im_end|>"
    assert second.ranks == (2, 1)
    assert second.pairs == ((1, 0),)


def test_pairs_of_all_layouts_are_one(tmp_path: Path) -> None:
    human = [{"from": "human", "value": "q"}]
    rows = [
        {"conversations": human, "chosen": "x", "rejected": "y"},
        {"conversations": human, "chosen": {"from": "gpt", "value": "x"},
         "rejected": {"from": "gpt", "value": "y"}},
        {"prompt": ASK, "chosen": "x", "rejected": "y"},
        ranking(responses=["x", "y"]),
    ]  # fmt: skip
    read = list(read_judged(write_rows(tmp_path / "r.jsonl", rows)))
    assert {(r.prompt, r.answers, r.ranks) for r in read} == {(read[0].prompt, ("x", "y"), (1, 2))}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": ASK, "responses": ["x"], "ranks": [1]}, r"no 'rank'\. Did you mean 'ranks'"),
        (ranking(rank=[1]), r"rank is no list of 2 numbers, one a response, got \[1\]"),
        (ranking(rank=[0, 1]), "no whole number from 1 .* got 0"),
        (ranking(rank=[1.5, 1]), "no whole number from 1 .* got 1.5"),
        (ranking(responses="xy"), "responses is no list of texts"),
        (ranking(prompt=[*ASK, {"role": "assistant", "content": "x"}]), "ends with an answer"),
        ({"messages": ASK}, "neither a ranking nor a pair: it has no 'chosen'"),
        ({"prompt": "q", "chosen": "x"}, "it has no 'rejected'"),
    ],
)
def test_what_is_no_judgement_is_named(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = write_rows(tmp_path / "r.jsonl", [ranking(), row])
    with pytest.raises(DataError, match=f"r.jsonl#1: .*{words}"):
        list(read_judged(path))


def test_equal_prompts_stay_on_one_side(tmp_path: Path, model: Path) -> None:
    rows = star_pairs(60) + star_pairs(60, seed=8) + star_rankings(30)
    path = write_rows(tmp_path / "r.jsonl", rows)
    rankings = load_answers([path], ChatText(model), max_tokens=64).rankings
    train, held = split(rankings, 0.3, seed=1)
    assert sorted([*train, *held]) == list(range(len(rankings)))
    assert 0.15 < len(held) / len(rankings) < 0.45
    keys = [{rankings[i].prompt_key for i in side} for side in (train, held)]
    assert not keys[0] & keys[1]
    assert split(rankings, 0.3, seed=2) != (train, held)
    folds = fold_of(rankings, 5, seed=1)
    for key in keys[0] | keys[1]:
        assert len({folds[i] for i, r in enumerate(rankings) if r.prompt_key == key}) == 1
    sizes = [folds.count(fold) for fold in range(5)]
    assert min(sizes) > 15


def test_mistakes_on_the_command_line(tmp_path: Path, model: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [ranking(rank=None)])
    out = tmp_path / "out"
    base = ("train", "reward", rows, "--model", model, "--out", out)
    ended = command(*base)
    assert ended.code == 1
    said(ended, "no ranking to learn from", "1 records: 1 unranked", "Rank the answers first")
    usage_error(command(*base, "--set", "optimizer.lrr=1"), "unknown key 'optimizer.lrr'",
                "Did you mean 'lr'?")  # fmt: skip
    usage_error(command(*base, "--set", "loss.beta=1"), "unknown key 'loss.beta'")
    usage_error(command("train", "reward", rows, "--out", out), "key 'model' is required")
    usage_error(command("train", "dpo", rows, "--model", model, "--out", out, "--set",
                        "loss.kind=ipoo"), "Did you mean 'ipo'?")  # fmt: skip
    ended = command("train", "reward", tmp_path / "no.jsonl", "--model", model, "--out", out)
    said(ended, "no.jsonl", "No such file")
    (tmp_path / "t.txt").write_text("just words\n")
    ended = command("train", "dpo", tmp_path / "t.txt", "--model", model, "--out", out)
    said(ended, "t.txt, line 1", "no JSON")
    ended = command("train", "score", model, rows)
    said(ended, "error")
    pairs = write_rows(tmp_path / "p.jsonl", star_pairs(4))
    usage_error(command("train", "reward", pairs, "--model", model, "--out", out, "--folds", "9"),
                "fewer prompts than folds", "9")  # fmt: skip


def test_the_commands_run(tmp_path: Path, model: Path) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_pairs(30))
    short = ("--set", "data.max_tokens=64", "-q")
    done = command("train", "reward", data, "--model", model, "--out", tmp_path / "rm", *short)
    assert done.code == 0, done.err
    assert "accuracy of taking the longer" in done.out
    done = command("train", "dpo", data, "--model", model, "--out", tmp_path / "dpo", "--json",
                   "--seed", "3", *short)  # fmt: skip
    assert done.json()["kind"] == "dpo"
    talk = {"id": "t", "messages": [*ASK, {"role": "assistant", "content": "a*"}]}
    talks = write_rows(tmp_path / "t.jsonl", [talk])
    done = command(
        "train", "score", tmp_path / "rm", talks, "--json", "--out", tmp_path / "s.jsonl"
    )
    row = json.loads((tmp_path / "s.jsonl").read_text())
    assert done.json()["mean"] == pytest.approx(row["reward"])


@pytest.mark.realdata
def test_real_pairs_are_read_whole(realdata: Path) -> None:
    """Three files in two layouts: every record is read, and used or counted."""
    chat = ChatText(realdata / "models" / "minimind2-small")
    assert chat.tokenizer.id_to_piece(chat.end) == "<|im_end|>"
    for name, records in (("dpo_zh_500.jsonl", 500), ("dpo_zh_demo.json", 300),
                          ("dpo_en_demo.json", 300)):  # fmt: skip
        path = realdata / "instruct" / f"{name}.zst"
        counts = load_answers([path], chat, max_tokens=1024).counts
        assert counts["read"] == records
        dropped = ("unranked", "tied", "identical", "markers", "too_long")
        assert counts["used"] + sum(counts[reason] for reason in dropped) == records
        assert counts["used"] > records / 2
