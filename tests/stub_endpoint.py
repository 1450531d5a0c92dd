"""An OpenAI-compatible server on the loopback, with scripted answers and faults, for tests."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fault:
    """An answer that goes wrong: a status, or a delay that outlasts the client, or raw bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"scripted"
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class Reply:
    """An answer: text, how it ended, and token log-probabilities if wanted."""

    text: str
    finish_reason: str = "stop"
    logprobs: dict[str, Any] | None = None
    usage: tuple[int, int] = (10, 5)


Script = Callable[[dict[str, Any], int], Reply | Fault | str]


@dataclass
class Stub:
    """A running server.

    Attributes:
        url: the base address, up to and with ``/v1``.
        requests: bodies in order of arrival (of ``/chat/completions``).
        headers: of each request.
    """

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serve(script: Script, *, models: tuple[str, ...] = ("stub",)) -> Iterator[Stub]:
    """Serve on a random port of the loopback.

    Args:
        script: from the request's body and its number (from 0) to what is answered.
        models: what ``/models`` lists.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": name} for name in models]}, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(stub.requests)
                stub.requests.append(body)
                stub.headers.append(dict(self.headers.items()))
            found = script(body, number)
            if isinstance(found, Fault):
                time.sleep(found.delay_seconds)
                self._send(found.status, found.body, found.headers)
                return
            reply = Reply(found) if isinstance(found, str) else found
            choice = {
                "index": 0, "message": {"role": "assistant", "content": reply.text},
                "finish_reason": reply.finish_reason, "logprobs": reply.logprobs,
            }  # fmt: skip
            usage = {"prompt_tokens": reply.usage[0], "completion_tokens": reply.usage[1]}
            self._send(200, {"choices": [choice], "usage": usage}, {})

        def _send(self, status: int, content: object, headers: dict[str, str]) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the client has given up, as some scripts want

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
