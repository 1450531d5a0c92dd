"""Chat templates: messages in, the exact text a chat model was trained on out.

The template is the model's own (``chat_template.jinja`` or the field of ``tokenizer_config.json``),
rendered in a sandbox. Its markers become special ids; the content of messages is text and must not
contain them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, MissingDependency, UsageError
from yanmo.files import read_json

from .load import FastEngine, Tokenizer

Message = Mapping[str, Any]
Encode = Callable[[list[str]], list[tuple[int, ...]]]

CHATML: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, the template for a tokenizer that has none and whose vocabulary holds its two markers.
Source: the format OpenAI published in 2023 and Qwen uses."""


class ChatTemplate:
    """The chat template of a model folder.

    Args:
        folder: a Hugging Face model or tokenizer folder.
        default: the template to take where the folder has none, such as ``CHATML``.

    Attributes:
        source: the template's text.

    Raises:
        UsageError: the folder has no template, and there is no default.
    """

    def __init__(self, folder: Path, *, default: str | None = None) -> None:
        config = folder / "tokenizer_config.json"
        self._config: dict[str, Any] = read_json(config) if config.is_file() else {}
        file = folder / "chat_template.jinja"
        source = file.read_text("utf-8") if file.is_file() else self._config.get("chat_template")
        if isinstance(source, list):  # several named templates; the plain one is "default"
            source = next((t["template"] for t in source if t.get("name") == "default"), None)
        source = source or default
        if not source:
            raise UsageError("the model has no chat template", where=folder,
                             fix="Use a dialect for base models, such as official.")  # fmt: skip
        self.source: str = source
        self._template = _environment().from_string(source)

    def render(self, messages: Sequence[Message], *, open_answer: bool = True) -> str:
        """The text of a dialogue.

        Args:
            messages: ``role`` and ``content`` of each.
            open_answer: end where the assistant's next answer begins
                (``add_generation_prompt`` of Hugging Face).

        Raises:
            DataError: the template refuses the messages.
        """
        import jinja2

        try:
            text = self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=open_answer,
                **{name: self._token(name) for name in ("bos_token", "eos_token")},
            )
        except jinja2.TemplateError as error:
            raise DataError(f"the chat template refuses the messages ({error})") from None
        return str(text)

    def _token(self, name: str) -> str:
        value = self._config.get(name)
        return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _environment() -> Any:
    try:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MissingDependency("the package jinja2 is not installed",
                                fix="pip install 'yanmo[train]'") from None  # fmt: skip
    # The options and the one global that templates of published models rely on.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )

    def refuse(message: str) -> None:
        import jinja2

        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = refuse
    return environment


def chat_encoder(tokenizer: Tokenizer) -> Encode:
    """Text to ids where special tokens are recognised: for rendered templates only.

    Raises:
        UsageError: the tokenizer is not a ``tokenizer.json``.
    """
    if not isinstance(tokenizer.engine, FastEngine):
        raise UsageError("chat templates need a tokenizer.json", where=tokenizer.path)
    import tokenizers

    fast = tokenizers.Tokenizer.from_str(tokenizer.engine.fast.to_str())
    fast.encode_special_tokens = False

    def encode(texts: list[str]) -> list[tuple[int, ...]]:
        found = fast.encode_batch_fast(texts, add_special_tokens=False)
        return [tuple(encoding.ids) for encoding in found]

    return encode


def refuse_markers(tokenizer: Tokenizer, messages: Sequence[Message], *, where: str) -> None:
    """Raise if the content of a message holds one of the tokenizer's special tokens.

    Raises:
        DataError: it does: as a marker it would end the turn.
    """
    if not isinstance(tokenizer.engine, FastEngine):
        return
    added = tokenizer.engine.fast.get_added_tokens_decoder().values()
    for marker in (token.content for token in added if token.special):
        if any(marker in message["content"] for message in messages):
            raise DataError("the text holds a special token of the model", where=where,
                            value=marker)  # fmt: skip
