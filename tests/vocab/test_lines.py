"""Cutting loses nothing, and the books balance."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import LedgerError
from yanmo.vocab.lines import MAX_LINE_CHARS, Ledger, read_lines, sentence_cuts, training_lines

mixed = st.text(st.sampled_from("研墨。！？. aB”\n\r\u2585\u2581😀"), max_size=200)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(line=mixed, limit=st.integers(2, 30))
def test_cuts_join_to_the_line(line: str, limit: int) -> None:
    pieces = list(sentence_cuts(line, limit))
    assert "".join(pieces) == line
    assert all(len(piece) <= limit for piece in pieces)


def test_cuts_end_after_sentences() -> None:
    line = "他说：“好。”" * 30 + "完"
    pieces = list(sentence_cuts(line, 20))
    assert all(piece.endswith("。”") for piece in pieces[:-1])
    words = list(sentence_cuts("ink " * 30, 21))
    assert len(words) > 5
    assert {word for piece in words for word in piece.split()} == {"ink"}
    assert len(list(sentence_cuts("墨" * 95, 20))) == 5


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=mixed)
def test_every_byte_is_booked(text: str) -> None:
    ledger = Ledger()
    for line in training_lines(text, ledger):
        assert line
        assert len(line) <= MAX_LINE_CHARS
        assert not set(line) & {"\n", "\r", "\u2585"}
        ledger.bytes_used += len(line.encode())
    entries = ledger.close()
    assert entries["bytes_read"] == len(text.encode())
    ends = sum(text.count(c) for c in "\n\r")
    assert entries["bytes_line_ends"] == ends
    assert entries["bytes_reserved"] == 3 * text.count("\u2585")


def test_missing_bytes_are_an_error() -> None:
    with pytest.raises(LedgerError, match="do not balance"):
        Ledger(bytes_read=10, bytes_used=9).close()


def test_sample_depends_on_the_line_alone(tmp_path: Path) -> None:
    lines = [f"第{k}行，研墨。" for k in range(400)]
    one, two = tmp_path / "one.txt", tmp_path / "two.jsonl"
    one.write_text("\n".join(lines), encoding="utf-8")
    two.write_text("\n".join(json.dumps({"text": t}) for t in reversed(lines)), encoding="utf-8")
    first, second, other = (
        set(read_lines([path], Ledger(), sample=0.25, seed=seed))
        for path, seed in ((one, 1), (two, 1), (one, 2))
    )
    assert first == second != other
    assert 60 < len(first) < 140
    ledger = Ledger()
    used = list(read_lines([one], ledger, sample=0.25, seed=1))
    entries = ledger.close()
    assert entries["lines"] == len(used)
    assert entries["bytes_sampled_out"] > 0
