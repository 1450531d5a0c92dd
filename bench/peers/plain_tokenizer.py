"""The plainest tokenizer that datatrove can be given: no library of its own, words or characters.

datatrove takes a ``WordTokenizer`` object wherever it takes a language. This one costs next to
nothing; nobody publishes it, so it stands in a row of its own.
"""

from datatrove.utils.word_tokenizers import WordTokenizer


class PlainTokenizer(WordTokenizer):
    """White space cuts English; every character but white space is a word of Chinese."""

    def word_tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return text.split() if self.language == "en" else [c for c in text if not c.isspace()]

    def sent_tokenize(self, text: str) -> list[str]:
        """Not needed for signatures."""
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Not needed for signatures."""
        raise NotImplementedError
