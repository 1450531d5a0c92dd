"""How llama.cpp's converter recognises a byte-level tokenizer: by the hash of the ids of one text.

The text holds Chinese, so a grown vocabulary gives new ids and the conversion stops with "BPE
pre-tokenizer was not recognized". What has to be added is one comparison with the new hash, naming
the pre-tokenizer of the base.

Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, get_vocab_base_pre (text and hashes).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .convert import CL100K_PATTERN, GPT2_PATTERN, O200K_PATTERN, QWEN_PATTERN

CHECK_TEXT: Final = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n"
    "🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 "
    "កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ ------======= нещо на Български "
    "''''''```````\"\"\"\"......!!!!!!?????? "
    "I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, "
    "'D you like some tea? We'Ve a'lL"
)
KNOWN: Final = {
    "3ce83efda5659b07b1ad37ca97ca5797ea4285d9b9ab0dc679e4a720c9da7454": "gpt-2",
    "0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5": "llama-bpe",
    "c136ed14d01c2745d4f60a9596ae66800e2b61fa45643e72436041855ad4089d": "smaug-bpe",
    "e636dc30a262dcc0d8c323492e32ae2b70728f4df7dfe9737d9f920a282b8aea": "qwen2",
    "d4540891389ea895b53b399da6ac824becc30f2fba0e9ddbb98f92e55ca0e97c": "qwen2",
    "049ecf7629871e3041641907f3de7c733e4dbfdc736f57d882ba0b0845599754": "deepseek-llm",
    "347715f544604f9118bb75ed199f68779f423cabb20db6de6f31b908d04d7821": "deepseek-coder",
    "877081d19cf6996e2c4ff0e1236341e9b7bde288f5311a56a937f0afbbb3aeb5": "deepseek-v3",
    "b3f499bb4255f8ca19fccd664443283318f2fd2414d5e0b040fbdd0cc195d6c5": "deepseek-r1-qwen",
    "b6e8e1518dc4305be2fe39c313ed643381c4da5db34a98f6a04c093f8afbe99b": "chatglm-bpe",
    "9ca2dd618e8afaf09731a7cf6e2105b373ba6a1821559f258b272fe83e6eb902": "glm4",
    "7e57df22b1fe23a7b1e1c7f3dc4e3f96d43a4eb0836d0c6bdc3436d7b2f1c664": "hunyuan",
    "81212dc7cdb7e0c1074ca62c5aeab0d43c9f52b8a737be7b12a777c953027890": "kimi-k2",
    "ccc2ef013c104be7bae2965776d611e1d7a8a2a9c547dd93a682c9a9fc80352e": "gpt-4o",
    "d353350c764d8c3b39c763113960e4fb4919bea5fbf208a0e3b22e8469dc7406": "llama4",
    "63b97e4253352e6f357cc59ea5b583e3a680eaeaf2632188c2b952de2588485e": "tekken",
}
"""Hash to the name of the pre-tokenizer, for families that one meets in Chinese work."""


@dataclass(frozen=True)
class Recognition:
    """Whether llama.cpp knows a tokenizer.

    Attributes:
        chkhsh: the hash.
        known_as: name of the pre-tokenizer, ``None`` if the hash is not in :data:`KNOWN`.
        line: the lines to add to ``get_vocab_base_pre``; empty if it is known.
    """

    chkhsh: str
    known_as: str | None
    line: str


def hash_of_ids(ids: Sequence[int]) -> str:
    """The converter's hash of a list of ids."""
    return hashlib.sha256(str([int(i) for i in ids]).encode()).hexdigest()


def recognise(ids: Sequence[int], *, pattern: str, name: str) -> Recognition:
    """Say under which name llama.cpp would take a byte-level tokenizer.

    Args:
        ids: ids of :data:`CHECK_TEXT`, with what the tokenizer puts around a text.
        pattern: regular expression that cuts words, to guess the name from.
        name: what to call the model in the line to add.
    """
    chkhsh = hash_of_ids(ids)
    known = KNOWN.get(chkhsh)
    if known is not None:
        return Recognition(chkhsh, known, "")
    guess = _NAMES.get(pattern, "THE-NAME-OF-THE-BASE")
    line = f'if chkhsh == "{chkhsh}":\n    # {name}\n    res = "{guess}"'
    return Recognition(chkhsh, None, line)


_NAMES: Final = {
    GPT2_PATTERN: "gpt-2",
    CL100K_PATTERN: "llama-bpe",
    QWEN_PATTERN: "qwen2",
    O200K_PATTERN: "gpt-4o",
}
