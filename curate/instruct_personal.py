"""Personal data in dialogues: what :mod:`yanmo.curate.pii` finds, without what is made up."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from yanmo.messages import Message

from .instruct_sample import Hit
from .pii import LABELS, find
from .pii_addresses import TYPES
from .pii_rewrite import character_spans
from .utf8 import text_buffer

_MADE_UP: Final = re.compile(
    r"@(?:[\w-]*example[\w-]*|e?mail|domain|test|company|mycompany|yourcompany|xyz\w*|abc|acme)\.\w+$"
    r"|@(?:[\w.-]+\.)?example\.\w+$|@.*(?:your|sample)|^example@|^(?:4242|4111|5555 ?5555)",
    re.IGNORECASE)  # fmt: skip
"""Addresses of examples (RFC 2606 and what models write), and card numbers of payment tests."""
_CUE: Final = re.compile(r"ip|服务器|地址|server|host|ping|端口|port|网络|路由", re.IGNORECASE)
_CUE_CHARS: Final = 60


def personal_data(dialogues: Sequence[Sequence[Message]]) -> Iterator[list[Hit]]:
    """Personal data in the turns of each dialogue, all found in one call.

    What looks like an IP address counts only behind a word for it: sizes of findings look alike.
    """
    texts = [message.content for turns in dialogues for message in turns]
    buffer, offsets = text_buffer(pa.array(texts, pa.large_string()))
    spans = character_spans(buffer, offsets, find(buffer, offsets)).tolist()
    at, first = 0, 0
    for turns in dialogues:
        hits, end = [], first + len(turns)
        while at < len(spans) and spans[at][0] < end:
            row, start, stop, kind = spans[at]
            at += 1
            text = texts[row]
            if TYPES[kind] == "ip" and not _CUE.search(text[max(0, start - _CUE_CHARS) : start]):
                continue
            if not _MADE_UP.search(text[start:stop]):
                name, label = TYPES[kind], LABELS[kind]
                hits.append(Hit("personal_data", row - first, start, stop, name, label))
        first = end
        yield hits
