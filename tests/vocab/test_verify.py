"""Every check can fail: one broken vocabulary for each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError
from yanmo.vocab.base import Base, Notes, Token, grow, load_base, score_floor, write_grown
from yanmo.vocab.convert import to_alphabet
from yanmo.vocab.probes import random_texts
from yanmo.vocab.spm import Piece
from yanmo.vocab.spm_json import spm_document
from yanmo.vocab.verify import outside_han, require, verify


def _words(*words: str) -> list[Token]:
    """Characters and left-to-right merges of words, for SentencePiece bases."""
    tokens: dict[str, Token] = {}
    for word in words:
        for character in word:
            tokens.setdefault(character, Token(character.encode(), why="character"))
        for end in range(2, len(word) + 1):
            left, right = word[: end - 1].encode(), word[end - 1 : end].encode()
            tokens.setdefault(word[:end], Token(word[:end].encode(), left, right))
    return list(tokens.values())


@pytest.fixture
def base(english_spm: Path) -> Base:
    return load_base(english_spm)


@pytest.fixture
def grown(base: Base) -> Base:
    return grow(base, _words("研墨", "长城脚"))


def _with_pieces(base: Base, grown: Base, pieces: tuple[Piece, ...]) -> Base:
    assert grown.model is not None
    model = grown.model.with_pieces(pieces)
    document = {**spm_document(model), "post_processor": base.document["post_processor"]}
    return replace(grown, model=model, document=document, pieces=tuple(p.text for p in pieces))


def _failed(base: Base, grown: Base, **more: Any) -> set[str]:
    report = verify(base, grown, random_count=300, **more)
    failed = {check["name"] for check in report["checks"] if not check["passed"]}
    assert report["passed"] == (not failed)
    if failed:
        with pytest.raises(DataError, match="verification failed"):
            require(report, "here")
    return failed


def test_a_sound_vocabulary_passes(base: Base, grown: Base, tmp_path: Path) -> None:
    write_grown(tmp_path / "out", base, grown, Notes({}, {}))
    texts = ["研墨先于落笔 and 2016", "长城脚下"]
    assert _failed(base, grown, texts=texts, folder=tmp_path / "out") == set()


def test_a_changed_base_piece(base: Base, grown: Base) -> None:
    assert grown.model is not None
    pieces = list(grown.model.pieces)
    index = next(i for i, p in enumerate(pieces) if p.text.isalpha() and len(p.text) > 2)
    pieces[index] = Piece("zqzqz", pieces[index].score)
    assert "base ids unchanged" in _failed(base, _with_pieces(base, grown, tuple(pieces)))


def test_a_changed_score(base: Base, grown: Base) -> None:
    assert grown.model is not None
    pieces = list(grown.model.pieces)
    pieces[-1] = Piece(pieces[-1].text, 0.0)
    found = _failed(base, _with_pieces(base, grown, tuple(pieces)))
    assert "merge graph sound" in found


def test_a_dead_new_piece(base: Base, grown: Base) -> None:
    assert grown.model is not None
    assert base.model is not None
    score = score_floor(base.model) - 100
    pieces = (*grown.model.pieces, Piece("研究生命", score))
    found = _failed(base, _with_pieces(base, grown, pieces))
    assert "every new entry reachable" in found


def test_latin_pieces_with_score_zero(base: Base, grown: Base) -> None:
    assert grown.model is not None
    latin = [Piece(text, 0.0) for text in ("eo", "eop", "eat", "tur") if text not in base.pieces]
    pieces = (*grown.model.pieces, *latin)
    lines = ["people create features and eat again", "People create features"]
    found = _failed(base, _with_pieces(base, grown, pieces), texts=lines)
    assert "text outside Han runs unchanged" in found
    assert "no base entry lost" in found


def test_a_piece_with_a_space_before_the_hanzi(base: Base, grown: Base) -> None:
    assert grown.model is not None
    assert base.model is not None
    pieces = (*grown.model.pieces, Piece("\u2581研", score_floor(base.model) - 50))
    found = _failed(base, _with_pieces(base, grown, pieces), texts=["你 研墨"])
    assert "text outside Han runs unchanged" in found


def test_answer_letters(base: Base, grown: Base) -> None:
    assert grown.model is not None
    assert base.model is not None
    glued = [Piece(f"是{letter}", -3.0 - k) for k, letter in enumerate("ABCD")]
    pieces = (*grown.model.pieces, *(Piece(c, -9.0) for c in "ABCD" if c not in base.pieces))
    pieces = (*pieces, *glued)
    found = _failed(base, _with_pieces(base, grown, pieces))
    assert "A, B, C, D stay single tokens" in found


def test_libraries_that_disagree(base: Base, grown: Base) -> None:
    """A model whose tied scores `tokenizers` cannot know: the document is of another order."""
    assert grown.model is not None
    document = dict(grown.document)
    merges = document["model"]["merges"]
    document["model"] = {**document["model"], "merges": merges[::-1]}
    found = _failed(base, replace(grown, document=document), texts=["研墨长城脚 people create"])
    assert "libraries agree" in found


def test_text_that_does_not_come_back(base: Base, grown: Base) -> None:
    document = {**grown.document, "decoder": {"type": "Fuse"}}
    assert "round trip" in _failed(base, replace(grown, document=document), texts=["研墨 先"])


def test_byte_level_faults(byte_folder: Path) -> None:
    base = load_base(byte_folder)
    parts = [b"\xe9\xbe", b"\x98"]
    first = Token(parts[0], b"\xe9", b"\xbe", "prefix")
    sound = grow(base, [first, Token("龘".encode(), parts[0], parts[1])])
    assert _failed(base, sound, texts=["龘龘 ink"]) == set()
    model = sound.document["model"]
    twice = {**model, "merges": [*model["merges"], model["merges"][-1]]}
    doubled = replace(sound, document={**sound.document, "model": twice})
    assert "merge graph sound" in _failed(base, doubled)
    glued = (
        grow(base, [Token("k研".encode(), b"k", "研".encode())])
        if ("研".encode() in base.surfaces())
        else None
    )
    if glued is not None:
        assert "text outside Han runs unchanged" in _failed(base, glued, texts=["ink研墨 k研"])
    crossing = {**model["vocab"], to_alphabet(b"! x"): sound.size}
    merges = [*model["merges"], [to_alphabet(b"!"), to_alphabet(b" x")]]
    bad = {**model, "vocab": {**crossing, to_alphabet(b" x"): sound.size + 1}, "merges": merges}
    pieces = (*sound.pieces, to_alphabet(b"! x"), to_alphabet(b" x"))
    crossed = replace(sound, document={**sound.document, "model": bad}, pieces=pieces)
    assert {"merge graph sound", "every new entry reachable"} <= _failed(base, crossed)


def test_growth_refuses_what_cannot_be(base: Base) -> None:
    the = next(s for s in base.surfaces() if s.isalpha() and len(s) > 1)
    for tokens in (
        [Token(the)],
        [Token(b"")],
        [Token("研墨".encode(), "研".encode(), "墨".encode())],
        [*_words("研墨"), Token("研墨先".encode(), "研墨".encode(), "墨".encode())],
    ):
        with pytest.raises(DataError, match="new entry"):
            grow(base, tokens)


def test_what_lies_outside_han() -> None:
    surfaces = [b" a", "研".encode(), "研墨".encode(), "，".encode(), "墨".encode(), b"\xe7\xa0"]
    surfaces.append(b"\x94")
    old = outside_han([0, 1, 4, 3, 1], surfaces)
    new = outside_han([0, 2, 3, 1], surfaces)
    split = outside_han([0, 5, 6, 4, 3, 1], surfaces)
    assert old == new == split == [(0, 0), (8, 3)]
    glued = [*surfaces, "，研".encode()]
    assert outside_han([0, 2, 7], glued) != new


def test_random_texts_are_seeded() -> None:
    assert random_texts(50, 1) == random_texts(50, 1) != random_texts(50, 2)
    joined = "".join(random_texts(500, 3))
    assert any("\u4e00" <= c <= "\u9fff" for c in joined)
    assert any(ord(c) > 0xFFFF for c in joined)
    joined.encode("utf-8")


def test_each_vocabulary_is_loaded_once(
    english_bytes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tokenizers

    base = load_base(english_bytes)
    loads: list[str] = []
    load = tokenizers.Tokenizer.from_str

    class Counting:
        @staticmethod
        def from_str(text: str) -> object:
            loads.append(text)
            return load(text)

    monkeypatch.setattr(tokenizers, "Tokenizer", Counting)
    verify(base, base, random_count=10)
    assert len(loads) == 2
