"""Which tokens of a dialogue are trained: what the assistant says, and the token that ends it.

The template's own text decides, not a search for token patterns: an answer is what a turn adds to
the text of the turns before it with the answer opened. The whole dialogue is tokenised once, and
the two are brought together by character offsets, so that a merge across the seam of prompt and
answer is seen as what it is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError
from yanmo.messages import Message
from yanmo.vocab.chat import CHATML, ChatTemplate
from yanmo.vocab.load import FastEngine, Tokenizer

MARKERS = ("<|im_start|>", "<|im_end|>")
Span = tuple[int, int]


class NotPrefixSafe(DataError):
    """The template renders a turn differently, depending on what follows it."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A dialogue as the model reads it, up to its last trained token.

    Attributes:
        ids: (n,) int32.
        trained: (n,) bool.
        answers: how many turns of the assistant.
        text_bytes: UTF-8 bytes of the answers, without the tokens that end them.
        unended: answers whose last trained token ends nothing.
        merged: answers whose first characters share a token with the prompt; it is not trained.
    """

    ids: npt.NDArray[np.int32]
    trained: npt.NDArray[np.bool_]
    answers: int
    text_bytes: int
    unended: int
    merged: int


def chat_template(folder: Path, tokenizer: Tokenizer) -> ChatTemplate:
    """The template of a model folder; ChatML for one without, if its vocabulary has the markers.

    Raises:
        UsageError: there is none, and the vocabulary has no markers for one.
    """
    special = special_ids(tokenizer)
    chatml = all(special.get(marker) is not None for marker in MARKERS)
    try:
        return ChatTemplate(folder, default=CHATML if chatml else None)
    except UsageError:
        raise UsageError(
            "the model has no chat template, and its vocabulary lacks the markers of ChatML",
            where=folder, value=[m for m in MARKERS if m not in special],
            fix="Put a chat_template.jinja into the folder, or add the two markers to the "
            "vocabulary as special tokens.",
        ) from None  # fmt: skip


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens of a tokenizer and their ids.

    Raises:
        UsageError: the tokenizer is not a ``tokenizer.json``.
    """
    if not isinstance(tokenizer.engine, FastEngine):
        raise UsageError("chat templates need a tokenizer.json", where=tokenizer.path,
                         fix="Convert it: yanmo vocab export.")  # fmt: skip
    added = tokenizer.engine.fast.get_added_tokens_decoder()
    return {token.content: int(index) for index, token in added.items() if token.special}


class Masker:
    """Renders and tokenises dialogues of one model.

    Attributes:
        template: the chat template.
        special: special tokens and their ids.
    """

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer) -> None:
        import tokenizers

        self.template, self.special = template, special_ids(tokenizer)
        assert isinstance(tokenizer.engine, FastEngine)
        # A post-processor would add tokens of its own, or trim white space from the offsets.
        plain = json.loads(tokenizer.engine.fast.to_str()) | {"post_processor": None}
        self._fast = tokenizers.Tokenizer.from_str(json.dumps(plain))
        self._fast.encode_special_tokens = False
        self._ends = np.array(sorted(self.special.values()), np.int64)

    def spans(self, messages: Sequence[Message], *, where: str) -> tuple[str, list[Span]]:
        """The text of a dialogue, and the character spans that the assistant's turns add to it.

        Args:
            messages: the last one is the assistant's.
            where: names the dialogue in errors.

        Raises:
            NotPrefixSafe: a turn's text is not a prefix of the longer dialogue's.
            DataError: the template refuses the messages.
        """
        tables = [message.table() for message in messages]
        text = self.template.render(tables, open_answer=False)
        found = []
        for number, message in enumerate(messages):
            if message.role != "assistant":
                continue
            opened = self.template.render(tables[:number], open_answer=True)
            last = number + 1 == len(messages)
            closed = text if last else self.template.render(tables[: number + 1], open_answer=False)
            if not (closed.startswith(opened) and text.startswith(closed)):
                raise NotPrefixSafe(
                    "the chat template is not prefix-safe: it renders a turn differently when "
                    "others follow", where=where, value=_difference(opened, closed, text),
                    fix="Put a chat_template.jinja into the model folder that renders a turn the "
                    "same whatever follows it.",
                )  # fmt: skip
            found.append((len(opened), len(closed)))
        return text, found

    def encode(self, rendered: Sequence[tuple[str, list[Span]]]) -> list[Encoded]:
        """Tokenise texts from :meth:`spans`, each once, and mark what is trained."""
        encodings = self._fast.encode_batch([t for t, _ in rendered], add_special_tokens=False)
        return [self._mark(e, *r) for e, r in zip(encodings, rendered, strict=True)]

    def _mark(self, encoding: object, text: str, spans: list[Span]) -> Encoded:
        ids = np.array(encoding.ids, np.int32)  # type: ignore[attr-defined]
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)  # type: ignore[attr-defined]
        begins, ends = offsets[:, 0], offsets[:, 1]
        ending = np.isin(ids, self._ends)
        trained = np.zeros(len(ids), bool)
        text_bytes = unended = merged = 0
        for start, stop in spans:
            inside = np.flatnonzero((begins >= start) & (begins < stop))
            closing = inside[ending[inside]]
            # White space that the template puts behind the end of a turn is never generated.
            if len(closing) and not text[ends[closing[-1]] : stop].strip():
                inside = inside[inside <= closing[-1]]
                text_bytes += len(text[start : begins[closing[-1]]].encode("utf-8"))
            else:
                unended += 1
                text_bytes += len(text[start:stop].encode("utf-8"))
            merged += bool(((begins < start) & (ends > start)).any())
            trained[inside] = True
        # What stands behind the last trained token is no target and nobody's context.
        length = int(np.flatnonzero(trained)[-1]) + 1 if trained.any() else len(ids)
        return Encoded(ids[:length], trained[:length], len(spans), text_bytes, unended, merged)


def _difference(opened: str, closed: str, text: str) -> str:
    """Where the shorter text and the longer one part."""
    short, long = (opened, closed) if not closed.startswith(opened) else (closed, text)
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(long))
    return f"…{short[max(at - 10, 0) : at + 30]} | …{long[max(at - 10, 0) : at + 30]}"
