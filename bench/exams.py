"""C-Eval, five shots: yanmo and lm-evaluation-harness, end to end, each at its best batch size.

Equal work first: the same questions, wording and weights in float32, and for every question the
log-probabilities of A, B, C and D within 1e-3 of each other and the same answer wherever the best
two differ by more than that. Then whole commands, start to exit, in turns.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from yanmo.evals.exam import load_exam, load_task

from . import meter, texts
from .environments import interpreter
from .rounds import SCRIPTS, Claim, Options, Result, available, spread

MODEL: Final = "minimind2-small"
PEER: Final = "lm_eval"
THREADS: Final = 2
THEIR_BATCHES: Final = (1, 4, 16)
OUR_BATCHES: Final = (512, 1024, 2048)
SWEEP_LIMIT: Final = 2  # questions a subject while looking for the best batch
ROUNDS: Final = 1
COLUMNS: Final = (
    "shots", "side", "batch", "questions", "wall s", "spread %", "questions/s",
    "processor s", "peak MB, tree",
)  # fmt: skip


def exam_path() -> Path:
    """The examination's zip.

    Raises:
        RuntimeError: the real data is not here.
    """
    folder = texts.realdata()
    if folder is None:
        raise RuntimeError("the examination is part of the real data; set YANMO_REALDATA")
    return folder / "exams" / "ceval" / "ceval-exam.zip"


def write_request(path: Path, *, model: Path, shots: int, limit: int | None, batch: int) -> None:
    """What the peer is asked, for ``bench/peers/lm_eval_exam.py``."""
    exam = load_exam(load_task("ceval"), exam_path(), splits=("dev", "val"), subjects=())
    subjects = {
        key: {
            "name": exam.task.subject(key).chinese,
            **{
                split: [
                    {"id": q.id, "question": q.question, "answer": q.answer}
                    | dict(zip("ABCD", q.options, strict=True))
                    for q in exam.splits[split][key]
                ]
                for split in ("dev", "val")
            },
        }
        for key in exam.splits["val"]
    }
    request = {
        "model": str(model), "exam": subjects, "shots": shots, "limit": limit, "batch": batch,
        "threads": THREADS,
    }  # fmt: skip
    path.write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")


def theirs(
    folder: Path, *, model: Path, shots: int, limit: int | None, batch: int
) -> tuple[meter.Cost, Path]:
    """Cost of the peer's command, and where its answers are."""
    request, answers = folder / "request.json", folder / f"theirs-{shots}-{batch}-{limit}.json"
    write_request(request, model=model, shots=shots, limit=limit, batch=batch)
    script = str(SCRIPTS / "lm_eval_exam.py")
    env = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS),
           "HF_DATASETS_CACHE": str(folder / "cache"),
           "TOKENIZERS_PARALLELISM": "true"}  # fmt: skip
    command = [str(interpreter(PEER)), script, str(request), str(answers)]
    return meter.run(command, env=env), answers


def ours(
    folder: Path, *, model: Path, shots: int, limit: int | None, batch: int, bos: str = "auto"
) -> tuple[meter.Cost, Path]:
    """Cost of our command, and its run folder."""
    number = len(list(folder.glob("ours-*")))
    out = folder / f"ours-{number:03d}"
    command = [sys.executable, "-m", "yanmo", "evals", "ceval", str(model), str(exam_path()),
               "--dialect", "lm_eval", "--shots", str(shots), "--batch-tokens", str(batch),
               "--threads", str(THREADS), "--too-long", "left", "--bos", bos,
               "--out", str(out), "-q"]  # fmt: skip
    if limit is not None:
        command += ["--per-subject", str(limit)]
    return meter.run(command), out


def differences(run: Path, answers: Path) -> dict[str, Any]:
    """How far the two sides are from each other, question by question."""
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    mine = {(row["subject"], row["id"]): row for row in map(json.loads, filter(None, lines))}
    found = json.loads(answers.read_text(encoding="utf-8"))
    worst, other, close, count = 0.0, 0, 0, 0
    for subject, rows in found.items():
        for row in rows:
            own = mine.pop((subject, row["id"]))
            count += 1
            gaps = [abs(a - b) for a, b in zip(own["logprobs"], row["logprobs"], strict=True)]
            worst = max(worst, *gaps)
            best = sorted(row["logprobs"])
            if best[-1] - best[-2] <= 1e-3:
                close += 1
            elif own["prediction"] != "ABCD"[row["logprobs"].index(best[-1])]:
                other += 1
    if mine:
        raise RuntimeError(f"{len(mine)} questions were answered by one side alone")
    return {"questions": count, "largest_gap": worst, "other_answers": other, "too_close": close}


