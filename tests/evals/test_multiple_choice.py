"""The run: against one naive forward pass a question, killed and resumed, and what it refuses."""

import csv
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yanmo.errors import DataError, UsageError
from yanmo.evals import multiple_choice
from yanmo.evals.multiple_choice import evaluate
from yanmo.evals.planning import Settings
from yanmo.evals.score import LoadOptions, Scorer, load_scorer

SETTINGS = Settings(batch_tokens=400)


def naive(model: Path, demo: Path, subject: str, name: str) -> dict[str, list[float]]:
    """Log-probabilities of A-D by the plainest code there is: one full prompt, one forward."""
    import torch
    from sentencepiece import SentencePieceProcessor
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32).eval()
    pieces = SentencePieceProcessor(model_file=str(model / "tokenizer.model"))

    def read(split: str) -> list[dict[str, str]]:
        with (demo / split / f"{subject}_{split}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def body(row: dict[str, str]) -> str:
        return (f"{row['question']}\nA. {row['A']}\nB. {row['B']}\nC. {row['C']}\nD. {row['D']}\n"
                "答案：")  # fmt: skip

    opening = f"以下是中国关于{name}考试的单项选择题，请选出其中的正确答案。\n\n"
    opening += "".join(body(row) + row["answer"] + "\n\n" for row in read("dev"))
    letters = [pieces.piece_to_id(letter) for letter in "ABCD"]
    found = {}
    with torch.inference_mode():
        for row in read("val"):
            ids = torch.tensor([[1, *pieces.encode(opening + body(row))]])
            found[row["id"]] = network(ids).logits[0, -1].log_softmax(-1)[letters].tolist()
    return found


@pytest.mark.parametrize("batch_tokens", [1, 400, 5000])
def test_equal_to_one_full_prompt_at_a_time(
    batch_tokens: int, packed: Scorer, spm_model: Path, demo: Path
) -> None:
    settings = replace(SETTINGS, subjects=("middle_school_physics",), batch_tokens=batch_tokens)
    outcome = evaluate(packed, demo, settings=settings)
    truth = naive(spm_model, demo, "middle_school_physics", "初中物理")
    assert {row["id"] for row in outcome.samples} == set(truth)
    for row in outcome.samples:
        assert np.abs(np.array(row["logprobs"]) - truth[row["id"]]).max() < 1e-4
        assert row["prediction"] == "ABCD"[int(np.argmax(truth[row["id"]]))]
        assert row["mass"] == pytest.approx(np.exp(truth[row["id"]]).sum(), abs=1e-4)
    right = sum(row["prediction"] == row["answer"] for row in outcome.samples)
    assert outcome.summary["accuracy"]["micro"] == pytest.approx(right / 9)


def test_both_engines_agree(packed: Scorer, plain: Scorer, demo: Path) -> None:
    settings = replace(SETTINGS, per_subject=3)
    rows = [evaluate(scorer, demo, settings=settings).samples for scorer in (packed, plain)]
    for a, b in zip(*rows, strict=True):
        assert (a["subject"], a["id"], a["prompt"]) == (b["subject"], b["id"], b["prompt"])
        assert np.abs(np.array(a["logprobs"]) - b["logprobs"]).max() < 1e-4


def test_answers_of_several_tokens(packed: Scorer, plain: Scorer, demo: Path) -> None:
    # "▁" + letter is two tokens in this small vocabulary: both are summed.
    settings = replace(SETTINGS, answer_form="space", per_subject=1)
    outcome = evaluate(packed, demo, settings=settings)
    assert outcome.summary["multi_token_questions"] == 6
    other = evaluate(plain, demo, settings=settings)
    for a, b in zip(outcome.samples, other.samples, strict=True):
        assert np.abs(np.array(a["logprobs"]) - b["logprobs"]).max() < 1e-4


def folder_bytes(folder: Path) -> dict[str, bytes]:
    names = ("samples.jsonl", "summary.json", "report.md", "report.html")
    return {name: (folder / name).read_bytes() for name in names}


def test_resume_gives_the_same_bytes(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    first = evaluate(packed, demo, settings=SETTINGS, out=whole)
    assert first.computed == first.summary["n"] == 54
    evaluate(packed, demo, settings=SETTINGS, out=cut)
    lines = (cut / "samples.jsonl").read_bytes().splitlines(keepends=True)
    # A kill in the middle of the write of a batch: whole lines, then half of one.
    (cut / "samples.jsonl").write_bytes(b"".join(lines[:20]) + lines[20][:31])
    for name in ("summary.json", "report.md", "report.html"):
        (cut / name).unlink()
    again = evaluate(packed, demo, settings=SETTINGS, out=cut)
    assert again.computed == 34
    assert folder_bytes(cut) == folder_bytes(whole)
    third = evaluate(packed, demo, settings=SETTINGS, out=cut)
    assert third.computed == 0
    assert third.summary == first.summary


def test_only_what_is_missing_is_computed(
    packed: Scorer, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(packed, demo, settings=SETTINGS, out=tmp_path)
    lines = (tmp_path / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_bytes(b"".join(lines[:-1]))
    scored = []
    score = multiple_choice._score_batch

    def watched(*arguments: object) -> list[dict[str, object]]:
        rows = score(*arguments)  # type: ignore[arg-type]
        scored.append(len(rows))
        return rows

    monkeypatch.setattr(multiple_choice, "_score_batch", watched)
    evaluate(packed, demo, settings=SETTINGS, out=tmp_path)
    assert len(scored) == 1  # one batch at most is computed again
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text("utf-8").split("\n")
            if line]  # fmt: skip
    assert len({(row["subject"], row["id"]) for row in rows}) == len(rows) == 54


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_sigkill_and_then_again(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = replace(SETTINGS, batch_tokens=60)
    evaluate(packed, demo, settings=settings, out=whole)
    # A forked child is killed: importing torch in a fresh process takes longer than all the rest.
    child = os.fork()
    if child == 0:
        evaluate(packed, demo, settings=settings, out=killed)
        os._exit(0)
    samples = killed / "samples.jsonl"
    deadline = time.monotonic() + 60
    while not (samples.is_file() and samples.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    done = samples.read_bytes().count(b"\n")
    assert 0 < done < 54
    again = evaluate(packed, demo, settings=settings, out=killed)
    assert again.computed == 54 - done
    assert folder_bytes(killed) == folder_bytes(whole)


def test_a_folder_keeps_to_its_run(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, limit=2)
    evaluate(packed, demo, settings=settings, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"holds another run, got 'different: settings'"):
        evaluate(packed, demo, settings=replace(settings, limit=3), out=tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("", "utf-8")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        evaluate(packed, demo, settings=settings, out=tmp_path / "other")


def test_a_damaged_sample_is_an_error(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, limit=2)
    evaluate(packed, demo, settings=settings, out=tmp_path)
    samples = tmp_path / "samples.jsonl"
    samples.write_bytes(b"{broken}\n" + samples.read_bytes())
    with pytest.raises(DataError, match=r"samples\.jsonl:1: not a sample"):
        evaluate(packed, demo, settings=settings, out=tmp_path)


def without_answers(demo: Path, target: Path, *, keep: int) -> Path:
    """The demo data with the answers of one val file removed, but for the first ones."""
    shutil.copytree(demo, target)
    file = target / "val" / "sports_science_val.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    for row in rows[1 + keep :]:
        row[-1] = ""
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return target


def test_an_unlabelled_split_is_no_silent_zero(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, subjects=("sports_science",))
    with pytest.raises(DataError, match=r"the split 'val' has no answers.*copy of the data with"):
        evaluate(packed, without_answers(demo, tmp_path / "a", keep=0), settings=settings)
    with pytest.raises(DataError, match=r"7 of 9 questions have no answer|sports_science id 2"):
        evaluate(packed, without_answers(demo, tmp_path / "b", keep=2), settings=settings)


def test_fallbacks_are_counted_and_said(spm_model: Path, demo: Path) -> None:
    from yanmo.evals.pages import notes

    short = load_scorer(spm_model, LoadOptions(max_tokens=100))
    summary = evaluate(short, demo, settings=SETTINGS).summary
    assert summary["shots"] == {"0": 54}
    assert 0 < summary["cut_questions"] < 54
    assert len(summary["data"]["missing_subjects"]) == 46
    said = " ".join(notes(summary))
    assert f"{summary['cut_questions']} questions were cut" in said
    assert "46 subjects are not in this run" in said
