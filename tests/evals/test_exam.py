"""Reading examinations: layouts, what is refused, and which edition it is."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.evals.editions import digest_table, identify
from yanmo.evals.exam import load_exam, load_task

CEVAL = load_task("ceval")
BOTH = ("dev", "val")


def write(path: Path, rows: list[list[str]], *, ends: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator=ends).writerows(rows)


HEAD = ["id", "question", "A", "B", "C", "D", "answer"]


def one_file(folder: Path, rows: list[list[str]], *, subject: str = "law") -> Path:
    write(folder / "val" / f"{subject}_val.csv", rows)
    return folder


def test_the_table_of_subjects_is_whole() -> None:
    sizes: dict[str, int] = {}
    for subject in CEVAL.subjects.values():
        sizes[subject.category] = sizes.get(subject.category, 0) + 1
    assert sizes == {"STEM": 20, "Social Science": 10, "Humanities": 11, "Other": 11}
    assert len(set(CEVAL.groups["Hard"])) == 8
    assert set(CEVAL.groups["Hard"]) <= set(CEVAL.subjects)
    assert CEVAL.subject("law").chinese == "法学"


def test_a_folder_in_the_tasks_order(demo: Path) -> None:
    exam = load_exam(CEVAL, demo, splits=BOTH)
    keys = list(exam.questions("val"))
    assert keys == [key for key in CEVAL.subjects if key in keys]
    assert {key: len(rows) for key, rows in exam.questions("val").items()} == dict.fromkeys(keys, 9)
    first = exam.questions("dev")["middle_school_physics"][1]
    assert (first.id, first.answer, first.options[0]) == ("1", "A", "20 N")
    assert first.explanation is not None
    assert "$G=mg$" in first.explanation
    last = exam.questions("val")["chinese_language_and_literature"][-1]
    assert last.question.count("\n") == 2
    assert len(exam.files) == 12
    assert all(len(digest) == 64 for digest in exam.files.values())


def test_a_zip_below_any_folder_is_the_same_exam(demo: Path, tmp_path: Path) -> None:
    archive = tmp_path / "exam.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(demo.rglob("*.csv")):
            target.write(file, f"some/where/{file.relative_to(demo).as_posix()}")
        target.writestr("__MACOSX/dev/._law_dev.csv", "junk")
        target.writestr("readme.csv", "not,a,subject")
    packed, plain = load_exam(CEVAL, archive, splits=BOTH), load_exam(CEVAL, demo, splits=BOTH)
    assert packed.digest() == plain.digest()
    assert packed.splits == plain.splits


def test_other_line_ends_are_the_same_text(tmp_path: Path) -> None:
    rows = [HEAD, ["0", "第一行\n第二行", "1", "2", "3", "4", "C"]]
    crlf = [HEAD, ["0", "第一行\r\n第二行", "1", "2", "3", "4", "C"]]
    write(tmp_path / "a" / "val" / "law_val.csv", rows)
    write(tmp_path / "b" / "val" / "law_val.csv", crlf, ends="\r\n")
    a, b = (load_exam(CEVAL, tmp_path / name, splits=("val",)) for name in "ab")
    assert a.digest() == b.digest()
    assert b.questions("val")["law"][0].question == "第一行\n第二行"
    assert a.files != b.files


def test_cells_stay_text(tmp_path: Path) -> None:
    folder = one_file(tmp_path, [HEAD, ["007", "q", "1.0", "NA", "", "1e5", "b"]])
    question = load_exam(CEVAL, folder, splits=("val",)).questions("val")["law"][0]
    assert (question.id, question.options, question.answer) == (
        "007",
        ("1.0", "NA", "", "1e5"),
        "B",
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["id", "question", "A", "B", "C", "answer"], ["0", "q", "1", "2", "3", "A"]],
         "no column 'D'"),
        ([HEAD, ["0", "q", "1", "2", "3"]], "record 0: 5 cells under 7 columns"),
        ([HEAD, ["0", "q", "1", "2", "3", "4", "E"]], "none of the letters, got 'E'"),
        ([HEAD, ["0", "q", "1", "2", "3", "4", "A"]] * 2, "none of the letters|one id"),
        ([HEAD, *[["0", "q", "1", "2", "3", "4", "A"]] * 2], "two records have one id"),
        ([HEAD], "no questions in the file"),
    ],
)  # fmt: skip
def test_bad_files_name_file_and_record(
    rows: list[list[str]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_exam(CEVAL, one_file(tmp_path, rows), splits=("val",))
    assert "law_val.csv" in str(caught.value)


def test_bad_bytes_and_bad_archives(tmp_path: Path) -> None:
    file = tmp_path / "x" / "val" / "law_val.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes("id,question\n0,法学".encode("gb18030"))
    with pytest.raises(DataError, match="not UTF-8"):
        load_exam(CEVAL, tmp_path / "x", splits=("val",))
    file.write_bytes(b'id,question\n0,"open\n')
    with pytest.raises(DataError, match="not csv"):
        load_exam(CEVAL, tmp_path / "x", splits=("val",))
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="not a zip"):
        load_exam(CEVAL, tmp_path / "torn.zip", splits=("val",))
    with pytest.raises(UsageError, match="no such file or folder"):
        load_exam(CEVAL, tmp_path / "nowhere", splits=("val",))


def test_subjects_and_splits_that_are_not_there(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such subject.*Did you mean 'law'"):
        load_exam(CEVAL, demo, splits=BOTH, subjects=("lav",))
    with pytest.raises(DataError, match=r"no file of 'law' in the split 'dev'.*dev/law_dev\.csv"):
        load_exam(CEVAL, demo, splits=BOTH, subjects=("law",))
    with pytest.raises(UsageError, match=r"no such split.*Did you mean 'val'"):
        load_exam(CEVAL, demo, splits=("vali",))
    only_dev = tmp_path / "dev-only"
    shutil.copytree(demo / "dev", only_dev / "dev")
    with pytest.raises(DataError, match=r"no files of the split 'val'.*It has: dev"):
        load_exam(CEVAL, only_dev, splits=BOTH).questions("val")
    one_file(tmp_path / "odd", [HEAD, ["0", "q", "1", "2", "3", "4", "A"]], subject="lawn")
    with pytest.raises(DataError, match="'lawn' is no subject of C-Eval"):
        load_exam(CEVAL, tmp_path / "odd", splits=("val",))


def test_two_editions_side_by_side_are_refused(demo: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(demo, tmp_path / name)
    with pytest.raises(DataError, match="editions are mixed"):
        load_exam(CEVAL, tmp_path, splits=BOTH)


def test_a_users_own_task_in_jsonl(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        'name = "mine"\ntitle = "Mine"\npath = "{split}/{subject}.jsonl"\nsplits = ["test"]\n'
        'split = "test"\n[columns]\nquestion = "stem"\noptions = ["choices"]\nanswer = "gold"\n',
        encoding="utf-8",
    )
    file = tmp_path / "test" / "rivers.jsonl"
    file.parent.mkdir()
    rows = [{"stem": "哪条河最长？\u2028", "choices": ["长江", "黄河", "淮河"], "gold": 0},
            {"stem": "最短？", "choices": ["a", "b"], "gold": "B"}]  # fmt: skip
    file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n", "utf-8")
    task = load_task(str(tmp_path / "t.toml"))
    found = load_exam(task, tmp_path, splits=("test",)).questions("test")["rivers"]
    assert [(q.id, q.options, q.answer) for q in found] == [
        ("0", ("长江", "黄河", "淮河"), "A"), ("1", ("a", "b"), "B"),
    ]  # fmt: skip
    assert task.subject("rivers").english == "rivers"


def test_a_csv_without_header(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        'name = "bare"\ntitle = "Bare"\npath = "{split}/{subject}_{split}.csv"\nheader = false\n'
        '[columns]\nquestion = "0"\noptions = ["1", "2", "3", "4"]\nanswer = "5"\n',
        encoding="utf-8",
    )
    write(tmp_path / "val" / "art_val.csv", [["q", "1", "2", "3", "4", "D"]])
    task = load_task(str(tmp_path / "t.toml"))
    found = load_exam(task, tmp_path, splits=("val",)).questions("val")["art"][0]
    assert (found.id, found.question, found.answer) == ("0", "q", "D")


def test_task_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('name = "x"\ntitle = "X"\npath = "{split}.csv"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"needs .split. and .subject."):
        load_task(str(path))
    path.write_text('nam = "x"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="Did you mean 'name'"):
        load_task(str(path))
    with pytest.raises(UsageError, match="Did you mean 'ceval'"):
        load_task("cevall")


def test_questions_of_our_own_are_of_no_known_edition(demo: Path) -> None:
    edition = identify(load_exam(CEVAL, demo, splits=BOTH))
    assert edition.name is None
    assert not edition.mixed
    assert len(edition.unknown) == 12
    assert "no known edition" in edition.note()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "edition"),
    [("ceval-exam.zip", "ceval-2023"),
     ("ceval-exam-with-test-answers.zip", "ceval-2024-labelled")],
)  # fmt: skip
def test_known_editions(name: str, edition: str, realdata: Path) -> None:
    exam = load_exam(CEVAL, realdata / "exams" / "ceval" / name, splits=("dev", "val", "test"))
    sizes = {split: sum(map(len, rows.values())) for split, rows in exam.splits.items()}
    assert sizes == {"dev": 260, "val": 1346, "test": 12342}
    assert identify(exam).name == edition


@pytest.mark.realdata
def test_a_mixture_of_editions_is_named(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "exams" / "ceval"
    # These two files differ between the editions, so one of each can only be a mixture.
    parts = {"ceval-exam.zip": "val/middle_school_politics",
             "ceval-exam-with-test-answers.zip": "test/logic"}  # fmt: skip
    for name, part in parts.items():
        split = part.split("/")[0]
        with zipfile.ZipFile(folder / name) as archive:
            member = next(m for m in archive.namelist() if m.endswith(f"{part}_{split}.csv"))
            target = tmp_path / f"{part}_{split}.csv"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(archive.read(member))
    exam = load_exam(CEVAL, tmp_path, splits=("val", "test"))
    edition = identify(exam)
    assert edition.mixed
    assert "MIXED" in edition.note()
    assert set(digest_table(exam)) == set(parts.values())
