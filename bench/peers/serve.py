"""How a peer answers: one JSON object a line on stdin, one on stdout, until stdin ends.

What libraries print goes to stderr, so that it cannot stand among the answers.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final

DATATROVE_LANGUAGES: Final = {"zh": "cmn_Hani", "en": "eng_Latn"}
"""datatrove's code ``zh`` cuts at spaces only (its table gives ``zh`` to a spaCy tokenizer without
a segmenter); ``cmn`` is cut by jieba, so that is what Chinese is compared with."""


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer requests with ``answer`` until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


def read_texts(path: str) -> list[str]:
    """The texts of a JSON lines file."""
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123  # a peer's script stays plain
        return [json.loads(line)["text"] for line in stream]
