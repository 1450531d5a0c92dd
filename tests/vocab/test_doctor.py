"""The doctor: what it finds is there, the well are well, and the command says so."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
from click.testing import CliRunner

from yanmo.errors import DataError, UsageError
from yanmo.vocab import agreement
from yanmo.vocab.checks_json import recognition
from yanmo.vocab.cli import group
from yanmo.vocab.convert import added_token, to_alphabet
from yanmo.vocab.doctor import Examination, examine, write_repaired
from yanmo.vocab.llama_cpp import CHECK_TEXT, hash_of_ids, recognise
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.long_tokens import long_tokens
from yanmo.vocab.merge import MergeOptions, merge_tokenizers
from yanmo.vocab.patient import open_patient
from yanmo.vocab.spm import (
    Piece,
    PieceType,
    dump_model,
    parse_model,
)
from yanmo.vocab.spm_json import bos_template

from .merged_models import ENGLISH, QUICK, by_itself, byte_document, changed, write_document


def names(found: Examination, level: str) -> set[str]:
    return {finding.name for finding in found.findings if finding.level == level}


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


@pytest.mark.parametrize("first", ["<s>", "<｜begin▁of▁sentence｜>"])
def test_recognition_hashes_what_the_whole_tokenizer_gives(
    first: str, byte_folder: Path, tmp_path: Path
) -> None:
    """Whatever the first token is called; transformers is what the converter asks."""
    transformers = pytest.importorskip("transformers")
    document = byte_document(byte_folder)
    size = len(document["model"]["vocab"])
    document["added_tokens"].append(added_token(first, size))
    document["post_processor"] = bos_template(first, size)
    folder = write_document(document, tmp_path / "m")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": first}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    ids = transformers.AutoTokenizer.from_pretrained(str(folder)).encode(CHECK_TEXT)
    assert ids[0] == size
    found = recognition(open_patient(folder))
    assert found.chkhsh == hash_of_ids(ids)
    assert found.known_as is None
    assert found.chkhsh in found.line


def test_a_pattern_that_is_not_known_names_nothing() -> None:
    assert "THE-NAME-OF-THE-BASE" in recognise([1, 2], pattern="", name="x").line


def test_long_entries() -> None:
    texts = ["在线娱乐平台注册", "点击阅读原文", "哈哈哈哈哈", "中国人民解放军", "短词"]
    texts += ["navigation" * 2, "=" * 20]
    found = long_tokens([text.encode() for text in texts], range(len(texts)))
    assert found.long == (0, 3, 1, 2, 5)
    assert found.spam == (0,)
    assert set(found.boilerplate) == {0, 1}
    assert found.repeated == (2,)


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


def test_a_library_that_lacks_something_is_told(
    english_spm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers without protobuf raises ImportError; that is not "not installed"."""

    def lacking(folder: Path) -> None:
        raise ImportError("it requires the protobuf library")

    monkeypatch.setattr(agreement, "auto_engine", lacking)
    options = replace(QUICK, libraries=True)
    found = examine(open_patient(english_spm, english_spm), ENGLISH, options)
    told = [f.what for f in found.findings if f.name == "AutoTokenizer did not read it"]
    assert told == ["cannot read it: it requires the protobuf library."]
    assert found.report()["text"]["libraries"] == ["sentencepiece", "tokenizers"]


def test_no_text_is_not_the_built_in_text(english_spm: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n", encoding="utf-8")
    arguments = ["doctor", str(english_spm), "--no-libraries", "--text", str(empty)]
    result = CliRunner().invoke(group, arguments)
    assert isinstance(result.exception, DataError)
    assert "empty.jsonl: there is no text" in str(result.exception)
