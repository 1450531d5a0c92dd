"""The doctor: what it finds is what sentencepiece itself shows, and what it repairs is right."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sentencepiece
from click.testing import CliRunner

from yanmo.errors import DataError, UsageError
from yanmo.vocab.cli import group
from yanmo.vocab.convert import added_token, to_alphabet
from yanmo.vocab.doctor import DoctorOptions, Examination, examine, find_dead, write_repaired
from yanmo.vocab.llama_cpp import CHECK_TEXT, hash_of_ids, recognise
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.long_tokens import long_tokens
from yanmo.vocab.merge import MergeOptions, merge_tokenizers
from yanmo.vocab.patient import open_patient
from yanmo.vocab.spm import (
    Model,
    Piece,
    PieceType,
    dump_model,
    parse_model,
    without_dummy_prefix,
)
from yanmo.vocab.spm_specs import claimed_size, with_claimed_size

QUICK = DoctorOptions(libraries=False, random_count=100)
ENGLISH = ["People create features in 2016.", "  def main(x):  return 1"] * 20


@pytest.fixture(scope="session")
def zero_merge(
    english_spm: Path, chinese_unigram: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The published recipe on tiny models; ``trainer_spec.vocab_size`` left as it was.

    Words without parts, Latin and digits, as the published unigram model has them.
    """
    root = tmp_path_factory.mktemp("zero")
    words = [
        "越来越",
        "越",
        "来",
        "维生素",
        "维",
        "生",
        "素",
        "外星人",
        "eo",
        "tur",
        "20",
        "16",
        "》、《",
    ]
    chinese = changed(chinese_unigram, root / "chinese", [Piece(word, -9.0) for word in words])
    merge_tokenizers(english_spm, chinese, root / "merged", MergeOptions(scores="zero"))
    return root / "merged"


def by_itself(model: Model) -> Any:
    """The oracle: sentencepiece on a copy without dummy prefix."""
    data = dump_model(without_dummy_prefix(model))
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def names(found: Examination, level: str) -> set[str]:
    return {finding.name for finding in found.findings if finding.level == level}


def changed(file: Path, out: Path, pieces: list[Piece]) -> Path:
    """A model file with pieces appended."""
    model = parse_model(file.read_bytes())
    out.mkdir(exist_ok=True)
    path = out / "tokenizer.model"
    path.write_bytes(dump_model(model.with_pieces((*model.pieces, *pieces))))
    return path


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


def test_the_published_recipe_is_ill(zero_merge: Path, english_spm: Path) -> None:
    found = examine(open_patient(zero_merge, english_spm), ENGLISH, QUICK)
    assert not found.healthy
    assert {
        "added entries that are dead",
        "equal scores",
        "added pieces that outrank the base",
        "English lines changed",
    } <= names(found, "ill")
    assert "trainer_spec.vocab_size" in names(found, "warning")
    guessed = open_patient(zero_merge / "tokenizer.model")
    assert guessed.base_size == load_tokenizer(english_spm).vocab_size
    assert all(finding.examples for finding in found.findings if finding.level == "ill")


def test_base_pieces_lost_are_told_with_the_piece_in_the_way(
    english_spm: Path, tmp_path: Path
) -> None:
    """A Latin piece with score 0 takes the letters away from base pieces."""
    known = {piece.text for piece in parse_model(english_spm.read_bytes()).pieces}
    words = sorted(word for word in known if word.isascii() and word.isalpha() and len(word) > 3)
    pair = next(w[k : k + 2] for w in words for k in range(len(w) - 1) if w[k : k + 2] not in known)
    file = changed(english_spm, tmp_path, [Piece(pair, 0.0)])
    found = examine(open_patient(file, english_spm), ENGLISH, QUICK)
    (lost,) = [f for f in found.findings if f.name == "base pieces lost"]
    oracle, base = by_itself(parse_model(file.read_bytes())), parse_model(english_spm.read_bytes())
    before = by_itself(base)
    wanted = [
        piece.text
        for index, piece in enumerate(base.pieces)
        if piece.type is PieceType.NORMAL
        and before.encode(piece.text.replace("\u2581", " ")) == [index]
        and oracle.encode(piece.text.replace("\u2581", " ")) != [index]
    ]
    assert lost.count == len(wanted) > 0
    assert pair in {example["in the way"] for example in lost.examples}
    assert {word for example in lost.examples for word in example["lost"]} <= set(wanted)


