"""``yanmo evals review import``: votes in, unblinded and counted."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yanmo.errors import UsageError
from yanmo.files import atomic_write, write_json

from .judge_compare import PAIR as JUDGE_PAIR
from .review_items import PAIR, RANK
from .review_report import markdown, page
from .review_summary import by_item, consensus, judged, summarize_review
from .review_votes import Cast, read_key, read_votes
from .runs import SUMMARY, read_samples, write_page

Row = Mapping[str, Any]


def import_review(
    key_file: Path,
    files: Sequence[Path],
    *,
    out: Path,
    judge: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Read votes, unblind them, and write what they say.

    Args:
        key_file: ``key.json`` of the export, or its folder.
        files: votes.json and csv files.
        out: folder for votes.jsonl, summary.json, reports, disagreements.jsonl or rankings.jsonl.
        judge: run of a judge over the same answers.
        seed: of the bootstraps.

    Returns:
        The summary.

    Raises:
        UsageError: ``judge`` is no run of pairs, or ``out`` is the folder of the export.
        DataError: a vote does not fit; names file, row, value and fix.
    """
    key = read_key(key_file)
    if (out / "key.json").exists():
        raise UsageError("the folder is that of the export", where=out, fix="Give another --out.")
    votes = read_votes(files, key)
    rows = None if judge is None else _judge_rows(judge)
    summary = summarize_review(votes, key, judge=rows, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    _write_lines(out / "votes.jsonl", (asdict(vote) for vote in votes))
    apart: list[dict[str, Any]] = []
    if key["kind"] == RANK:
        _write_lines(out / "rankings.jsonl", rankings(votes, key))
    if key["kind"] == PAIR:
        apart = disagreements(votes, key, rows)
        _write_lines(out / "disagreements.jsonl", apart)
    write_json(out / SUMMARY, summary)
    with atomic_write(out / "report.md", text=True) as stream:
        stream.write(markdown(summary))
    write_page(out / "report.html", page(summary, apart))
    return summary


def _judge_rows(folder: Path) -> list[dict[str, Any]]:
    from .compare import load_run

    run = load_run(folder)
    if run.kind != JUDGE_PAIR:
        raise UsageError("the run is none of a judge of pairs", where=folder, value=run.kind)
    return read_samples(folder)


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    with atomic_write(path, text=True) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def rankings(votes: Sequence[Cast], key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records that were ranked, with their ranks: by the mean over reviewers, ties kept.

    Repeats and checks do not count. What nobody ranked keeps the rank it had.
    """
    given: dict[str, list[tuple[int, ...]]] = {}
    for vote in votes:
        if vote.role == "item" and vote.ranks is not None:
            given.setdefault(vote.item, []).append(vote.ranks)
    rows = []
    for name, entry in sorted(key["items"].items(), key=lambda pair: int(pair[1]["place"])):
        if entry["expected"] is not None:
            continue
        record = {"id": name, **entry["record"]}
        if name in given:
            sums = [sum(column) for column in zip(*given[name], strict=True)]
            place = {value: k + 1 for k, value in enumerate(sorted(set(sums)))}
            record["rank"] = [place[value] for value in sums]
        rows.append(record)
    return rows


def disagreements(
    votes: Sequence[Cast], key: Mapping[str, Any], judge: Sequence[Row] | None
) -> list[dict[str, Any]]:
    """Items on which reviewers differ, or on which they and the judge do."""
    theirs: dict[str, str] = {}
    if judge is not None:
        for a, b in {tuple(e["systems"]) for e in key["items"].values() if e["systems"]}:
            theirs |= judged(a, b, judge)
    found = []
    for name, said in sorted(by_item(votes).items()):
        what, _ = consensus(list(said.values()))
        apart = len(set(said.values())) > 1
        other = theirs.get(name)
        if apart or (other is not None and other != what):
            entry = key["items"][name]
            found.append({
                "item": name, "between": "reviewers" if apart else "reviewers and judge",
                "votes": said, "consensus": what, "judge": other,
                "question": entry["messages"][-1]["content"],
                "answers": dict(zip(entry["systems"], entry["texts"], strict=True)),
            })  # fmt: skip
    return found