def run(options: Options) -> Result:
    """Measure both sides with five shots and with none."""
    result = Result("C-Eval val end to end, float32, two cores", COLUMNS)
    result.notes.append(meter.METHOD)
    folder = texts.realdata()
    if folder is None:
        result.notes.append("Not measured: the examination and the model are real data.")
        return result
    if not available(PEER, result):
        return result
    model = folder / "models" / MODEL
    for shots in (5, 0):
        with tempfile.TemporaryDirectory() as work:
            _shots(Path(work), model, shots, options, result)
    return result


def _shots(work: Path, model: Path, shots: int, options: Options, result: Result) -> None:
    limit = None if options.megabytes is None else int(options.megabytes)
    sides = {"yanmo": (ours, OUR_BATCHES), PEER: (theirs, THEIR_BATCHES)}
    best: dict[str, int] = {}
    for name, (side, batches) in sides.items():
        sweep = {}
        for batch in batches:
            cost, _ = side(work, model=model, shots=shots, limit=SWEEP_LIMIT, batch=batch)
            sweep[batch] = cost.wall
            sys.stderr.write(f"  {shots} shots, {name}, batch {batch}: {cost.wall:.1f} s\n")
        best[name] = min(sweep, key=lambda b, s=sweep: s[b])
        result.data[f"{shots} shots, {name}, sweep"] = sweep
    costs: dict[str, list[meter.Cost]] = {name: [] for name in sides}
    places: dict[str, Path] = {}
    for _ in range(options.rounds or ROUNDS):
        for name, (side, _) in sides.items():
            cost, places[name] = side(work, model=model, shots=shots, limit=limit, batch=best[name])
            costs[name].append(cost)
            sys.stderr.write(f"  {shots} shots, {name}: {cost.wall:.1f} s\n")
    found = differences(places["yanmo"], places[PEER])
    result.data[f"{shots} shots, agreement"] = found
    _report(shots, best, costs, found, result)


def _report(
    shots: int, best: dict[str, int], costs: dict[str, list[meter.Cost]], found: dict[str, Any],
    result: Result,
) -> None:  # fmt: skip
    wall = {name: statistics.median(c.wall for c in cost) for name, cost in costs.items()}
    trees = {name: max(c.tree_bytes or 0 for c in cost) for name, cost in costs.items()}
    for name, cost in costs.items():
        result.rows.append([
            str(shots), name, str(best[name]), found["questions"], wall[name],
            spread([c.wall for c in cost]), found["questions"] / wall[name],
            statistics.median(c.processor for c in cost), trees[name] / 1e6,
        ])  # fmt: skip
    title = f"{shots} shots: "
    result.claims += [
        Claim(title + "largest gap of a log-probability", found["largest_gap"], 1e-3, True),
        Claim(title + "other answers, best two apart", found["other_answers"], 0, True),
        Claim(title + "questions a second, times lm_eval", wall[PEER] / wall["yanmo"],
              5 if shots else 1),
        Claim(title + "peak memory, by lm_eval's", trees["yanmo"] / trees[PEER], 1, True),
    ]  # fmt: skip
    result.notes.append(
        f"{shots} shots: {found['questions']} questions, in {found['too_close']} of them the best "
        "two letters are within 1e-3. Batches: tokens for "
        f"yanmo ({', '.join(map(str, OUR_BATCHES))} tried on {SWEEP_LIMIT} questions a subject), "
        f"prompts for lm_eval ({', '.join(map(str, THEIR_BATCHES))})."
    )


def check(model: Path, *, shots: int, limit: int | None, bos: str = "auto") -> dict[str, Any]:
    """Agreement alone, for any model; ``bos`` as the peer's tokenizer does it."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        _, run_folder = ours(folder, model=model, shots=shots, limit=limit, batch=1024, bos=bos)
        _, answers = theirs(folder, model=model, shots=shots, limit=limit, batch=4)
        return differences(run_folder, answers)
