"""Two runs over the same items: what differs, and whether it could be chance.

Right and wrong answers: exact McNemar test and paired bootstrap, over all questions and, with
Holm's correction, subject by subject. Texts: paired bootstrap of bits per byte over documents;
perplexity per token is only compared where both models share one vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json
from yanmo.report import Page, Table
from yanmo.stats import (
    Comparison,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    paired_ratio_bootstrap,
)

from . import judge_compare
from .pages import percent
from .runs import RUN, SUMMARY, read_samples

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run as it lies on disk."""

    folder: Path
    run: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """``multiple_choice``, ``bits_per_byte`` …"""
        return str(self.run["kind"])

    @property
    def items_sha256(self) -> str:
        """Identity of the questions or texts scored."""
        identity = self.run["identity"]
        return str(identity.get("questions_sha256") or identity["data_sha256"])

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.run["model"]["name"])


def load_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises:
        UsageError: the folder holds no run.
        DataError: the run is not finished.
    """
    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise UsageError("no run here (no run.json)", where=folder,
                         fix="Give the --out folder of an evaluation.")  # fmt: skip
    if not (folder / SUMMARY).is_file():
        raise DataError("the run is not finished", where=folder,
                        fix="Start the same command again; it goes on.")  # fmt: skip
    return Run(folder, read_json(folder / RUN), read_json(folder / SUMMARY))


def compare(first: str | Path, second: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Compare two runs of one kind over the same items.

    Args:
        first, second: run folders; differences are first minus second.
        seed: of the bootstrap.

    Raises:
        UsageError: the runs are of different kinds.
        DataError: they are not over the same items.
    """
    a, b = load_run(first), load_run(second)
    if a.kind != b.kind:
        raise UsageError("the runs are of different kinds", value=(a.kind, b.kind))
    names = _names(a, b)
    if a.kind == "multiple_choice":
        return {"kind": a.kind, "runs": names, **_compare_answers(a, b, seed)}
    if a.kind == "bits_per_byte":
        return {"kind": a.kind, "runs": names, **_compare_texts(a, b, seed)}
    if a.kind == judge_compare.PAIR:
        return {"kind": a.kind, "runs": names, **_compare_judges(a, b, seed)}
    raise UsageError("runs of this kind cannot be compared", value=a.kind)


def _names(a: Run, b: Run) -> list[str]:
    return [a.name, b.name] if a.name != b.name else [str(a.folder), str(b.folder)]


def _paired(a: Run, b: Run, key: Sequence[str]) -> list[tuple[Row, Row]]:
    """Rows of both runs, item by item.

    Raises:
        DataError: an item is in one run only.
    """
    rows = [{tuple(row[k] for k in key): row for row in read_samples(run.folder)} for run in (a, b)]
    odd = rows[0].keys() ^ rows[1].keys()
    if odd:
        raise DataError(f"{len(odd)} items are in one run only", where=f"{a.folder} {b.folder}",
                        value=sorted(odd)[0],
                        fix="Run both with equal data, split and limits.")  # fmt: skip
    return [(rows[0][name], rows[1][name]) for name in rows[0]]


def _compare_judges(a: Run, b: Run, seed: int) -> dict[str, Any]:
    if a.items_sha256 != b.items_sha256 or a.run["systems"] != b.run["systems"]:
        raise DataError("the judges saw different answers", where=f"{a.folder} {b.folder}",
                        fix="Judge the same files, in the same order.")  # fmt: skip
    first, second = read_samples(a.folder), read_samples(b.folder)
    return judge_compare.compare_judges(a.run["systems"], first, second, seed)


