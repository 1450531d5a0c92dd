"""Documents cut into lines a trainer can take, with books that balance to the byte.

sentencepiece silently skips sentences longer than ``max_sentence_length`` (4192 bytes by default,
about 1400 hanzi): with one document a line that loses most of a Chinese corpus. Here lines end at
line ends, long ones are cut after a sentence, and whatever cannot be used is counted by reason.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from yanmo.errors import DataError, LedgerError

# 1000 characters are at most 4000 bytes of UTF-8.
MAX_LINE_CHARS = 1000
# sentencepiece marks unknown characters by U+2585 in training and skips lines that hold it.
RESERVED = "\u2585"
_SENTENCE_END = re.compile(r"[。！？；…!?;][”’」』）)\"']*|\.[\"')]*(?=\s)")
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass
class Ledger:
    """Bytes of text, all UTF-8: ``read = used + line_ends + reserved + sampled_out``."""

    documents: int = 0
    lines: int = 0
    lines_cut: int = 0
    bytes_read: int = 0
    bytes_used: int = 0
    bytes_line_ends: int = 0
    bytes_reserved: int = 0
    bytes_sampled_out: int = 0

    def close(self) -> dict[str, int]:
        """The entries, after checking that they balance.

        Raises:
            LedgerError: bytes went missing.
        """
        entries = asdict(self)
        spent = (
            self.bytes_used + self.bytes_line_ends + self.bytes_reserved + self.bytes_sampled_out
        )
        if spent != self.bytes_read:
            raise LedgerError("training bytes do not balance", value=entries)
        return entries


def sentence_cuts(line: str, limit: int = MAX_LINE_CHARS) -> Iterator[str]:
    """Cut a long line into pieces of at most ``limit`` characters; joined they give the line.

    A piece ends after the last sentence end in its second half, else after the last space there,
    else at the limit.
    """
    start = 0
    while len(line) - start > limit:
        middle, end = start + limit // 2, start + limit
        # Looks a little past the limit, so that a closing quote is not cut from its sentence.
        ends = [m.end() for m in _SENTENCE_END.finditer(line, middle, end + 8)]
        cut = max((at for at in ends if at <= end), default=end)
        if cut == end and end not in ends:
            space = line.rfind(" ", middle, end)
            cut = space if space > start else end
        yield line[start:cut]
        start = cut
    yield line[start:]


def training_lines(text: str, ledger: Ledger) -> Iterator[str]:
    """The lines of one document without their ends, long ones cut, none empty.

    Line ends and U+2585 go to their own entries of the ledger; the caller books what it uses.
    """
    size = len(text.encode("utf-8"))
    ledger.documents += 1
    ledger.bytes_read += size
    kept = 0
    for whole in _LINE_END.split(text) if "\r" in text else text.split("\n"):
        if len(whole) > MAX_LINE_CHARS:
            ledger.lines_cut += 1
        for line in sentence_cuts(whole) if len(whole) > MAX_LINE_CHARS else (whole,):
            if RESERVED in line:
                ledger.bytes_reserved += 3 * line.count(RESERVED)
                kept += 3 * line.count(RESERVED)
                parts = line.split(RESERVED)
            else:
                parts = [line]
            for part in parts:
                if part:
                    kept += len(part.encode("utf-8"))
                    yield part
    ledger.bytes_line_ends += size - kept


def training_chunks(text: str, ledger: Ledger) -> Iterator[str]:
    """One document with its line ends, cut only when it is longer than 100 000 characters."""
    ledger.documents += 1
    ledger.bytes_read += len(text.encode("utf-8"))
    chunks = list(sentence_cuts(text, 100_000)) if text else []
    ledger.lines_cut += len(chunks) > 1
    yield from chunks


def read_lines(
    inputs: Iterable[Path],
    ledger: Ledger,
    *,
    column: str = "text",
    keep_line_ends: bool = False,
    sample: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Stream the lines of all inputs, in order, and book every byte.

    Args:
        inputs: run folders, Parquet, JSONL or text files (see ``yanmo.documents.texts``).
        ledger: filled while the lines are taken.
        column: column or field that holds the text.
        keep_line_ends: give whole documents instead of lines.
        sample: share of lines to take, chosen by a seeded hash of the line, so that the choice
            depends neither on order nor on how the input is cut into files.
        seed: seed of that hash.
    """
    import xxhash

    from yanmo.documents import texts

    cut = training_chunks if keep_line_ends else training_lines
    bar = int(sample * 2**64)
    for path in inputs:
        for batch in texts(path, column=column):
            for text in batch.to_pylist():
                for line in cut(text, ledger):
                    data = line.encode("utf-8")
                    if sample < 1 and xxhash.xxh3_64_intdigest(data, seed) >= bar:
                        ledger.bytes_sampled_out += len(data)
                        continue
                    ledger.lines += 1
                    ledger.bytes_used += len(data)
                    yield line


def first_lines(inputs: Iterable[Path], count: int, *, column: str = "text") -> list[str]:
    """Up to ``count`` lines, an equal share of each input from its start, as they stand."""
    paths = list(inputs)
    found: list[str] = []
    for number, path in enumerate(paths, 1):
        lines = read_lines([path], Ledger(), column=column)
        found += islice(lines, count * number // len(paths) - len(found))
    return found


class Lines:
    """Lines of some documents as they stand; every walk over them reads the files again.

    Args:
        paths: run folders, Parquet, JSONL or text files (see ``yanmo.documents.texts``).
        count: most lines to take, an equal share of each; 0: all.

    Raises:
        DataError: on the way, when the documents hold no line.
    """

    def __init__(self, paths: Sequence[Path], count: int) -> None:
        self.paths, self.count = list(paths), count

    def __iter__(self) -> Iterator[str]:
        taken = 0
        for number, path in enumerate(self.paths, 1):
            share = self.count * number // len(self.paths) - taken if self.count else None
            for line in islice(whole_lines(path), share):
                taken += 1
                yield line
        if self.paths and not taken:
            raise DataError("there is no text", where=", ".join(map(str, self.paths)),
                            fix="Give documents that hold some, or none at all.")  # fmt: skip


def whole_lines(path: Path) -> Iterator[str]:
    """Every line of a file of documents as it stands, not cut however long it is."""
    from yanmo.documents import texts

    for batch in texts(path):
        for text in batch.to_pylist():
            yield from text.split("\n")
