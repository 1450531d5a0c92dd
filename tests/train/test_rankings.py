"""Answers to rank: the same whatever stands beside a prompt, and after a stop."""

import json
from pathlib import Path

import pytest
import torch

from tests.command import command, said, usage_error
from yanmo.errors import DataError, UsageError
from yanmo.train import rankings
from yanmo.train.folder import load_model
from yanmo.train.generate import Sampling, generate
from yanmo.train.rankings import read_prompts, write_rankings

from .preference_runs import chat_model, read_rows, write_rows

HOW = Sampling(max_tokens=12, temperature=1.0, top_p=1.0, seed=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("model") / "m")


def prompts(path: Path, count: int = 7) -> Path:
    rows = [{"id": f"p{n}", "messages": [{"role": "user", "content": "ask " * (n % 3) + str(n)}]}
            for n in range(count)]  # fmt: skip
    return write_rows(path, rows)


def test_rows_are_what_reward_models_read(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "r.jsonl"
    found = write_rankings(model, prompts(tmp_path / "p.jsonl"), out, 3, HOW, quiet=True)
    assert (found["prompts"], found["written"], found["there"]) == (7, 7, 0)
    rows = read_rows(out)
    assert [row["id"] for row in rows] == [f"p{n}" for n in range(7)]
    assert all(list(row) == ["id", "prompt", "responses", "rank"] for row in rows)
    assert all(len(row["responses"]) == 3 and row["rank"] is None for row in rows)
    assert len({text for row in rows for text in row["responses"]}) > 15
    assert not (tmp_path / "r.jsonl.part").exists()


def test_an_answer_depends_on_its_prompt_and_number_alone(tmp_path: Path, model: Path) -> None:
    many, few = tmp_path / "many.jsonl", tmp_path / "few.jsonl"
    write_rankings(model, prompts(tmp_path / "p.jsonl", 7), many, 3, HOW, quiet=True)
    only = prompts(tmp_path / "p.jsonl", 2)
    write_rankings(model, only, few, 2, HOW, quiet=True)
    for row, other in zip(read_rows(few), read_rows(many), strict=False):
        assert row["responses"] == other["responses"][:2]
    other = tmp_path / "other.jsonl"
    seed = Sampling(max_tokens=12, temperature=1.0, top_p=1.0, seed=5)
    write_rankings(model, only, other, 2, seed, quiet=True)
    assert read_rows(other)[0]["responses"] != read_rows(few)[0]["responses"]


def test_a_second_run_goes_on(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prompts(tmp_path / "p.jsonl", 9)
    straight, stopped = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_rankings(model, asked, straight, 4, HOW, quiet=True)
    real, calls = rankings.generate, []

    def failing(*arguments, **named):  # type: ignore[no-untyped-def]
        calls.append(len(arguments[1]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(rankings, "generate", failing)
    with pytest.raises(KeyboardInterrupt):
        write_rankings(model, asked, stopped, 4, HOW, quiet=True)
    part = stopped.with_name("b.jsonl.part")
    part.write_text(part.read_text() + '{"id": "torn')
    found = write_rankings(model, asked, stopped, 4, HOW, quiet=True)
    assert found["written"] == 5
    assert stopped.read_bytes() == straight.read_bytes()
    calls.clear()
    again = write_rankings(model, asked, stopped, 4, HOW, quiet=True)
    assert (again["written"], calls) == (0, [])


def test_ranks_that_people_gave_stay(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "r.jsonl"
    write_rankings(model, prompts(tmp_path / "p.jsonl", 2), out, 2, HOW, quiet=True)
    rows = read_rows(out)
    rows[0]["rank"] = [2, 1]
    write_rows(out, rows)
    found = write_rankings(model, prompts(tmp_path / "p.jsonl", 4), out, 2, HOW, quiet=True)
    assert (found["written"], found["there"]) == (2, 2)
    assert [row["rank"] for row in read_rows(out)] == [[2, 1], None, None, None]
    with pytest.raises(UsageError, match=r"made in another way.*\['n'\]"):
        write_rankings(model, prompts(tmp_path / "p.jsonl", 4), out, 3, HOW, quiet=True)
    other = write_rows(tmp_path / "mine.jsonl", rows)
    with pytest.raises(UsageError, match="not written by this command"):
        write_rankings(model, prompts(tmp_path / "p.jsonl", 4), other, 2, HOW, quiet=True)


def test_numbers_drawn_by_row_follow_the_probabilities(model: Path) -> None:
    net = load_model(model)
    prompt = [1, 40, 41]
    with torch.no_grad():
        chances = net.logits(torch.tensor([prompt]))[0, -1].softmax(0)
    draws = torch.rand(4000, 1, generator=torch.Generator().manual_seed(1))
    drawn = generate(net, [prompt] * 4000, Sampling(max_tokens=1, temperature=1.0, top_p=1.0),
                     draws=draws)  # fmt: skip
    counts = torch.bincount(torch.tensor([s.tokens[0] for s in drawn]), minlength=len(chances))
    share = counts / 4000
    assert (share - chances).abs().max().item() < 4 * (chances.max().item() / 4000) ** 0.5
    top = generate(net, [prompt] * 50, Sampling(max_tokens=1, top_k=1), draws=draws[:50])
    assert {s.tokens[0] for s in top} == {int(chances.argmax())}


def test_prompts_come_in_several_forms(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("一\n\n二\n", "utf-8")
    assert [p.messages[0].content for p in read_prompts(tmp_path / "p.txt")] == ["一", "二"]
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    path = write_rows(tmp_path / "p.jsonl", [{"prompt": "q"}, {"messages": turns}])
    assert {p.messages for p in read_prompts(path)} == {read_prompts(path)[0].messages}
    for row, words in (
        ({"promt": "q"}, "no prompt.*Did you mean 'prompt'"),
        ({"messages": [{"role": "system", "content": "s"}]}, "asks nothing"),
    ):
        with pytest.raises(DataError, match=words):
            read_prompts(write_rows(tmp_path / "bad.jsonl", [row]))
    with pytest.raises(DataError, match="two prompts have one id"):
        read_prompts(write_rows(tmp_path / "bad.jsonl", [{"id": 1, "prompt": "q"}] * 2))


def test_the_command(tmp_path: Path, model: Path) -> None:
    asked, out = prompts(tmp_path / "p.jsonl", 3), tmp_path / "r.jsonl"
    base = ("train", "generate", model, "--n", "2", "--max-tokens", "5", "-q")
    done = command(*base, "--prompts", asked, "--out", out, "--json")
    assert done.json()["written"] == 3
    assert json.loads(out.read_text().splitlines()[0])["id"] == "p0"
    usage_error(command(*base, "--prompts", asked), "--prompts goes with --out")
    usage_error(command(*base, "--out", out), "--out goes with --prompts")
    usage_error(command(*base, "--out", out, "--prompts", asked, "q"), "prompts are given twice")
    said(command(*base, "--prompts", tmp_path / "no", "--out", out), "No such file")
