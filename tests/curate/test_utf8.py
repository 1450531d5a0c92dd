"""From Arrow columns to code points, for valid text and for bytes that are none."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.utf8 import chunks, decode, text_buffer


def decoded(documents: list[bytes]) -> list[list[int]]:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    buffer = np.frombuffer(b"".join(documents), np.uint8)
    codes, bounds = decode(buffer, offsets)
    return [codes[bounds[d] : bounds[d + 1]].tolist() for d in range(len(documents))]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=20), max_size=5))
def test_valid_text_decodes_as_python_does(texts: list[str]) -> None:
    assert decoded([text.encode() for text in texts]) == [[ord(c) for c in t] for t in texts]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=12), max_size=4))
def test_any_bytes_stay_inside_their_document(documents: list[bytes]) -> None:
    got = decoded(documents)
    assert got == [decoded([document])[0] for document in documents]
    for document, codes in zip(documents, got, strict=True):
        assert all(0 <= code <= 0x10FFFF for code in codes)
        assert len(codes) <= len(document)
        if 0xFFFD not in codes:
            assert len(codes) == len(document.decode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (b"\xe4\xb8", [0xFFFD, 0xFFFD]),
        (b"\x80a", [0xFFFD, 0x61]),
        (b"\xc0\xaf", [0xFFFD, 0xFFFD]),
        (b"\xf4\x90\x80\x80", [0xFFFD] * 4),
        (b"\xff\xfe", [0xFFFD, 0xFFFD]),
        ("天".encode() + b"\xe5\x9c", [0x5929, 0xFFFD, 0xFFFD]),
    ],
)
def test_broken_bytes_become_replacement_characters(raw: bytes, codes: list[int]) -> None:
    # A document follows whose first bytes would complete the sequence.
    assert decoded([raw, b"\xb0\x80"])[0] == codes


def test_buffers_of_slices_are_not_copied() -> None:
    column = pa.array(["天地", "", "abc", "玄黄"], pa.large_string())
    buffer, offsets = text_buffer(column.slice(1, 2))
    assert offsets.tolist() == [6, 6, 9]
    assert buffer.ctypes.data == column.buffers()[2].address


def test_chunks_cover_all_rows_once() -> None:
    offsets = np.cumsum([0, 3, 0, 10, 1, 1, 1, 20, 0], dtype=np.int64)
    cut = [(c.start, c.stop) for c in chunks(offsets, chunk_bytes=5)]
    assert cut == [(0, 2), (2, 3), (3, 6), (6, 7), (7, 8)]
    assert list(chunks(np.zeros(1, np.int64))) == []