def _compare_answers(a: Run, b: Run, seed: int) -> dict[str, Any]:
    if a.items_sha256 != b.items_sha256:
        raise DataError("the runs were asked different questions", where=f"{a.folder} {b.folder}",
                        fix="Run both on one copy of the data.")  # fmt: skip
    pairs = [p for p in _paired(a, b, ("subject", "id", "shift")) if p[0]["shift"] == 0]
    by_subject: dict[str, tuple[list[float], list[float]]] = {}
    for left, right in pairs:
        columns = by_subject.setdefault(left["subject"], ([], []))
        for column, row in zip(columns, (left, right), strict=True):
            column.append(float(row["prediction"] == row["answer"]))
    first = [columns[0] for columns in by_subject.values()]
    second = [columns[1] for columns in by_subject.values()]
    flat = [[value for column in side for value in column] for side in (first, second)]
    mine, other = (run.run["identity"]["settings"] for run in (a, b))
    return {
        "micro": _with_mcnemar(flat[0], flat[1], paired_bootstrap([flat[0]], [flat[1]], seed=seed)),
        "macro": paired_bootstrap(first, second, seed=seed).as_dict(),
        "by_category": _categories(a, by_subject, seed),
        "by_subject": _subjects(by_subject),
        "same_answers": sum(x["prediction"] == y["prediction"] for x, y in pairs) / len(pairs),
        "different_settings": sorted(key for key in mine if mine[key] != other.get(key)),
        "n": len(pairs),
    }


def _with_mcnemar(
    first: Sequence[float], second: Sequence[float], found: Comparison
) -> dict[str, Any]:
    only_first = sum(x > y for x, y in zip(first, second, strict=True))
    only_second = sum(x < y for x, y in zip(first, second, strict=True))
    return {
        **found.as_dict(),
        "first": sum(first) / len(first),
        "second": sum(second) / len(second),
        "only_first": only_first,
        "only_second": only_second,
        "mcnemar_p": mcnemar_exact(only_first, only_second),
    }


def _categories(
    a: Run, by_subject: Mapping[str, tuple[list[float], list[float]]], seed: int
) -> dict[str, Any]:
    groups: dict[str, list[str]] = {}
    for key in by_subject:
        groups.setdefault(a.summary["by_subject"][key]["category"], []).append(key)
    for name, entry in a.summary["groups"].items():
        groups[name] = entry["keys"]
    return {
        name: paired_bootstrap(
            [by_subject[k][0] for k in keys], [by_subject[k][1] for k in keys], seed=seed
        ).as_dict()
        for name, keys in groups.items()
    }


def _subjects(by_subject: Mapping[str, tuple[list[float], list[float]]]) -> dict[str, Any]:
    """McNemar's test of each subject, with Holm's correction for there being many."""
    found = {}
    for key, (first, second) in by_subject.items():
        only_first = sum(x > y for x, y in zip(first, second, strict=True))
        only_second = sum(x < y for x, y in zip(first, second, strict=True))
        found[key] = {
            "first": sum(first) / len(first),
            "second": sum(second) / len(second),
            "n": len(first),
            "only_first": only_first,
            "only_second": only_second,
            "p": mcnemar_exact(only_first, only_second),
        }
    for entry, p in zip(found.values(), holm([e["p"] for e in found.values()]), strict=True):
        entry["p_holm"] = p
    return found


def _compare_texts(a: Run, b: Run, seed: int) -> dict[str, Any]:
    pairs = _paired(a, b, ("document", "text"))
    bits = [[row[side]["nats"] / math.log(2.0) for row in pairs] for side in (0, 1)]
    result: dict[str, Any] = {"documents": len(pairs)}
    for name, field in (("bits_per_byte", "bytes"), ("bits_per_character", "characters")):
        below = [row[0][field] for row in pairs]
        result[name] = {
            "first": sum(bits[0]) / sum(below),
            "second": sum(bits[1]) / sum(below),
            **paired_ratio_bootstrap(bits[0], bits[1], below, seed=seed).as_dict(),
        }
    lossy = [run.name for run in (a, b) if not run.summary["rankable"]]
    if lossy:
        result["refused"] = f"the tokenizer of {', '.join(lossy)} loses text: no ranking"
    same = a.summary["tokenizer_sha256"] == b.summary["tokenizer_sha256"]
    result["perplexity"] = (
        {"first": a.summary["perplexity"], "second": b.summary["perplexity"]}
        if same
        else "not comparable: the vocabularies differ"
    )
    windows = [(run.summary["window"], run.summary["stride"]) for run in (a, b)]
    result["different_windows"] = windows[0] != windows[1]
    return result


