"""A client of OpenAI-compatible servers (vLLM, llama.cpp, Ollama, hosted models).

Every answer is kept by what was asked, so that a run that was cut off asks nothing twice. Trouble
that passes (429, 5xx, a time-out, a dropped connection) is tried again, later and later; trouble
that stays is an error that names it. The key is read from the environment and written nowhere.
"""

import hashlib
import http.client
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, UsageError, YanmoError

PASSING: Final = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses that may be gone at the next attempt."""
LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers.

    Attributes:
        base_url: up to and with ``/v1``.
        model: its name there.
        key_env: environment variable that holds the key; ``None``: no key is sent.
        timeout_seconds: of one attempt.
        attempts: how often a request is tried in all.
        concurrency: requests under way at once.
        first_wait: seconds before the second attempt; doubled each time, with jitter.
    """

    base_url: str
    model: str
    key_env: str | None = None
    timeout_seconds: float = 120.0
    attempts: int = 6
    concurrency: int = 4
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise UsageError("an endpoint is an http address", value=self.base_url,
                             fix="For example http://localhost:8000/v1.")  # fmt: skip
        if self.key_env is not None and not os.environ.get(self.key_env):
            raise UsageError("the key's environment variable is not set", value=self.key_env,
                             fix=f"export {self.key_env}=…")  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        messages: ``role`` and ``content`` of each turn.
        parameters: temperature, top_p, max_tokens, logprobs, … as the server takes them.
        sample: number of the answer among several to the same question; part of its key.
    """

    messages: Sequence[Mapping[str, str]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0

    def key(self, model: str) -> str:
        """SHA-256 of model, parameters and messages: the name of the answer."""
        content = [model, list(map(dict, self.messages)), dict(self.parameters), self.sample]
        text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: of the first choice.
        finish_reason: ``stop``, ``length``, … as the server says.
        prompt_tokens: as the server counts; 0 if it does not.
        completion_tokens: likewise.
        logprobs: the server's ``logprobs`` object of the first choice, if asked for and given.
        key: of the request.
        cached: whether it was kept from before and cost nothing.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    logprobs: Mapping[str, Any] | None
    key: str
    cached: bool = False


class Client:
    """Asks an endpoint, and remembers.

    Args:
        endpoint: where.
        cache: JSON lines file that answers are appended to; ``None``: nothing is kept.
        sleep: waits; tests put their own.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint, self._sleep, self._cache = endpoint, sleep, cache
        self._known = _read_cache(cache) if cache is not None else {}
        self._lock = threading.Lock()
        self._random = random.Random(endpoint.base_url)

    def ask(self, request: Request) -> Answer:
        """One answer.

        Raises:
            YanmoError: the server refuses, or fails at every attempt.
        """
        key = request.key(self.endpoint.model)
        if key in self._known:
            return _answer(self._known[key], key, cached=True)
        body = {
            "model": self.endpoint.model,
            "messages": [dict(m) for m in request.messages],
            **request.parameters,
        }
        reply = self._post("/chat/completions", body)
        answer = _answer(reply, key)
        self._keep(key, reply)
        return answer

    def ask_all(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests; so many at once as the endpoint allows.

        Raises:
            YanmoError: as :meth:`ask`; the answers that came before are kept.
        """
        waiting: list[Future[Answer]] = []
        with ThreadPoolExecutor(self.endpoint.concurrency) as pool:
            try:
                for request in requests:
                    waiting.append(pool.submit(self.ask, request))
                    if len(waiting) > 2 * self.endpoint.concurrency:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def models(self) -> list[str]:
        """Names of the models that the server offers (``/models``).

        Raises:
            YanmoError: as :meth:`ask`.
        """
        reply = self._post("/models", None)
        return [str(entry.get("id")) for entry in reply.get("data", [])]

    def _post(self, path: str, body: object | None) -> dict[str, Any]:
        url = self.endpoint.base_url.rstrip("/") + path
        trouble, wait = "", 0.0
        for attempt in range(self.endpoint.attempts):
            if attempt:
                self._sleep(wait)
            wait = min(self.endpoint.first_wait * 2**attempt, LONGEST_WAIT)
            wait *= 0.5 + self._random.random()
            try:
                return self._once(url, body)
            except urllib.error.HTTPError as error:
                detail = error.read(500).decode("utf-8", "replace")
                trouble = f"HTTP {error.code}: {detail}"
                if error.code not in PASSING:
                    raise YanmoError("the endpoint refuses the request", where=url, value=trouble,
                                     fix=_advice(error.code)) from None  # fmt: skip
                wait = _retry_after(error, wait)
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
                trouble = f"{type(error).__name__}: {error}"
        raise YanmoError(
            f"the endpoint failed {self.endpoint.attempts} times in a row", where=url,
            value=trouble, fix="What was answered before is kept; run the same command again.",
        )  # fmt: skip

    def _once(self, url: str, body: object | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self.endpoint.key_env is not None:
            headers["Authorization"] = f"Bearer {os.environ[self.endpoint.key_env]}"
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        request = urllib.request.Request(url, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=self.endpoint.timeout_seconds) as stream:
            reply = json.loads(stream.read().decode("utf-8"))
        if not isinstance(reply, dict):
            raise json.JSONDecodeError("the reply is no JSON object", str(reply)[:100], 0)
        return reply

    def _keep(self, key: str, reply: dict[str, Any]) -> None:
        with self._lock:
            self._known[key] = reply
            if self._cache is not None:
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                line = json.dumps({"key": key, "reply": reply}, ensure_ascii=False)
                with self._cache.open("a", encoding="utf-8", newline="\n") as stream:
                    stream.write(line + "\n")


def _answer(reply: Mapping[str, Any], key: str, *, cached: bool = False) -> Answer:
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise DataError("the endpoint's reply holds no message", where=f"request {key[:12]}",
                        value=reply) from None  # fmt: skip
    usage = reply.get("usage") or {}
    return Answer(
        text or "", str(choice.get("finish_reason") or ""), int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0), choice.get("logprobs"), key, cached,
    )  # fmt: skip


def _read_cache(path: Path) -> dict[str, dict[str, Any]]:
    """Answers of earlier runs; a last line that was cut off is left out."""
    known: dict[str, dict[str, Any]] = {}
    if path.is_file():
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line) if line else None
            except json.JSONDecodeError:
                if number < len(lines):
                    raise DataError("no JSON in the kept answers", where=f"{path}, line {number}",
                                    fix="Delete the line.") from None  # fmt: skip
                path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8", newline="\n")
                continue
            if entry is not None:
                known[entry["key"]] = entry["reply"]
    return known


def _retry_after(error: urllib.error.HTTPError, otherwise: float) -> float:
    """Seconds that the server asks for (``Retry-After`` in seconds), within reason."""
    asked = str(error.headers.get("Retry-After", "")) if error.headers is not None else ""
    return min(max(float(asked), otherwise), 600.0) if asked.isdigit() else otherwise


def _advice(status: int) -> str:
    if status in (401, 403):
        return "Check the key's environment variable."
    if status == 404:
        return "Check the base address (it ends with /v1) and the model's name."
    return "See what the server says."
