"""Language models as judges: behind an OpenAI-compatible endpoint, or in this process."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo.endpoint import Answer, Client, Request
from yanmo.errors import DataError, UsageError, YanmoError
from yanmo.vocab.chat import Encode, chat_encoder
from yanmo.vocab.load import FastEngine, Tokenizer

from .judge_prompts import LETTERS, Messages
from .judges import Reply, Weights
from .prompts import common_prefix, find_slots, plain_encoder
from .score import Ids, Scorer, first_token, stop_ids

_TOP: Final = 20
_LETTER_TOKENS: Final = 8
_HOPELESS: Final = 3
_REFUSED: Final = ("HTTP 400", "HTTP 413", "HTTP 422")
"""What a server says of one request (too long, filtered), not of all."""


class EndpointSource:
    """A model behind an endpoint.

    Args:
        client: asks, and remembers.
        max_tokens: of a written reply.
    """

    def __init__(self, client: Client, *, max_tokens: int = 1024) -> None:
        self.client, self.max_tokens = client, max_tokens
        self.name = client.endpoint.model

    def identity(self) -> dict[str, Any]:
        """See ``judges.Source``."""
        endpoint = self.client.endpoint
        return {"kind": "endpoint", "base_url": endpoint.base_url, "model": endpoint.model,
                "max_tokens": self.max_tokens}  # fmt: skip

    def gives_logprobs(self) -> bool:
        """Ask one small thing with ``logprobs`` and see whether they come."""
        messages = ({"role": "user", "content": "Reply with one letter only: A"},)
        try:
            answer = self.client.ask(self._letters(messages))
        except YanmoError as error:
            if not str(error.value).startswith(_REFUSED):
                raise
            return False
        return bool(_positions(answer))

    def write(self, prompts: Iterable[Messages]) -> Iterator[Reply]:
        """See ``judges.Source``."""
        parameters = {"temperature": 0, "max_tokens": self.max_tokens}
        for answer in self._ask(Request(prompt, parameters) for prompt in prompts):
            if isinstance(answer, str):
                yield Reply("", "", answer)
            else:
                yield Reply(answer.text, answer.finish_reason)

    def weigh(self, groups: Iterable[list[Messages]], slot: str) -> Iterator[Weights]:
        """See ``judges.Source``; the slot cannot be set, so the first letter written is read."""
        prompts = (prompt for group in groups for prompt in group)
        for answer in self._ask(map(self._letters, prompts)):
            if isinstance(answer, str):
                yield Weights((), answer)
            else:
                yield _letter_weights(_positions(answer))

    def _letters(self, messages: Messages) -> Request:
        return Request(messages, {"temperature": 0, "max_tokens": _LETTER_TOKENS, "logprobs": True,
                                  "top_logprobs": _TOP})  # fmt: skip

    def _ask(self, requests: Iterable[Request]) -> Iterator[Answer | str]:
        """Answers in order; what the server refuses is a text that says so."""
        waiting, answered, refused = list(requests), 0, 0
        while waiting:
            done = 0
            try:
                for answer in self.client.ask_all(waiting):
                    done += 1
                    yield answer
                return
            except YanmoError as error:
                answered, refused = answered + done, refused + 1
                # A server that never answers refuses the command, not the question.
                hopeless = not answered and refused >= _HOPELESS
                if hopeless or not str(error.value).startswith(_REFUSED):
                    raise
                yield f"refused: {str(error.value)[:120]}"
                waiting = waiting[done + 1 :]


def _positions(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """Per token written: its text and the likeliest tokens at its place."""
    found = (answer.logprobs or {}).get("content")
    if not isinstance(found, list) or not all(isinstance(p, dict) for p in found):
        return ()
    return [p for p in found if p.get("top_logprobs")]


def _letter_weights(positions: Sequence[Mapping[str, Any]]) -> Weights:
    """Weights at the first place where a letter was written; " A" and "A" are one letter."""
    for position in positions:
        if str(position.get("token", "")).strip() not in LETTERS:
            continue
        mass = dict.fromkeys(LETTERS, 0.0)
        for entry in position["top_logprobs"]:
            letter = str(entry["token"]).strip()
            if letter in mass:
                mass[letter] += math.exp(float(entry["logprob"]))
        return Weights(tuple(math.log(v) if v else -math.inf for v in mass.values()))
    return Weights((), "no letter was written")


class ModelSource:
    """A causal model in this process.

    Args:
        scorer: the model; one with a chat template is asked as a chat.
        max_tokens: of a written reply.
    """

    def __init__(self, scorer: Scorer, *, max_tokens: int = 256) -> None:
        from yanmo.vocab.chat import ChatTemplate

        self.scorer, self.max_tokens = scorer, max_tokens
        self.name = scorer.info.name
        folder = scorer.tokenizer.path.parent
        try:
            self._template: ChatTemplate | None = ChatTemplate(folder)
        except UsageError:
            self._template = None  # a base model goes on with plain text
        self._bos = () if self._template else first_token(scorer.tokenizer)
        self._stop = stop_ids(scorer.tokenizer, Path(scorer.info.path))

    def identity(self) -> dict[str, Any]:
        """See ``judges.Source``."""
        source = self._template.source if self._template else None
        return {"kind": "model", **self.scorer.info.identity(), "chat_template": source,
                "max_tokens": self.max_tokens}  # fmt: skip

    def _encode(self) -> Encode:
        tokenizer = self.scorer.tokenizer
        return chat_encoder(tokenizer) if self._template else plain_encoder(tokenizer)

    def _text(self, messages: Messages, slot: str) -> str:
        if self._template is None:
            return "\n\n".join(m["content"] for m in messages) + "\n" + slot
        return self._template.render(without_markers(self.scorer.tokenizer, messages)) + slot

    def write(self, prompts: Iterable[Messages]) -> Iterator[Reply]:
        """See ``judges.Source``."""
        encode = self._encode()
        for prompt in prompts:
            ids = self._bos + encode([self._text(prompt, "")])[0]
            if len(ids) + self.max_tokens > self.scorer.info.max_tokens:
                yield Reply("", "", _too_long(len(ids)))
                continue
            (written,) = self.scorer.generate([ids], self.max_tokens, self._stop)
            ended = "length" if len(written) >= self.max_tokens else "stop"
            yield Reply(self.scorer.tokenizer.decode(written), ended)

    def weigh(self, groups: Iterable[list[Messages]], slot: str) -> Iterator[Weights]:
        """See ``judges.Source``: what a group begins with is run through the model once."""
        encode = self._encode()
        for group in groups:
            texts = [self._text(prompt, slot) for prompt in group]
            slots = find_slots(encode, texts, [LETTERS] * len(texts))
            contexts = [self._bos + s.context for s in slots]
            tails = [s.tails for s in slots]
            room = self.scorer.info.max_tokens - max(len(t) for tail in tails for t in tail)
            fits = [len(context) <= room for context in contexts]
            found = iter(self._logprobs(
                [c for c, fit in zip(contexts, fits, strict=True) if fit],
                [t for t, fit in zip(tails, fits, strict=True) if fit],
            ))  # fmt: skip
            for context, fit in zip(contexts, fits, strict=True):
                yield Weights(next(found)) if fit else Weights((), _too_long(len(context)))

    def _logprobs(
        self, contexts: Sequence[tuple[int, ...]], tails: Sequence[tuple[tuple[int, ...], ...]]
    ) -> list[tuple[float, ...]]:
        """Log-probability of each letter behind each context."""
        if not contexts:
            return []
        # One token at least must follow the prefix.
        shared = min(common_prefix(contexts), min(map(len, contexts)) - 1)
        prefix = self.scorer.prefill(contexts[0][:shared]) if shared else None
        rest = [context[shared:] for context in contexts]
        if all(len(tail) == 1 for tail in (t for ts in tails for t in ts)):
            table = self.scorer.next_logprobs(rest, prefix)
            return [
                tuple(float(table[row, tail[0]]) for tail in ts) for row, ts in enumerate(tails)
            ]
        return [self._summed(r, ts, prefix) for r, ts in zip(rest, tails, strict=True)]

    def _summed(
        self, context: Ids, tails: Sequence[tuple[int, ...]], prefix: object | None
    ) -> tuple[float, ...]:
        sequences = [tuple(context) + tail for tail in tails]
        parts = self.scorer.token_logprobs(sequences, [len(context)] * len(sequences), prefix)
        return tuple(float(part.astype("float64").sum()) for part in parts)


def _too_long(tokens: int) -> str:
    return f"too long for the model ({tokens} tokens)"


def without_markers(tokenizer: Tokenizer, messages: Iterable[Mapping[str, str]]) -> Messages:
    """The messages with every special token broken: no text may end its own turn.

    Raises:
        DataError: the tokenizer is not a ``tokenizer.json``.
    """
    if not isinstance(tokenizer.engine, FastEngine):
        raise DataError("chat templates need a tokenizer.json", where=tokenizer.path)
    added = tokenizer.engine.fast.get_added_tokens_decoder().values()
    markers = sorted(token.content for token in added if token.special)
    return tuple({**m, "content": _broken(m["content"], markers)} for m in messages)


def _broken(text: str, markers: Sequence[str]) -> str:
    for marker in markers:
        text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text
