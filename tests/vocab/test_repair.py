"""A repaired model: every id where it was, the base restored, the libraries one."""

from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece

from yanmo.errors import UsageError
from yanmo.vocab import doctor
from yanmo.vocab.doctor import examine, write_repaired
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.patient import open_patient
from yanmo.vocab.spm import (
    PieceType,
    dump_model,
    parse_model,
)
from yanmo.vocab.spm_specs import claimed_size, with_claimed_size

from .merged_models import ENGLISH, QUICK


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


def test_a_folder_of_others_is_not_replaced(
    zero_merge: Path, english_spm: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work", encoding="utf-8")
    patient = open_patient(zero_merge, english_spm)
    found = examine(patient, ENGLISH, QUICK)
    for out in (mine, zero_merge, zero_merge.parent):
        with pytest.raises(UsageError, match=r"--out"):
            write_repaired(patient, found, ENGLISH, out, QUICK)
    assert (mine / "thesis.txt").is_file()
    assert (zero_merge / "tokenizer.model").is_file()
    for _ in range(2):  # its own it replaces
        write_repaired(patient, found, ENGLISH, tmp_path / "out", QUICK)


def test_nothing_is_written_before_it_was_examined(
    zero_merge: Path, english_spm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = open_patient(zero_merge, english_spm)
    found = examine(patient, ENGLISH, QUICK)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", stop)
    with pytest.raises(KeyboardInterrupt):
        write_repaired(patient, found, ENGLISH, tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()
