"""Questions out of files: the published layouts, fields of one's own, and rubbish."""

import json
import zipfile
from pathlib import Path

import pytest

from yanmo.curate.exam_items import Against, ExamItem, exam_files, place_of, read_items
from yanmo.curate.leak_index import check_names
from yanmo.errors import DataError, UsageError
from yanmo.evals.exam import load_exam, load_task

DEMO = Path(__file__).resolve().parents[2] / "fixtures" / "demo" / "ceval"


def read(path: Path, **fields: object) -> list[ExamItem]:
    spec = Against(str(path), **fields)  # type: ignore[arg-type]
    files = exam_files(spec)
    root = path if path.is_dir() else path.parent
    return list(read_items(spec, [(f.relative_to(root).as_posix(), f) for f in files]))


def as_evals_reads(task: str, path: Path, splits: tuple[str, ...]) -> list[tuple[object, ...]]:
    exam = load_exam(load_task(task), path, splits=splits)
    return sorted((split, q.subject, q.id, q.question, q.options) for split in splits
                  for rows in exam.splits[split].values() for q in rows)  # fmt: skip


def plain(items: list[ExamItem]) -> list[tuple[object, ...]]:
    return sorted((i.split, i.subject, i.id, i.question, i.options) for i in items)


def test_ceval_is_read_as_evals_reads_it(tmp_path: Path) -> None:
    want = as_evals_reads("ceval", DEMO, ("dev", "val"))
    assert plain(read(DEMO)) == want
    with zipfile.ZipFile(tmp_path / "ceval-exam.zip", "w") as archive:
        for file in sorted(DEMO.rglob("*.csv")):
            archive.write(file, f"ceval-exam/{file.relative_to(DEMO)}")
        archive.writestr("__MACOSX/val/._x_val.csv", b"\0")
    items = read(tmp_path / "ceval-exam.zip")
    assert plain(items) == want
    assert "ceval/val/middle_school_history/1" in {item.name for item in items}


def test_cmmlu_and_mmlu_are_read_as_evals_reads_them(tmp_path: Path) -> None:
    (tmp_path / "cmmlu" / "test").mkdir(parents=True)
    (tmp_path / "cmmlu" / "test" / "anatomy.csv").write_text(
        ",Question,A,B,C,D,Answer\n0,人有几个胃,一,二,三,四,A\n7,人有几个肺,一,二,三,四,B\n",
        "utf-8",
    )
    assert plain(read(tmp_path / "cmmlu")) == as_evals_reads("cmmlu", tmp_path / "cmmlu", ("test",))
    (tmp_path / "mmlu" / "val").mkdir(parents=True)
    (tmp_path / "mmlu" / "val" / "anatomy_val.csv").write_text(
        'How many lungs?,1,2,3,4,B\n"How, many\nkidneys?",1,2,3,4,B\n', "utf-8"
    )
    items = read(tmp_path / "mmlu")
    assert plain(items) == as_evals_reads("mmlu", tmp_path / "mmlu", ("val",))
    assert [item.name for item in items] == ["mmlu/val/anatomy/0", "mmlu/val/anatomy/1"]


def test_json_lines_by_the_names_of_their_fields(tmp_path: Path) -> None:
    path = tmp_path / "quiz_test.jsonl"
    rows = [
        {"Problem": "一加一", "choices": ["一", "二", 3], "key": "B", "nr": "x1"},
        {"Problem": "开放题", "key": "答案是这样的"},
    ]
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n\n", "utf-8")
    one, two = read(path, question="problem", answer="key", id="nr")
    assert one == ExamItem("quiz_test", "test", "quiz", "x1", "一加一", ("一", "二", "3"))
    assert two == ExamItem("quiz_test", "test", "quiz", "1", "开放题", ("答案是这样的",))
    assert read(path, question="Problem", options=("choices",), exam="my")[0].exam == "my"


@pytest.mark.parametrize(
    ("name", "place"),
    [("ceval-exam/val/accountant_val.csv", ("val", "accountant")), ("x_dev.csv", ("dev", "x")),
     ("test/a_b.csv", ("test", "a_b")), ("val/a_test.csv", ("val", "a_test")),
     ("_val.csv", ("", "_val")), ("gsm8k.jsonl.zst", ("", "gsm8k"))],
)  # fmt: skip
def test_split_and_subject(name: str, place: tuple[str, str]) -> None:
    assert place_of(name) == place


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": "x"}\n', "no question in a field 'question'"),
        ("a.jsonl", b"{broken\n", "not JSON"),
        ("a.jsonl", b"[1]\n", "not a JSON object"),
        ("a.jsonl", b"", "no questions in the file"),
        ("a.csv", b"question,A\nx,y,z\n", "3 cells under 2 columns"),
        ("a.csv", b'question\n"x', "not csv"),
        ("a.csv", b"question\n\xff\n", "not UTF-8"),
        ("a.zip", b"PK", "not a zip"),
        ("a.jsonl.gz", b"\x1f\x8b\x08", "cannot read the questions"),
    ],
)
def test_rubbish_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name, message in (("a.docx", "cannot be read from such"), ("empty", "no questions in the"),
                          ("b.zip", "no such file")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            exam_files(Against(str(tmp_path / name)))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.md", b"")
    with pytest.raises(DataError, match="no questions in the zip"):
        read(tmp_path / "c.zip")


def test_two_questions_of_one_name_are_refused() -> None:
    item = ExamItem("ceval", "val", "law", "3", "问", ())
    with pytest.raises(UsageError, match="NAME=PATH"):
        check_names([item, item])


@pytest.mark.realdata
def test_real_ceval_is_read_as_evals_reads_it(realdata: Path) -> None:
    path = realdata / "exams" / "ceval" / "ceval-exam.zip"
    items = read(path)
    assert len(items) == 13948
    assert plain(items) == as_evals_reads("ceval", path, ("dev", "val", "test"))