def tables(found: Mapping[str, Any]) -> list[Table]:
    """What a reader looks at first."""
    if found["kind"] == judge_compare.PAIR:
        return judge_compare.tables(found)
    first, second = found["runs"]
    columns = ["", first, second, "difference", "95 %", "p"]
    if found["kind"] == "bits_per_byte":
        rows = [
            [name.replace("_", " "), *(f"{found[name][s]:.4f}" for s in ("first", "second")),
             f"{found[name]['difference']:+.4f}",
             f"{found[name]['low']:+.4f} to {found[name]['high']:+.4f}", f"{found[name]['p']:.4f}"]
            for name in ("bits_per_byte", "bits_per_character")
        ]  # fmt: skip
        return [Table(f"{found['documents']} documents", columns, rows)]
    micro = found["micro"]
    wide: list[list[Any]] = [
        ["micro", percent(micro["first"]), percent(micro["second"]), *_difference(micro)],
        ["macro", None, None, *_difference(found["macro"])],
        *([name, None, None, *_difference(e)] for name, e in found["by_category"].items()),
    ]
    subjects = sorted(found["by_subject"].items(), key=lambda pair: pair[1]["p"])
    detail = [
        [key, e["n"], percent(e["first"]), percent(e["second"]), e["only_first"], e["only_second"],
         f"{e['p']:.3f}", f"{e['p_holm']:.3f}"]
        for key, e in subjects
    ]  # fmt: skip
    names = ["subject", "questions", first, second, "only first right", "only second right", "p",
             "p (Holm)"]  # fmt: skip
    return [Table(f"{found['n']} questions", columns, wide),
            Table("Subjects, by p value", names, detail)]  # fmt: skip


def _difference(entry: Mapping[str, float]) -> list[str]:
    bounds = f"{100 * entry['low']:+.1f} to {100 * entry['high']:+.1f}"
    return [f"{100 * entry['difference']:+.1f}", bounds, f"{entry['p']:.4f}"]


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence."""
    if found["kind"] == judge_compare.PAIR:
        return judge_compare.verdict(found)
    first, second = found["runs"]
    if "refused" in found:
        return f"No ranking: {found['refused']}."
    entry = found["micro"] if found["kind"] == "multiple_choice" else found["bits_per_byte"]
    p = entry.get("mcnemar_p", entry["p"])
    if p >= 0.05:
        return f"The difference between {first} and {second} could be chance (p = {p:.3f})."
    # More right answers are better; more bits are worse.
    ahead = (entry["difference"] > 0) == (found["kind"] == "multiple_choice")
    return f"{first if ahead else second} is better (p = {p:.3g})."


def notes(found: Mapping[str, Any]) -> list[str]:
    """What stands between the runs beside the model."""
    lines = []
    if found.get("different_settings"):
        lines.append("The runs differ in more than the model: "
                     + ", ".join(found["different_settings"]) + ".")  # fmt: skip
    if found.get("different_windows"):
        lines.append("The runs used different windows; the contexts are not equal.")
    if isinstance(found.get("perplexity"), str):
        lines.append(f"Perplexity is {found['perplexity']}.")
    return lines


def page(found: Mapping[str, Any]) -> Page:
    """One self-contained HTML page."""
    result = Page(f"{found['runs'][0]} against {found['runs'][1]}", lead=verdict(found))
    for table in tables(found):
        result.add_table(table)
    for line in notes(found):
        result.add_text(line)
    return result


def shown(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    parts = [table.text() for table in tables(found)]
    return "\n\n".join([*parts, verdict(found), *notes(found)])