def test_equal_scores_are_predicted_and_measured(english_spm: Path, tmp_path: Path) -> None:
    """sentencepiece takes the leftmost of equals, tokenizers what stands first in its list."""
    file = changed(english_spm, tmp_path, [Piece("一是", 0.0), Piece("的一", 0.0)])
    found = examine(open_patient(file, english_spm), ["的一是"], QUICK)
    assert {"equal scores", "sentencepiece and tokenizers disagree"} <= names(found, "ill")
    assert found.tally.examples["tokenizers"]["line"] == "的一是"


def test_the_well_are_well(english_spm: Path, chinese_unigram: Path, tmp_path: Path) -> None:
    assert examine(open_patient(english_spm, english_spm), ENGLISH, QUICK).healthy
    merge_tokenizers(english_spm, chinese_unigram, tmp_path / "m", MergeOptions())
    found = examine(open_patient(tmp_path / "m", english_spm), ENGLISH, QUICK)
    assert found.healthy
    assert found.tally.slices["english"].changed == 0
    assert found.tally.slices["english"].lines == len(ENGLISH)


@pytest.mark.parametrize("mark_unused", [False, True])
def test_repair(
    mark_unused: bool, zero_merge: Path, english_spm: Path, tmp_path: Path, texts: list[str]
) -> None:
    patient = open_patient(zero_merge, english_spm)
    options = replace(QUICK, mark_unused=mark_unused, libraries=mark_unused)
    before = examine(patient, texts, QUICK)
    report = write_repaired(patient, before, texts, tmp_path / "out", options)
    old = parse_model((zero_merge / "tokenizer.model").read_bytes())
    new = parse_model((tmp_path / "out" / "tokenizer.model").read_bytes())
    base = parse_model(english_spm.read_bytes())
    size = len(base.pieces)
    assert [p.text for p in new.pieces] == [p.text for p in old.pieces]
    assert new.pieces[:size] == base.pieces
    scores = sorted((p.score for p in new.pieces[size:]), reverse=True)
    floor = min(p.score for p in base.pieces if p.score > -1e6)
    assert len(set(scores)) == len(scores)
    assert scores[0] < floor
    assert claimed_size(new) == len(new.pieces)
    told = {f["name"] for f in report["findings"] if f["level"] == "ill"}
    assert told <= {"added entries that are dead", "English lines changed"}
    assert not any(report["text"]["different"].values())
    types = {piece.type for piece in new.pieces[size:]}
    assert (PieceType.UNUSED in types) is (mark_unused or bool(report["repair"]["disabled"]))
    assert report["repair"]["still_dead"] <= report["before"]["dead_added"]
    table = (tmp_path / "out" / "dead.tsv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + report["repair"]["still_dead"]
    again = open_patient(tmp_path / "out", english_spm)
    assert again.pieces == patient.pieces
    assert load_tokenizer(tmp_path / "out").vocab_size == len(new.pieces)


def test_disabling_the_dead_changes_no_text(
    zero_merge: Path, english_spm: Path, tmp_path: Path, texts: list[str]
) -> None:
    patient = open_patient(zero_merge, english_spm)
    found = examine(patient, texts, QUICK)
    ids = []
    for mark in (False, True):
        out = tmp_path / str(mark)
        write_repaired(patient, found, texts, out, replace(QUICK, mark_unused=mark))
        loaded = open_patient(out)
        ids.append(loaded.encode()(texts))
    assert ids[0] == ids[1]


def test_repair_twice_gives_the_same_bytes(
    zero_merge: Path, english_spm: Path, tmp_path: Path
) -> None:
    patient = open_patient(zero_merge, english_spm)
    found = examine(patient, ENGLISH, QUICK)
    for name in ("one", "two"):
        write_repaired(patient, found, ENGLISH, tmp_path / name, QUICK)
    for file in sorted((tmp_path / "one").iterdir()):
        if file.name != "report.json":  # it names its folder
            assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_wrong_types_and_duplicates(english_spm: Path, tmp_path: Path) -> None:
    """What careless loops bring in; sentencepiece itself refuses this file."""
    extra = [
        Piece("<pad>", 0.0),
        Piece("<0xE4>", 0.0, PieceType.BYTE),
        Piece("的一", -3.0),
        Piece("的一", -4.0),
    ]
    file = changed(english_spm, tmp_path / "m", extra)
    with pytest.raises(RuntimeError):
        sentencepiece.SentencePieceProcessor(model_file=str(file))
    patient = open_patient(file, english_spm)
    found = examine(patient, ENGLISH, QUICK)
    assert {"pieces that sentencepiece refuses", "special tokens of type NORMAL"} <= names(
        found, "ill"
    )
    report = write_repaired(patient, found, ENGLISH, tmp_path / "out", QUICK)
    healed = parse_model((tmp_path / "out" / "tokenizer.model").read_bytes())
    assert healed.pieces[-4].type is PieceType.CONTROL
    assert [p.type for p in healed.pieces[-4:]].count(PieceType.UNUSED) == 2
    assert len(healed.pieces) == len(patient.pieces)
    loaded = sentencepiece.SentencePieceProcessor(model_proto=dump_model(healed))
    assert loaded.piece_to_id("<pad>") == len(healed.pieces) - 4
    assert "pieces that sentencepiece refuses" not in {f["name"] for f in report["findings"]}


def test_a_piece_with_a_character_that_is_no_piece(english_spm: Path, tmp_path: Path) -> None:
    """sentencepiece merges the character all the same, tokenizers spells it in bytes."""
    file = changed(english_spm, tmp_path / "m", [Piece("山", -500.0), Piece("山楂", -501.0)])
    patient = open_patient(file, english_spm)
    assert patient.encode()(["x山楂"])[0][-1] == patient.size - 1
    lines = ["山楂", "山楂山", "的山楂一"]
    found = examine(patient, lines, QUICK)
    name = "pieces with a character that is no piece"
    assert {name, "sentencepiece and tokenizers disagree"} <= names(found, "ill")
    report = write_repaired(patient, found, lines, tmp_path / "out", QUICK)
    assert report["repair"]["disabled"] == [patient.size - 1]
    assert report["text"]["different"] == {"tokenizers": 0}
    assert report["healthy"]


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


def byte_document(byte_folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((byte_folder / "tokenizer.json").read_text("utf-8"))
    return found


def write_document(document: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


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
    assert set(reach.whole_words) <= set(reach.no_two_parts)


def test_holes_padding_and_recognition(byte_folder: Path, tmp_path: Path) -> None:
    document = byte_document(byte_folder)
    size = len(document["model"]["vocab"])
    document["model"]["vocab"][to_alphabet(b"qzx")] = size + 3
    document["added_tokens"].append(added_token("<|x|>", size + 4))
    folder = write_document(document, tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"vocab_size": size + 64}), encoding="utf-8")
    found = examine(open_patient(folder), ENGLISH, QUICK)
    by_name = {finding.name: finding for finding in found.findings}
    assert by_name["ids without an entry"].count == 3
    assert by_name["rows of the model"].level == "note"
    (line,) = by_name["llama.cpp"].examples
    ids = open_patient(folder).encode()([CHECK_TEXT])[0]
    assert hash_of_ids(ids) in line
    (folder / "config.json").write_text(json.dumps({"vocab_size": size}), encoding="utf-8")
    assert not examine(open_patient(folder), ENGLISH, QUICK).healthy


def test_recognition_needs_the_first_token() -> None:
    plain = recognise([1, 2], bos=None, pattern="", name="x")
    first = recognise([1, 2], bos=3, pattern="", name="x")
    assert plain.chkhsh == hash_of_ids([1, 2])
    assert first.chkhsh == hash_of_ids([3, 1, 2])
    assert plain.known_as is None
    assert "THE-NAME-OF-THE-BASE" in plain.line


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


def test_long_entries() -> None:
    texts = ["在线娱乐平台注册", "点击阅读原文", "哈哈哈哈哈", "中国人民解放军", "短词"]
    texts += ["navigation" * 2, "=" * 20]
    found = long_tokens([text.encode() for text in texts], range(len(texts)))
    assert found.long == (0, 3, 1, 2, 5)
    assert found.spam == (0,)
    assert set(found.boilerplate) == {0, 1}
    assert found.repeated == (2,)


def test_settings_are_changed_and_nothing_else(english_spm: Path) -> None:
    model = parse_model(english_spm.read_bytes())
    size = claimed_size(model)
    assert size is not None
    moved = with_claimed_size(model, 70_000)
    assert claimed_size(moved) == 70_000
    texts = ["People create features.", "研墨"]
    one, two = (
        sentencepiece.SentencePieceProcessor(model_proto=dump_model(m)) for m in (model, moved)
    )
    assert one.encode(texts) == two.encode(texts)


def test_usage(english_spm: Path, byte_folder: Path, spm_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="different families"):
        open_patient(english_spm, byte_folder)
    with pytest.raises(DataError, match="does not begin with"):
        open_patient(english_spm, spm_file)
    result = CliRunner().invoke(
        group, ["doctor", str(byte_folder), "--out", str(tmp_path / "x"), "--no-libraries"]
    )
    assert isinstance(result.exception, UsageError)
    assert "only SentencePiece BPE" in str(result.exception)
    assert not (tmp_path / "x").exists()


def test_command(zero_merge: Path, english_spm: Path, tmp_path: Path) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(ENGLISH), encoding="utf-8")
    common = ["--base", str(english_spm), "--no-libraries", "--text", str(text)]
    ill = CliRunner().invoke(group, ["doctor", str(zero_merge), *common])
    assert ill.exit_code == 1
    assert "ILL" in ill.output
    well = CliRunner().invoke(group, ["doctor", str(english_spm), *common, "--json"])
    assert well.exit_code == 0, well.output
    assert json.loads(well.stdout)["healthy"]
    out = str(tmp_path / "out")
    repaired = CliRunner().invoke(
        group, ["doctor", str(zero_merge), *common, "--out", out, "--mark-unused"]
    )
    assert "repaired" in repaired.output
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert repaired.exit_code == (0 if report["healthy"] else 1)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "added_dead", "lost"), [("zero", 345, 194), ("chinese-llama-2", 657, 1)]
)
def test_the_published_merges(
    name: str, added_dead: int, lost: int, real_tokenizers: Path, tmp_path: Path
) -> None:
    """Counted independently by brute force with sentencepiece itself."""
    folder = real_tokenizers / name
    llama = real_tokenizers / "llama"
    if name == "zero":
        folder = tmp_path / "zero"
        chinese = real_tokenizers / "chinese-llama"
        merge_tokenizers(llama, chinese, folder, MergeOptions(scores="zero"))
    patient = open_patient(folder, llama)
    found = examine(patient, [], QUICK)
    counts = {finding.name: finding.count for finding in found.findings}
    assert counts["added entries that are dead"] == added_dead
    assert counts["base pieces lost"] == lost
    report = write_repaired(patient, found, [], tmp_path / "out", replace(QUICK, mark_unused=True))
    after = {f["name"]: f["count"] for f in report["findings"]}
    assert "base pieces lost" not in after
    assert "added entries that are dead" not in after
    assert report["repair"]["still_dead"] == {"zero": 344, "chinese-llama-2": 657}[name]
    healed = parse_model((tmp_path / "out" / "tokenizer.model").read_bytes())
    assert tuple(p.text for p in healed.pieces) == patient.pieces


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "no_two_parts", "whole_words", "known_as"),
    [("llama3", 678, 588, "llama-bpe"), ("gpt2", 0, 0, "gpt-2"), ("minimind", 0, 0, None)],
)
def test_published_byte_level_vocabularies(
    name: str, no_two_parts: int, whole_words: int, known_as: str | None, real_tokenizers: Path
) -> None:
    from yanmo.vocab.checks_json import recognition

    patient = open_patient(real_tokenizers / name)
    dead, reach = find_dead(patient)
    assert reach is not None
    assert dead == []
    assert (len(reach.no_two_parts), len(reach.whole_words)) == (no_two_parts, whole_words)
    assert recognition(patient).known_as == known_as


@pytest.mark.realdata
def test_qwen_and_bert(real_tokenizers: Path) -> None:
    from collections import Counter

    dead, _ = find_dead(open_patient(real_tokenizers / "qwen2.5"))
    assert Counter(d.reason for d in dead) == {"pre-tokenizer": 1661, "normaliser": 248}
    dead, _ = find_dead(open_patient(real_tokenizers / "bert-base-chinese"))
    assert Counter(d.reason for d in dead) == {"pre-tokenizer": 7442, "normaliser": 4}
