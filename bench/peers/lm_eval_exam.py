"""lm-evaluation-harness on an examination that lies in local files.

    python lm_eval_exam.py REQUEST.json ANSWERS.json

The request: ``model`` folder, ``exam`` (subject -> name and rows of dev and val), ``shots``,
``limit`` of questions a subject or null, ``batch``, ``threads``. The tasks are those of
``lm_eval/tasks/ceval`` with the data set replaced; the answers hold, for every subject, the
log-probabilities of the four letters and what was chosen.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

FIELDS = ("id", "question", "A", "B", "C", "D", "answer")
HEADER = "以下是中国关于{}的单项选择题，请选出其中的正确答案。\n\n"
TEXT = "{{question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\n答案："


def write_tasks(exam: dict[str, Any], folder: Path) -> list[str]:
    """A task file a subject (JSON is YAML); their names."""
    names = []
    for key, subject in exam.items():
        files = {}
        for split in ("dev", "val"):
            files[split] = str(folder / f"{key}_{split}.jsonl")
            lines = [
                json.dumps({field: row[field] for field in FIELDS}, ensure_ascii=False)
                for row in subject[split]
            ]
            Path(files[split]).write_text("\n".join(lines) + "\n", encoding="utf-8")
        task = {
            "task": f"local_{key}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "validation_split": "val",
            "fewshot_split": "dev",
            "fewshot_config": {"sampler": "first_n"},
            "output_type": "multiple_choice",
            "description": HEADER.format(subject["name"]),
            "doc_to_text": TEXT,
            "doc_to_choice": ["A", "B", "C", "D"],
            "doc_to_target": "{{['A', 'B', 'C', 'D'].index(answer)}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
        (folder / f"{key}.yaml").write_text(json.dumps(task, ensure_ascii=False), encoding="utf-8")
        names.append(task["task"])
    return names


def main(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the tasks, and give what the harness says of every question."""
    import lm_eval
    import torch
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(request["threads"])
    names = write_tasks(request["exam"], folder)
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args=f"pretrained={request['model']},dtype=float32",
        tasks=names,
        num_fewshot=request["shots"],
        batch_size=request["batch"],
        device="cpu",
        limit=request["limit"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    answers = {}
    for name, samples in found["samples"].items():
        rows = sorted(samples, key=lambda sample: sample["doc_id"])
        answers[name.removeprefix("local_")] = [
            {
                "id": str(row["doc"]["id"]),
                "logprobs": [float(one[0]) for one in row["filtered_resps"]],
                "right": float(row["acc"]),
            }
            for row in rows
        ]
    return answers


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as work:
        result = main(asked, Path(work))
    Path(sys.argv[2]).write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
