"""Prompts and answers of a chat model as ids: the template's text, and what the model itself wrote.

A prompt is the template's rendering with the answer opened. An answer is encoded by itself, as it
is when the model writes it token by token, and closed by the template's end-of-turn token.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.errors import DataError
from yanmo.vocab.chat import CHATML, ChatTemplate, chat_encoder, refuse_markers
from yanmo.vocab.load import load_tokenizer

Turns = Sequence[Mapping[str, Any]]
PROBE = "研墨"


class ChatText:
    """Encodes for the model in a folder.

    Attributes:
        template: its chat template (ChatML where it has none and knows the markers).
        tokenizer: its tokenizer.
        encode: texts to ids where the template's markers are recognised.
        end: id that closes an answer.

    Args:
        folder: a Hugging Face model folder.

    Raises:
        UsageError: no tokenizer that a chat template could be used with.
        DataError: the vocabulary lacks the template's end-of-turn token.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.template = ChatTemplate(folder, default=CHATML)
        self.encode = chat_encoder(self.tokenizer)
        self.end = self._find_end(folder)

    def prompts(self, prompts: Sequence[Turns]) -> list[tuple[int, ...]]:
        """Ids of prompts, each up to where its answer begins.

        Raises:
            DataError: the template refuses the messages.
        """
        return self.encode([self.template.render(turns) for turns in prompts])

    def answers(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of answers, closed."""
        found = self.tokenizer.encode_batch(list(texts))
        return [(*(int(i) for i in ids), self.end) for ids in found]

    def check(self, prompt: Turns, answers: Sequence[str], *, where: str) -> None:
        """Refuse texts that hold a marker of the template.

        Raises:
            DataError: see :func:`yanmo.vocab.chat.refuse_markers`.
        """
        turns = [*prompt, *({"role": "assistant", "content": text} for text in answers)]
        refuse_markers(self.tokenizer, turns, where=where)

    def _find_end(self, folder: Path) -> int:
        """The first id behind an answer in the template's own text."""
        ask = [{"role": "user", "content": PROBE}]
        closed = [*ask, {"role": "assistant", "content": PROBE}]
        whole = self.template.render(closed, open_answer=False)
        behind = self.encode([whole[whole.rindex(PROBE) + len(PROBE) :].strip()])[0]
        if not behind and self.tokenizer.eos_id is None:
            raise DataError("neither template nor tokenizer says what ends an answer",
                            where=folder)  # fmt: skip
        if not behind:
            return int(self.tokenizer.eos_id or 0)
        if len(behind) > 1:
            shown = self.tokenizer.decode(behind, skip_special=False)
            raise DataError("the end of a turn is no single token of this vocabulary",
                            where=folder, value=shown,
                            fix="Add it, or give the model a chat template.")  # fmt: skip
        return behind[0]
