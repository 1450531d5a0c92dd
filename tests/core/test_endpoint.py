"""The client against a server with scripted faults."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stub_endpoint import Fault, Reply, serve
from yanmo.endpoint import Client, Endpoint, Request
from yanmo.errors import DataError, UsageError, YanmoError

ASK = [{"role": "user", "content": "你好"}]


def quick(url: str, **options: Any) -> Endpoint:
    return Endpoint(url, "stub", **({"timeout_seconds": 5.0, "first_wait": 0.01} | options))


def test_an_answer_with_its_counts_and_parameters() -> None:
    with serve(lambda body, n: Reply("好", usage=(7, 1), logprobs={"content": []})) as stub:
        answer = Client(quick(stub.url)).ask(Request(ASK, {"temperature": 0.5}))
        assert Client(quick(stub.url)).models() == ["stub"]
    assert (answer.text, answer.finish_reason, answer.prompt_tokens, answer.completion_tokens) == (
        "好", "stop", 7, 1
    )  # fmt: skip
    assert answer.logprobs == {"content": []}
    assert stub.requests == [{"model": "stub", "messages": ASK, "temperature": 0.5}]


def test_passing_trouble_is_tried_again_and_later_each_time() -> None:
    faults = [
        Fault(429, {"Retry-After": "3"}), Fault(500), Fault(200, body=b"{torn"),
        Fault(200, body=b"[]"),
    ]  # fmt: skip
    waits: list[float] = []
    with serve(lambda body, n: faults[n] if n < len(faults) else "ok") as stub:
        client = Client(quick(stub.url, first_wait=1.0), sleep=waits.append)
        assert client.ask(Request(ASK)).text == "ok"
    assert len(stub.requests) == 5
    assert waits[0] == 3.0  # what the server asked for
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits) if n)


def test_a_timeout_is_passing_trouble() -> None:
    slow = Fault(delay_seconds=1.0)
    with serve(lambda body, n: slow if n == 0 else "ok") as stub:
        assert Client(quick(stub.url, timeout_seconds=0.2)).ask(Request(ASK)).text == "ok"


def test_trouble_that_stays_is_named() -> None:
    with serve(lambda body, n: Fault(503, body=b"busy")) as stub:
        client = Client(quick(stub.url, attempts=3))
        with pytest.raises(YanmoError, match=r"failed 3 times in a row.*HTTP 503: busy"):
            client.ask(Request(ASK))
    assert len(stub.requests) == 3


def test_a_refusal_is_not_tried_again() -> None:
    with (
        serve(lambda body, n: Fault(401, body=b"no such key")) as stub,
        pytest.raises(YanmoError, match=r"401: no such key.*environment variable"),
    ):
        Client(quick(stub.url)).ask(Request(ASK))
    assert len(stub.requests) == 1


def test_a_reply_without_a_message_is_an_error() -> None:
    with (
        serve(lambda body, n: Fault(200, body=b'{"choices": []}')) as stub,
        pytest.raises(DataError, match="holds no message"),
    ):
        Client(quick(stub.url)).ask(Request(ASK))


def test_answers_are_kept_and_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    cache = tmp_path / "answers.jsonl"
    with serve(lambda body, n: f"answer {n}") as stub:
        first = Client(quick(stub.url), cache=cache).ask(Request(ASK))
        other = Client(quick(stub.url), cache=cache).ask(Request(ASK, sample=1))
        with cache.open("a") as stream:
            stream.write('{"key": "cut of')
        again = Client(quick(stub.url), cache=cache)
        assert again.ask(Request(ASK)).text == first.text == "answer 0"
        assert again.ask(Request(ASK)).cached
        assert again.ask(Request(ASK, sample=1)).text == other.text == "answer 1"
        assert again.ask(Request(ASK, {"temperature": 0})).text == "answer 2"
    assert len(stub.requests) == 3
    assert [len(json.loads(line)["key"]) for line in cache.read_text().splitlines()] == [64] * 3


def test_damage_in_the_middle_of_the_kept_answers_is_an_error(tmp_path: Path) -> None:
    cache = tmp_path / "answers.jsonl"
    cache.write_text('{"key"\n{"key": "a", "reply": {}}\n')
    with pytest.raises(DataError, match="line 1"):
        Client(Endpoint("http://127.0.0.1:9/v1", "m"), cache=cache)


def test_many_come_back_in_order() -> None:
    with serve(lambda body, n: body["messages"][0]["content"] * 2) as stub:
        asked = [Request([{"role": "user", "content": str(n)}]) for n in range(30)]
        assert [a.text for a in Client(quick(stub.url)).ask_all(asked)] == [
            f"{n}{n}" for n in range(30)
        ]


def test_the_key_is_sent_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "sk-123")
    cache = tmp_path / "answers.jsonl"
    with serve(lambda body, n: "ok") as stub:
        Client(quick(stub.url, key_env="SECRET_KEY"), cache=cache).ask(Request(ASK))
    assert stub.headers[0]["Authorization"] == "Bearer sk-123"
    assert "sk-123" not in cache.read_text()


def test_wrong_endpoints_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="http address"):
        Endpoint("localhost:8000/v1", "m")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        Endpoint("http://localhost/v1", "m", key_env="NO_SUCH_KEY")
