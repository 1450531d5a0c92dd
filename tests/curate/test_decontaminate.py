"""Decontamination in a run: reported, cut out, dropped; books, bytes, resume, command, report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.runfolder import STABLE
from yanmo.errors import RecipeError
from yanmo.recipe import load

from .peer_corpus import PROSE, Ran, essay, run, write_json_lines

CHINESE = ("明朝初年率领船队多次远航西洋，最远到达非洲东岸的航海家是____",
           ["郑成功", "郑和", "戚继光", "林则徐"])  # fmt: skip
ENGLISH = ("Which of the following rivers flows from south to north through eleven countries?",
           ["Congo", "Nile", "Niger", "Zambezi"])  # fmt: skip
ALONE = ("在标准大气压之下，纯净的水沸腾时的温度在摄氏温标上读作多少度？",
         ["九十", "一百", "一百一十", "一百二十"])  # fmt: skip
ABSENT = ("以下各种乐器当中，不用弓拉弦而是用手指拨动琴弦来发出声音的是哪一种？",
          ["二胡", "小提琴", "古筝", "大提琴"])  # fmt: skip
RAW = "decide=false"


def asked(question: tuple[str, list[str]]) -> str:
    return (
        question[0] + "\n" + " ".join(f"{x}．{o}" for x, o in zip("ABCD", question[1], strict=True))
    )


TEXTS = [
    essay(1) + "\n" + asked(CHINESE) + "\n答案：B。请致电 13800138000。\n" + essay(2),
    essay(3),
    "The river Nile. " * 9 + asked(ENGLISH) + " Answer: B. " + "Rivers are long. " * 20 + "End.",
    essay(4) + ALONE[0] + essay(5),
    asked(CHINESE),
    essay(6) + asked(CHINESE) + "\n" + essay(7) + asked(CHINESE),
]


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """Four questions as JSON lines; one of them stands nowhere."""
    path = tmp_path / "quiz_val.jsonl"
    rows = [{"question": q, **dict(zip("ABCD", o, strict=True)), "answer": "B"}
            for q, o in (CHINESE, ENGLISH, ALONE, ABSENT)]  # fmt: skip
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def settings(exam: Path, action: str, *more: str) -> tuple[str, ...]:
    path = json.dumps(str(exam))
    return (RAW, f"decontaminate.action={action}", f"decontaminate.against=[{{path={path}}}]",
            "decontaminate.context_tokens=8", *more)  # fmt: skip


def decontaminated(folder: Path, exam: Path, action: str, *more: str, workers: int = 1) -> Ran:
    write_json_lines(folder / "in.jsonl", TEXTS)
    return run(folder / "in.jsonl", folder / action, *settings(exam, action, *more),
               workers=workers)  # fmt: skip


def leaks(ran: Ran) -> dict[str, dict[str, Any]]:
    lines = (ran.folder / "leaks" / "leaks.jsonl").read_text("utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def test_report_changes_nothing_and_lists_every_question(exam: Path, tmp_path: Path) -> None:
    ran = decontaminated(tmp_path, exam, "report")
    assert ran.kept == TEXTS
    found = leaks(ran)
    assert {k: row["found"] for k, row in found.items()} == {
        "0": "both", "1": "both", "2": "question", "3": "no",
    }  # fmt: skip
    row = found["0"]
    assert (row["question"], row["documents"]) == ("quiz_val/val/quiz/0", 3)
    assert (row["share"], row["options_found"]) == (1.0, "ABCD")
    assert row["text"].startswith("明朝初年")
    text = dict(ran.table("documents").select("id", "text").rows())[row["document"]]
    assert text[row["start"] : row["end"]].endswith("林则徐")
    assert found["2"]["share_options"] == 0.0
    summary = json.loads((ran.folder / "leaks" / "leaks.json").read_text("utf-8"))
    assert (summary["questions"], summary["leaked"], summary["documents"]) == (4, 3, 5)
    assert summary["exams"] == [{"exam": "quiz_val", "split": "val", "questions": 4, "judged": 4,
                                 "options": 0, "question": 1, "both": 2}]  # fmt: skip
    assert "decontaminate" not in ran.funnel["characters"]["edits"]
    assert "3 of 4 exam questions stand in 5 documents" in ran.result.notes[0]
    page = (ran.folder / "report.html").read_text("utf-8")
    assert "Exam questions in the corpus" in page
    assert "quiz_val/val/quiz/1" in page


def test_mask_cuts_the_questions_with_what_follows(exam: Path, tmp_path: Path) -> None:
    """And personal data behind it, which is cut out of the text that is left."""
    texts = [*TEXTS, essay(8) + "电话 13800138000。"]
    write_json_lines(tmp_path / "in.jsonl", texts)
    ran = run(tmp_path / "in.jsonl", tmp_path / "mask",
              *settings(exam, "mask", "pii.action=replace"))  # fmt: skip
    edit = ran.funnel["characters"]["edits"]["decontaminate"]
    assert ran.funnel["dropped"] == {"contaminated": 1}  # nothing was left of it
    assert ran.dropped == {TEXTS[4]: "contaminated"}
    assert ran.funnel["kept"] == 6
    kept = ran.table("documents")
    assert kept["text"].str.contains("郑和|eleven|沸腾|13800138000").sum() == 0
    assert kept["text"].str.contains("[MOBILE]", literal=True).sum() >= 1
    assert kept["text"].str.len_chars().to_list() == kept["n_chars"].to_list()
    assert kept["text"].str.len_bytes().to_list() == kept["n_bytes"].to_list()
    assert edit["added"] == 4  # a line end for each place inside a text; the fifth ends one
    assert essay(3) in ran.kept
    # What stands further than the context is untouched.
    assert ran.kept[0].startswith(essay(1)[:-20])
    assert ran.kept[0].endswith(essay(2)[20:])


def test_mask_leaves_no_scraps(exam: Path, tmp_path: Path) -> None:
    """A text of which a few words are left is no document; the threshold can be moved or off."""
    scrap = TEXTS[4] + "甲乙丙丁戊己庚辛壬癸" * 4  # context and a scrap of four hanzi
    write_json_lines(tmp_path / "in.jsonl", [scrap])
    for threshold, left in (("50", []), ("5", []), ("4", ["庚辛壬癸"]), ('"off"', ["庚辛壬癸"])):
        more = (f"decontaminate.min_chars={threshold}", "decontaminate.context_tokens=36",
                "rules.routed=false")  # fmt: skip
        ran = run(tmp_path / "in.jsonl", tmp_path / f"least{threshold.strip(chr(34))}",
                  *settings(exam, "mask", *more))  # fmt: skip
        assert [text.strip() for text in ran.kept] == left


def test_drop_takes_the_documents(exam: Path, tmp_path: Path) -> None:
    ran = decontaminated(tmp_path, exam, "drop")
    assert ran.kept == [TEXTS[1]]
    assert ran.funnel["dropped"] == {"contaminated": 5}
    gone = ran.table("dropped")
    assert set(gone["step"]) == {"decontaminate"}
    assert set(gone["threshold"]) == {0.7}
    assert gone["value"].min() >= 0.7
    some = decontaminated(tmp_path, exam, "drop", "decontaminate.act_on=both")
    assert some.kept == [TEXTS[1], TEXTS[3]]  # one question stands without its options
    # A moved action redoes neither the search nor what came before it.
    assert {s for s, n in some.result.steps.items() if n["tasks"] > n["cached"]} == {
        "leak-judge", "decontaminate",
    }  # fmt: skip


@pytest.mark.parametrize("action", ["report", "mask", "drop"])
def test_same_bytes_for_two_workers_and_after_lost_work(
    action: str, exam: Path, tmp_path: Path
) -> None:
    """In several parts, of which some hold questions and some none."""
    more = ("output.part_bytes=65536", "pii.action=mask", "duplicates.near=false")
    texts = TEXTS + [
        essay(i) + (asked(ENGLISH) if i in (50, 90, 110) else "") for i in range(10, 330)
    ]
    write_json_lines(tmp_path / "in.jsonl", texts)
    folders = [tmp_path / "one", tmp_path / "two"]
    one, two = (run(tmp_path / "in.jsonl", folder, *settings(exam, action, *more), workers=k)
                for k, folder in enumerate(folders, 1))  # fmt: skip
    steps = one.result.steps
    assert steps["leak-find"]["tasks"] >= 3
    if action != "report":
        assert 0 < steps["decontaminate"]["tasks"] < steps["leak-find"]["tasks"]
    assert leaks(one)["1"]["documents"] == 4
    whole = _bytes(one.folder)
    assert _bytes(two.folder) == whole
    lost = two.folder / ".cache"
    shutil.rmtree(next((lost / "leak-find").iterdir()))
    shutil.rmtree(lost / "leak-judge")
    again = run(tmp_path / "in.jsonl", two.folder, *settings(exam, action, *more))
    assert again.result.fresh == 2
    assert _bytes(again.folder) == whole
    assert run(tmp_path / "in.jsonl", two.folder, *settings(exam, action, *more)).result.fresh == 0


def _bytes(folder: Path) -> dict[str, bytes]:
    paths = [folder / name for name in STABLE]
    files = [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def test_a_question_on_many_pages_is_no_form_of_words(exam: Path, tmp_path: Path) -> None:
    """What stands in many documents proves nothing, unless the options stand there, too."""
    texts = [essay(i) + asked(CHINESE) for i in range(12)]
    texts += [essay(20 + i) + ALONE[0] for i in range(12)]
    write_json_lines(tmp_path / "in.jsonl", texts)
    ran = run(tmp_path / "in.jsonl", tmp_path / "run", *settings(exam, "report"))
    found = leaks(ran)
    assert (found["0"]["found"], found["0"]["documents"]) == ("both", 12)
    assert found["2"]["found"] == "no"
    off = run(tmp_path / "in.jsonl", tmp_path / "run",
              *settings(exam, "report", "decontaminate.max_documents=off"))  # fmt: skip
    assert leaks(off)["2"]["documents"] == 12


def test_off_looks_for_nothing(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "in.jsonl", [PROSE])
    ran = run(tmp_path / "in.jsonl", tmp_path / "run", RAW)
    assert "leak-find" not in ran.result.steps
    assert list((ran.folder / "leaks").iterdir()) == []
    with pytest.raises(RecipeError, match="no questions to look for"):
        load(CurateRecipe, None, ["decontaminate.action=mask"])
