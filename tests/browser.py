"""Drive a headless Chromium by its own debugging protocol over a pipe: keys, mouse, screenshots.

No package is needed: messages are JSON, each closed by a NUL, on file descriptors 3 and 4.
Source: chromium, --remote-debugging-pipe; Chrome DevTools Protocol.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
KEYS = {"Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}  # fmt: skip


def find_browser() -> str:
    """The program; skips the test on a laptop without one, fails it in CI."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: CI installs one")
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


class Browser:
    """One page of a browser, with everything that it complained about or asked the network for.

    Attributes:
        complaints: console errors and warnings, exceptions that nothing caught.
        requests: addresses asked for, the page itself left out.
    """

    def __init__(self, profile: Path, *, language: str = "en") -> None:
        """Start it with an empty profile."""
        commands_in, self._commands = os.pipe()
        self._replies, replies_out = os.pipe()

        def wire() -> None:
            # Both ends could be 3 or 4 already: move them out of the way first.
            reader, writer = os.dup(commands_in), os.dup(replies_out)
            os.dup2(reader, 3)
            os.dup2(writer, 4)

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update",
                     "--disable-dev-shm-usage", f"--accept-lang={language}", "--hide-scrollbars",
                     f"--user-data-dir={profile}", "--remote-debugging-pipe"]  # fmt: skip
        self._process = subprocess.Popen(
            [find_browser(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=wire, pass_fds=(3, 4),
        )  # fmt: skip
        os.close(commands_in)
        os.close(replies_out)
        self._rest, self._number = b"", 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._session = None
        with contextlib.suppress(EOFError):
            self.call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._commands)
        os.close(self._replies)

    def call(self, method: str, **parameters: Any) -> Any:
        """One command and its answer; what happens meanwhile is noted."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                if "error" in found:
                    raise AssertionError(f"{method}: {found['error']}")
                return found["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._replies, 1 << 20)
            if not more:
                raise EOFError
            self._rest += more
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(event["args"])[:500])
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.complaints.append(event["entry"]["text"])
        elif method == "Network.requestWillBeSent" and event["type"] != "Document":
            self.requests.append(event["request"]["url"])

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file and wait until it is there."""
        self._load("Page.navigate", url=page.resolve().as_uri() + fragment)

    def reload(self) -> None:
        """Load the page again, as F5 does.

        To open it anew may start another process, which for some milliseconds sees what the old one
        had stored before.
        """
        self._load("Page.reload")

    def _load(self, method: str, **parameters: Any) -> None:
        self._loaded = False
        self.call(method, **parameters)
        deadline = time.monotonic() + 60
        while not self._loaded:
            if time.monotonic() > deadline:
                raise TimeoutError(method)
            self._next()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """What a reader sees of all elements that a selector finds."""
        script = f"[...document.querySelectorAll({json.dumps(selector)})].map(e=>e.innerText)"
        found: list[str] = self.run(script)
        return found

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the window and the colours that the reader prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """A key as from a keyboard."""
        event = {"key": key, "code": "Space" if key == " " else key,
                 "windowsVirtualKeyCode": KEYS.get(key, 0)}  # fmt: skip
        if key in ("Enter", " "):
            event["text"] = "\r" if key == "Enter" else " "
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Text as from a keyboard or an input method."""
        self.call("Input.insertText", text=text)

    def point(self, selector: str, *, click: bool = False) -> None:
        """Move the mouse onto the first element that a selector finds; click it."""
        script = (
            f"(()=>{{const e=document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block:'center'});const r=e.getClientRects()[0];"
            "return [r.x+r.width/2,r.y+r.height/2]})()"
        )
        x, y = self.run(script)
        mouse = {"x": x, "y": y}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **mouse)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1,
                          **mouse)  # fmt: skip

    def shot(self, path: Path, *, full: bool = False) -> None:
        """A screenshot as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(found["data"]))
