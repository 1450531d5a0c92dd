"""A judge behind an endpoint: faults, cut replies, log-probabilities or none, killed runs."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import command, said
from tests.evals.judging import systems, two, write_answers
from tests.stub_endpoint import Fault, Reply, serve
from yanmo.endpoint import Client, Endpoint
from yanmo.errors import YanmoError
from yanmo.evals.judge import Outcome, judge_pairs
from yanmo.evals.judge_setup import REPLIES, Chosen, JudgeOptions, make_judge
from yanmo.evals.judge_sources import EndpointSource
from yanmo.evals.judges import Weights


def content(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def longer(body: Mapping[str, Any]) -> str:
    """What a judge that looks at length would say: A or B."""
    first, second = re.findall(r"开始】\n(.*?)\n【", content(body), re.DOTALL)
    return "A" if len(first) > len(second) else "B"


def judged(folder: Path, url: str, count: int = 4, **options: Any) -> Outcome:
    answers = two(folder, count)
    chosen = make_judge(
        JudgeOptions("endpoint", model="j", url=url, **options),
        [i.question for i in answers.items], kind="pair", out=folder / "run",
    )  # fmt: skip
    return judge_pairs(answers, chosen, out=folder / "run")


def test_words_with_the_format_quoted(tmp_path: Path) -> None:
    with serve(lambda body, _: f"若 A 好写 [[A]]，否则 [[B]]。\n[[{longer(body)}]]") as stub:
        outcome = judged(tmp_path, stub.url)
        (pair,) = outcome.summary["pairs"]
        assert pair["outcomes"]["loss"] == 4
        assert len(stub.requests) == 8
        assert all(body["temperature"] == 0 for body in stub.requests)
        assert stub.requests[0]["messages"][0]["role"] == "system"
        assert judged(tmp_path, stub.url).computed == 0
        assert len(stub.requests) == 8


def test_what_cannot_be_read_is_counted_with_its_reason(tmp_path: Path) -> None:
    def script(body: dict[str, Any], _: int) -> Reply | Fault | str:
        name = re.findall(r"q\d+", content(body))[0]
        if name == "q001":
            return Reply("还在想", finish_reason="length")
        if name == "q002":
            return Fault(400, body=b"content filter")
        return "都差不多" if name == "q003" else "[[A]]"

    with serve(script) as stub:
        summary = judged(tmp_path, stub.url, 5).summary
    assert summary["pairs"][0]["outcomes"] == {
        "win": 0, "loss": 0, "tie": 0, "tie_by_disagreement": 2, "invalid": 3,
    }  # fmt: skip
    reasons = summary["invalid_games"]
    assert reasons["cut off before the verdict"] == reasons["no verdict"] == 2
    assert reasons["refused: HTTP 400: content filter"] == 2
    assert "no valid verdict" in (tmp_path / "run" / "report.md").read_text("utf-8")


def test_a_server_that_always_refuses_is_an_error(tmp_path: Path) -> None:
    with (
        serve(lambda *_: Fault(400, body=b"no such parameter")) as stub,
        pytest.raises(YanmoError, match="no such parameter"),
    ):
        judged(tmp_path, stub.url)


def test_passing_faults_change_nothing(tmp_path: Path) -> None:
    faults = {1: Fault(429, {"Retry-After": "0"}), 3: Fault(500), 4: Fault(body=b"{not json")}

    def script(body: dict[str, Any], number: int) -> Reply | Fault | str:
        return faults.get(number) or f"[[{longer(body)}]]"

    with serve(script) as stub:
        endpoint = Endpoint(stub.url, "j", first_wait=0.001)
        answers = two(tmp_path)
        template = make_judge(
            JudgeOptions("endpoint", model="j", url=stub.url),
            [i.question for i in answers.items], kind="pair", out=None,
        ).judge  # fmt: skip
        template.source = EndpointSource(Client(endpoint, sleep=lambda _: None))  # type: ignore[attr-defined]
        outcome = judge_pairs(answers, Chosen(template))
    assert outcome.summary["pairs"][0]["outcomes"]["loss"] == 20


def test_a_killed_run_asks_nothing_twice(tmp_path: Path) -> None:
    """Replies are kept as they come, also those whose sample was not yet written."""
    broken = True

    def script(body: dict[str, Any], number: int) -> Reply | Fault | str:
        if broken and number >= 5:
            return Fault(401, body=b"key expired")
        return f"[[{longer(body)}]]"

    with serve(script) as stub:
        with pytest.raises(YanmoError, match="key expired"):
            judged(tmp_path, stub.url, 6, concurrency=1)
        answered = (tmp_path / "run" / REPLIES).read_bytes().count(b"\n")
        assert answered == 5
        (tmp_path / "run" / "samples.jsonl").write_bytes(b"")  # killed before they were flushed
        broken, before = False, len(stub.requests)
        outcome = judged(tmp_path, stub.url, 6, concurrency=1)
        assert len(stub.requests) - before == 12 - answered
        assert outcome.summary["pairs"][0]["outcomes"]["loss"] == 6


def letter_reply(letter: str, p: float = 0.9, spaced: bool = False) -> Reply:
    """A reply of one letter with its alternatives, as vLLM gives them."""
    other = "B" if letter == "A" else "A"
    top = [{"token": letter, "logprob": math.log(p * 0.75)},
           {"token": " " + letter, "logprob": math.log(p * 0.25)},
           {"token": other, "logprob": math.log(1 - p)}]  # fmt: skip
    shown = {"token": " " + letter if spaced else letter, "logprob": math.log(p)}
    lead = [{"token": "：", "logprob": -0.1, "top_logprobs": [{"token": "：", "logprob": -0.1}]}]
    return Reply(f"：{letter}", logprobs={"content": [*lead, {**shown, "top_logprobs": top}]})


def test_letters_with_their_probabilities(tmp_path: Path) -> None:
    with serve(lambda body, _: letter_reply("A" if "only: A" in content(body) else longer(body),
                                            spaced=True)) as stub:  # fmt: skip
        outcome = judged(tmp_path, stub.url, mode="letters")
        assert stub.requests[1]["logprobs"] is True
        assert len(stub.requests) == 9  # a probe, and every game once
        judged(tmp_path, stub.url, mode="letters")
        assert len(stub.requests) == 9  # a run that goes on need not probe
    row = outcome.samples[0]
    assert row["letter"] == "B"
    assert row["logprobs"][1] == pytest.approx(math.log(0.9), abs=1e-5)
    assert row["logprobs"][2] is None
    assert row["mass"] == pytest.approx(1.0)
    (pair,) = outcome.summary["pairs"]
    assert pair["preference"]["value"] == pytest.approx(0.1)
    assert outcome.summary["judge"]["mode"] == "letters"


@pytest.mark.parametrize("refusal", [Fault(400, body=b"logprobs unsupported"), "A"])
def test_a_server_without_logprobs_is_read_by_words(tmp_path: Path, refusal: Fault | str) -> None:
    with serve(lambda body, _: refusal if "logprobs" in body else f"[[{longer(body)}]]") as stub:
        outcome = judged(tmp_path, stub.url, mode="letters")
    assert outcome.summary["judge"]["mode"] == "words"
    assert "words were read instead" in outcome.summary["note"]
    assert outcome.summary["pairs"][0]["outcomes"]["loss"] == 4


def test_replies_that_hold_no_letter() -> None:
    from yanmo.evals.judge_sources import _letter_weights

    assert _letter_weights([]) == Weights((), "no letter was written")
    assert _letter_weights([{"token": "好", "top_logprobs": []}]).trouble


def test_grades_by_class(tmp_path: Path) -> None:
    """BELLE's way: the rule of the class is the system message; class names in any spelling."""
    rules = tmp_path / "rules.json"
    rules.write_text(
        '{"class": "open QA", "prompt": "规则一"}\n{"class": "math", "prompt": "规则二"}'
    )
    kinds = {"q0": "open\xa0qa", "q1": "math", "q2": "math"}
    path = write_answers(tmp_path / "a.jsonl", dict.fromkeys(kinds, "答"), **{"class": kinds.get})

    def script(body: dict[str, Any], _: int) -> str:
        rule = body["messages"][0]["content"]
        if "q2" in content(body):
            return "得分: 7"
        return {"规则一": "得分: 0.25", "规则二": "理由。得分：1"}[rule]

    with serve(script) as stub:
        ended = command("evals", "judge", path, "--single", "--judge", "endpoint", "--model", "j",
                        "--url", stub.url, "--class-prompts", rules, "--json")  # fmt: skip
        (grades,) = json.loads(ended.out)["grades"]
        assert grades["classes"]["open qa"] == {"mean": 0.25, "n": 1}
        assert grades["classes"]["math"] == {"mean": 1.0, "n": 1}
        assert grades["invalid"] == 1
        odd = write_answers(tmp_path / "b.jsonl", {"q0": "答"}, **{"class": "poetry"})
        ended = command("evals", "judge", odd, "--single", "--judge", "endpoint", "--model", "j",
                        "--url", stub.url, "--class-prompts", rules)  # fmt: skip
    assert ended.code == 1
    said(ended, "poetry", "math, open qa")


def test_nobody_answers(tmp_path: Path) -> None:
    ended = command("evals", "judge", *systems(tmp_path, 2), "--judge", "endpoint", "--model", "j",
                    "--url", "localhost:1/v1")  # fmt: skip
    assert ended.code == 2
    said(ended, "http address", "http://localhost:8000/v1")
