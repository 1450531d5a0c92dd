"""Run the command in this process, the way the shell would."""

import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from yanmo.cli import main

QUICK = ("-q", "--workers", "1", "--set", "duplicates.near=false")
"""A run of small inputs in one process, without what takes long."""


@dataclass
class Ended:
    """What a shell sees of a command."""

    code: object
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def command(*arguments: object, stdin: bytes = b"", encoding: str = "utf-8") -> Ended:
    """Run ``yanmo ARGUMENTS``; an exception that is no exit passes through."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with (
        mock.patch.object(sys, "argv", ["yanmo", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
    ):
        code: object = "returned"
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        out.flush()
        err.flush()
    encoding = "utf-8" if encoding == "ascii" else encoding  # click takes ASCII for a mistake
    written = (stream.buffer.getvalue().decode(encoding) for stream in (out, err))
    return Ended(code, *written)


def usage_error(ended: Ended, *words: object) -> None:
    """Exit 2, nothing on stdout, one message without a traceback, with these words in it."""
    assert (ended.code, ended.out) == (2, ""), ended.err
    said(ended, *words)


def said(ended: Ended, *words: object) -> None:
    assert "Traceback" not in ended.err
    for word in words:
        assert str(word) in ended.err
