"""Entries that no text brings out, against the libraries themselves."""

from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import pytest

from yanmo.vocab.checks_json import recognition
from yanmo.vocab.convert import to_alphabet
from yanmo.vocab.doctor import find_dead
from yanmo.vocab.patient import Patient, open_patient
from yanmo.vocab.reach_bytes import two_part_faults
from yanmo.vocab.spm import (
    Piece,
    PieceType,
    parse_model,
)

from .merged_models import by_itself, byte_document, changed, write_document


def test_the_dead_are_those_that_sentencepiece_never_gives(
    zero_merge: Path, english_spm: Path
) -> None:
    patient = open_patient(zero_merge, english_spm)
    model = parse_model((zero_merge / "tokenizer.model").read_bytes())
    oracle = by_itself(model)
    wanted = {
        index
        for index, piece in enumerate(model.pieces)
        if piece.type is PieceType.NORMAL
        and oracle.encode(piece.text.replace("\u2581", " ")) != [index]
    }
    dead, _ = find_dead(patient)
    assert {entry.id for entry in dead} == wanted
    assert len(wanted) >= 5
    assert all(entry.reason in ("no derivation", "shadowed") for entry in dead)
    for entry in dead:
        if entry.blocker is not None:
            assert model.pieces[entry.blocker].text in entry.piece


def test_what_is_dead_alone_is_dead_in_any_text(zero_merge: Path) -> None:
    """The ground of the whole examination, tried on texts made of the pieces themselves."""
    patient = open_patient(zero_merge)
    dead = {entry.id for entry in find_dead(patient)[0]}
    texts = [piece.text.replace("\u2581", " ") for piece in patient.model.pieces[259:]]  # type: ignore[union-attr]
    random = Random(7)
    encode = patient.encode()
    lines = ["".join(random.choices(texts, k=6)) for _ in range(3000)]
    assert {i for ids in encode(lines) for i in ids} & dead == set()
    assert len({i for ids in encode(lines) for i in ids}) > 200


def test_a_raw_space_and_the_normaliser(english_spm: Path, tmp_path: Path) -> None:
    file = changed(english_spm, tmp_path, [Piece("the fox", -900.0)])
    (entry,) = [d for d in find_dead(open_patient(file, english_spm))[0] if d.piece == "the fox"]
    assert entry.reason == "normaliser"


def test_unigram(chinese_unigram: Path) -> None:
    patient = open_patient(chinese_unigram)
    oracle = patient.bare_encode()
    dead = {entry.id for entry in find_dead(patient)[0] if entry.reason == "a better path"}
    for index in patient.probe_ids():
        text = patient.pieces[index].replace("\u2581", " ")
        assert (oracle([text])[0] != [index]) == (index in dead)


def test_byte_level_dead_entries(byte_folder: Path, tmp_path: Path) -> None:
    """One entry that no merge makes, one the pattern cuts, one the normaliser rewrites."""
    document = byte_document(byte_folder)
    assert find_dead(open_patient(byte_folder))[0] == []
    vocab, merges = document["model"]["vocab"], document["model"]["merges"]
    size = len(vocab)
    document["normalizer"] = {"type": "NFC"}
    for number, (text, cut) in enumerate(
        [("qzx", None), ("a b", None), ("\u212b", 1), ("\u212b", None)][:3]
    ):
        data = text.encode()
        vocab[to_alphabet(data)] = size + number
        if cut:
            vocab[to_alphabet(data[:2])] = size + 10
            merges += [
                [to_alphabet(data[:1]), to_alphabet(data[1:2])],
                [to_alphabet(data[:2]), to_alphabet(data[2:])],
            ]
    vocab[to_alphabet("\u212b".encode()[:2])] = size + 3
    patient = open_patient(write_document(document, tmp_path / "m"))
    reasons = {entry.piece: entry.reason for entry in find_dead(patient)[0]}
    assert reasons == {
        "qzx": "no derivation",
        "a b": "pre-tokenizer",
        "\u212b": "normaliser",
    }


def test_whole_words_live_by_ignore_merges(byte_folder: Path, tmp_path: Path) -> None:
    document = byte_document(byte_folder)
    document["model"]["vocab"][to_alphabet(b"qzx")] = len(document["model"]["vocab"])
    document["model"]["ignore_merges"] = True
    patient = open_patient(write_document(document, tmp_path / "m"))
    dead, reach = find_dead(patient)
    assert dead == []
    assert reach is not None
    assert [patient.pieces[i] for i in reach.whole_words] == ["qzx"]
    assert set(reach.whole_words) <= set(two_part_faults(patient, patient.surfaces()))


def test_wordpiece_against_every_word_of_two_entries(tmp_path: Path) -> None:
    """Brute force: an entry lives if it comes out of an entry alone or of two put together."""
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "ab", "abc", "中", "...", "."]
    entries += ["##b", "##bc", "##中", "##c", "##d", "##A", "##\u0301", "x", "##cd"]
    (tmp_path / "vocab.txt").write_text("\n".join(entries), encoding="utf-8")
    patient = open_patient(tmp_path / "vocab.txt")
    encode = patient.encode()
    bare = [entry.removeprefix("##") for entry in entries[5:]]
    texts = ["".join(parts) for n in (1, 2, 3) for parts in product(bare, repeat=n)]
    seen = {index for ids in encode(texts) for index in ids}
    dead = {entry.id for entry in find_dead(patient)[0]}
    assert dead == set(range(5, len(entries))) - seen
    assert {entries[index] for index in dead} >= {"##中", "...", "##A"}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "no_two_parts", "whole_words", "known_as"),
    [("llama3", 678, 588, "llama-bpe"), ("gpt2", 0, 0, "gpt-2"), ("minimind", 0, 0, None)],
)
def test_published_byte_level_vocabularies(
    name: str, no_two_parts: int, whole_words: int, known_as: str | None, real_tokenizers: Path
) -> None:
    patient = open_patient(real_tokenizers / name)
    dead, reach = find_dead(patient)
    assert reach is not None
    assert dead == []
    faults = two_part_faults(patient, patient.surfaces())
    assert (len(faults), len(reach.whole_words)) == (no_two_parts, whole_words)
    assert recognition(patient).known_as == known_as


@pytest.mark.realdata
def test_qwen_and_bert(real_tokenizers: Path) -> None:
    dead, _ = find_dead(open_patient(real_tokenizers / "qwen2.5"))
    assert Counter(d.reason for d in dead) == {"pre-tokenizer": 1661, "normaliser": 248}
    dead, _ = find_dead(open_patient(real_tokenizers / "bert-base-chinese"))
    assert Counter(d.reason for d in dead) == {"pre-tokenizer": 7442, "normaliser": 4}


def test_parts_of_characters_are_found_by_few_texts(
    byte_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each comes out of one of the first characters; all 4000 were tried of each once."""
    patient = open_patient(byte_folder)
    encode, seen = patient.encode(), []

    def counted(texts: list[str]) -> list[list[int]]:
        seen.append(len(texts))
        return encode(texts)

    monkeypatch.setattr(Patient, "encode", lambda _: counted)
    _, reach = find_dead(patient)
    assert reach is not None
    parts = [s for s in patient.surfaces() if not s.isascii() and s.decode(errors="ignore") == ""]
    assert len(parts) > 100
    assert sum(seen) < 100 * len(parts)
