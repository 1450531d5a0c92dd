"""A judge run for people: terminal text, Markdown, one HTML page in English and Chinese."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo.bilingual import Bilingual
from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.files import atomic_write
from yanmo.report import Page, Table

from .answers import Answers, Item
from .judge_summary import OUTCOMES, by_question, outcome
from .judge_words import say
from .pages import p_value, percent

Summary = Mapping[str, Any]
_SHOWN: Final = 40
_CHANCE: Final = 0.5
"""Self-agreement below which a judge looks at places more than at answers."""
NAMES: Final = {name: name.replace("_", " ") for name in OUTCOMES}
_COLOURS: Final = dict(
    zip(OUTCOMES, (PALETTE[2], PALETTE[0], PALETTE[1], PALETTE[3], PALETTE[5]), strict=True)
)


_OF_PLACES: Final = (
    "The judge agrees with itself in only {share} of questions when the order is turned: "
    "most of what it says is about places, not answers."
)
_LITTLE_MASS: Final = (
    "Only {share} of the probability lies on the letters: this model does not expect one."
)
_RATED: Final = "Base 10, scale 400, mean 1000; a tie is half a win; intervals resample questions."
_SEPARATED: Final = (
    "One group of systems never lost to another: every two were lent half a drawn game."
)


def _bounds(entry: Mapping[str, Any]) -> str:
    return f"{100 * entry['low']:.1f} – {100 * entry['high']:.1f}"


def _share_row(name: str, entry: Mapping[str, Any] | None) -> list[Any]:
    if entry is None or entry["value"] is None:
        return [name, None, None, 0]
    interval = _bounds(entry) if "low" in entry else None
    return [name, percent(entry["value"]), interval, entry["n"]]


_COLUMNS: Final = tuple(say(name) for name in ("measure", "value", "95 %", "n"))


def outcome_table(pair: Summary) -> Table:
    """The five outcomes of a pair."""
    total = sum(pair["outcomes"].values())
    rows = [
        [say(NAMES[name]), count, percent(count / total) if total else None]
        for name, count in ((name, pair["outcomes"][name]) for name in OUTCOMES)
    ]
    columns = [say("outcome"), say("questions"), say("share")]
    return Table(say("Outcomes, from the side of {a}", a=pair["a"]), columns, rows)


def rate_table(pair: Summary) -> Table:
    """Win rates, the sign test, and for judges with probabilities the preference."""
    rows = [
        _share_row(say("ties count half"), pair["win_rate"]),
        _share_row(say("ties left out"), pair["win_rate_without_ties"]),
        [say("sign test, p"), p_value(pair["sign_test_p"]), None,
         pair["outcomes"]["win"] + pair["outcomes"]["loss"]],
    ]  # fmt: skip
    if pair["preference"]:
        rows.append(_share_row(say("preference, place cancelled out"), pair["preference"]))
    return Table(say("Win rate of {a}", a=pair["a"]), _COLUMNS, rows)


def position_table(pair: Summary) -> Table:
    """What turning the order does."""
    found = pair["position"]
    rows = [
        _share_row(say("same verdict in both orders"), found["consistent"]),
        _share_row(say("first place preferred"), found["first"]),
        [say("first place won in both orders"), found["both_first"], None, None],
        [say("second place won in both orders"), found["both_second"], None, None],
    ]
    return Table(say("What the order does"), _COLUMNS, rows)


def length_table(pair: Summary) -> Table:
    """What the length of answers does."""
    found, a = pair["length"], pair["a"]
    rates = found["win_rate"]
    rows = [
        _share_row(say("win rate where {a} is longer", a=a), rates["longer"]),
        _share_row(say("win rate where {a} is shorter", a=a), rates["shorter"]),
        _share_row(say("win rate where both are equally long"), rates["equal"]),
        _share_row(say("the longer answer wins"), found["longer_wins"]),
        [say("correlation of score and log length ratio"), _signed(found["correlation"]), None,
         None],
        *([say("mean characters of {name}", name=name), f"{value:.0f}", None, None]
          for name, value in found["mean_characters"].items()),
    ]  # fmt: skip
    return Table(say("What the length does"), _COLUMNS, rows)


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.2f}"


def class_table(pair: Summary) -> Table:
    """Outcomes by class of question."""
    columns = [say("class"), *(say(NAMES[name]) for name in OUTCOMES)]
    rows = [[name, *(counts[o] for o in OUTCOMES)] for name, counts in pair["classes"].items()]
    return Table(say("Classes of questions"), columns, rows)


def rating_table(summary: Summary) -> Table:
    """Bradley-Terry ratings, best first."""
    rows = [
        [e["name"], f"{e['rating']:.0f}", f"{e['low']:.0f} – {e['high']:.0f}"]
        for e in summary["ratings"]["systems"]
    ]
    columns = [say("system"), say("rating"), say("95 %")]
    return Table(say("Ratings (Bradley-Terry)"), columns, rows)


def mean_table(summary: Summary) -> Table:
    """Mean grades of the systems."""
    rows = [
        [e["system"], f"{e['mean']['value']:.3f}" if e["mean"] else None,
         f"{e['mean']['low']:.3f} – {e['mean']['high']:.3f}" if e["mean"] else None,
         e["mean"]["n"] if e["mean"] else 0, e["invalid"], _signed(e["length_correlation"])]
        for e in summary["grades"]
    ]  # fmt: skip
    columns = ["system", "mean", "95 %", "n", "invalid", "correlation with length"]
    return Table(say("Means"), [say(name) for name in columns], rows)


def difference_table(summary: Summary) -> Table:
    """Differences of grades over the same questions."""
    rows = [
        [e["a"], e["b"], f"{e['difference']:+.3f}", f"{e['low']:+.3f} – {e['high']:+.3f}",
         f"{e['p']:.4f}", e["n"]]
        for e in summary["differences"] if e["n"]
    ]  # fmt: skip
    columns = ["first", "second", "difference", "95 %", "p", "n"]
    return Table(say("Differences over the same questions"), [say(c) for c in columns], rows)


def grade_classes(summary: Summary) -> Table:
    """Mean grade by class of question."""
    names = sorted({name for e in summary["grades"] for name in e["classes"]})
    rows: list[list[Any]] = [
        [name, *(round(e["classes"][name]["mean"], 3) if name in e["classes"] else None
                 for e in summary["grades"])]
        for name in names
    ]  # fmt: skip
    columns = [say("class"), *(e["system"] for e in summary["grades"])]
    return Table(say("Classes of questions"), columns, rows)


def verdict(pair: Summary) -> Bilingual:
    """One sentence about two systems."""
    found = pair["win_rate"]
    if found is None:
        return say("No valid verdict.")
    rate, p = percent(found["value"]), f"{pair['sign_test_p']:.3g}"
    if pair["sign_test_p"] < 0.05:
        ahead, behind = (pair["a"], pair["b"]) if found["value"] > 0.5 else (pair["b"], pair["a"])
        rate = rate if ahead == pair["a"] else percent(1.0 - found["value"])
        return say("{a} is better than {b} (win rate {rate}, p = {p}).", a=ahead, b=behind,
                   rate=rate, p=p)  # fmt: skip
    text = "The difference between {a} and {b} could be chance (win rate {rate}, p = {p})."
    return say(text, a=pair["a"], b=pair["b"], rate=rate, p=p)


def grade_verdicts(summary: Summary) -> list[Bilingual]:
    """A sentence for every two systems; for a lone one its mean."""
    lines = []
    for e in summary["differences"]:
        if not e["n"]:
            lines.append(say("No valid verdict."))
            continue
        ahead, behind = (e["a"], e["b"]) if e["difference"] > 0 else (e["b"], e["a"])
        text = ("{a} is graded higher than {b} (by {gap}, p = {p})." if e["p"] < 0.05 else
                "The difference between {a} and {b} could be chance ({gap}, p = {p}).")  # fmt: skip
        gap = f"{abs(e['difference']):.3f}"
        lines.append(say(text, a=ahead, b=behind, gap=gap, p=f"{e['p']:.3g}"))
    if not lines and summary["grades"][0]["mean"]:
        mean = summary["grades"][0]["mean"]
        keys = {"mean": "value", "low": "low", "high": "high"}
        shown = {name: f"{mean[key]:.3f}" for name, key in keys.items()}
        lines.append(say("Mean grade {mean} (95 %: {low} to {high}).", **shown))
    return lines or [say("No valid verdict.")]


def notes(summary: Summary) -> list[Bilingual]:
    """What a reader must know before quoting a number."""
    lines = [say(summary["note"])] if summary["note"] else []
    lines += _grade_notes(summary) if "grades" in summary else _pair_notes(summary)
    for name, count in summary["left_out"].items():
        if count:
            text = "{n} questions of {name} are not in every file and were left out."
            lines.append(say(text, n=count, name=name))
    return lines


def _grade_notes(summary: Summary) -> list[Bilingual]:
    return [
        say("{n} grades of {name} are invalid.", n=entry["invalid"], name=entry["system"])
        for entry in summary["grades"] if entry["invalid"]
    ]  # fmt: skip


def _pair_notes(summary: Summary) -> list[Bilingual]:
    lines: list[Bilingual] = []
    if summary["position_free"]:
        lines.append(say("The place of an answer cannot matter to this judge."))
    for pair in summary["pairs"]:
        found = pair["position"]
        if found and found["consistent"]["value"] < _CHANCE:
            lines.append(say(_OF_PLACES, share=percent(found["consistent"]["value"])))
        if pair["identical"]:
            text = "{n} questions had equal answers; they are ties that nobody was asked about."
            lines.append(say(text, n=pair["identical"]))
    if summary["mass"] is not None and summary["mass"] < _CHANCE:
        lines.append(say(_LITTLE_MASS, share=percent(summary["mass"])))
    if summary["invalid_games"]:
        why = ", ".join(f"{k}: {v}" for k, v in summary["invalid_games"].items())
        text = "{n} of {all} games have no valid verdict ({why})."
        count = sum(summary["invalid_games"].values())
        lines.append(say(text, n=count, all=summary["games"], why=why))
    if summary["ratings"]:
        lines.append(say(_RATED))
        if summary["ratings"]["separated"]:
            lines.append(say(_SEPARATED))
    return lines


def tables(summary: Summary) -> list[Table]:
    """All tables, in the order of the page."""
    if "grades" in summary:
        found = [mean_table(summary)]
        found += [difference_table(summary)] if any(e["n"] for e in summary["differences"]) else []
        classes = any(e["classes"] for e in summary["grades"])
        return found + ([grade_classes(summary)] if classes else [])
    found = [rating_table(summary)] if summary["ratings"] else []
    for pair in summary["pairs"]:
        found += [outcome_table(pair), rate_table(pair)]
        found += [position_table(pair)] if pair["position"] else []
        found.append(length_table(pair))
        found += [class_table(pair)] if pair["classes"] else []
    return found


def verdicts(summary: Summary) -> list[Bilingual]:
    """A sentence for every two systems."""
    if "grades" in summary:
        return grade_verdicts(summary)
    return [verdict(pair) for pair in summary["pairs"]]


def title(summary: Summary) -> Bilingual:
    """Of the page."""
    names = summary["systems"]
    if "grades" in summary:
        return say("Grades of {systems}", systems=", ".join(names))
    if len(names) == 2:
        return say("{a} against {b}", a=names[0], b=names[1])
    return say("{n} systems against each other", n=len(names))


def text(summary: Summary) -> str:
    """For a terminal."""
    parts = [table.text() for table in tables(summary)]
    return "\n\n".join([*parts, "\n".join(map(str, [*verdicts(summary), *notes(summary)]))])


def markdown(summary: Summary) -> str:
    """For a README or an issue."""
    head = say("Judge: {judge}, {n} questions.", judge=summary["judge"]["name"],
               n=summary["questions"])  # fmt: skip
    lines = "\n".join(f"- {line}" for line in [*verdicts(summary), *notes(summary)])
    parts = [f"# {title(summary)}", str(head), lines]
    return "\n\n".join([*parts, *(table.markdown() for table in tables(summary))]) + "\n"


def page(summary: Summary, samples: Sequence[Mapping[str, Any]], answers: Answers) -> Page:
    """One self-contained HTML page, with the questions on which the judge was least sure."""
    head = say("Judge: {judge}, {n} questions.", judge=summary["judge"]["name"],
               n=summary["questions"])  # fmt: skip
    result = Page(title(summary), lead=head)
    for line in [*verdicts(summary), *notes(summary)]:
        result.add_text(line)
    _charts(result, summary)
    for table in tables(summary):
        result.add_table(table)
    if "pairs" in summary:
        result.add_heading(say("Samples"))
        _samples(result, summary["pairs"][0], samples, answers)
    return result


def _charts(result: Page, summary: Summary) -> None:
    for pair in summary.get("pairs", ()):
        bars = [
            Bar(say(NAMES[name]), count, f"{count}", _COLOURS[name])
            for name, count in pair["outcomes"].items()
        ]
        if len(summary["pairs"]) > 1:
            result.add_heading(say("{a} against {b}", a=pair["a"], b=pair["b"]))
        result.add_svg(bar_chart(say("Questions by outcome"), bars))
    graded = [e for e in summary.get("grades", ()) if e["mean"]]
    if graded:
        bars = [
            Bar(e["system"], max(e["mean"]["value"], 0.0),
                interval=(max(e["mean"]["low"], 0.0), max(e["mean"]["high"], 0.0)))
            for e in graded
        ]  # fmt: skip
        if all(e["mean"]["low"] >= 0 for e in graded):  # rewards may be negative; bars may not
            result.add_svg(bar_chart(say("Mean grade (95 % interval)"), bars))


def _samples(
    result: Page, pair: Summary, samples: Sequence[Mapping[str, Any]], answers: Answers
) -> None:
    a, b = pair["a"], pair["b"]
    games = by_question(samples, a, b)
    order = {name: rank for rank, name in enumerate(
        ("invalid", "tie_by_disagreement", "loss", "win", "tie"))}  # fmt: skip
    found = {i: outcome(rows, a) for i, rows in games.items()}
    chosen = sorted(answers.items, key=lambda item: order[found[item.question.id]])[:_SHOWN]
    for item in chosen:
        name = item.question.id
        shown = say(NAMES[found[name]])
        result.add_details(say("question {id}: {outcome}", id=name, outcome=shown),
                           _dialogue(item, a, b, games[name]))  # fmt: skip


def _dialogue(item: Item, a: str, b: str, games: Sequence[Mapping[str, Any]]) -> str:
    parts = [item.question.text(), f"── {a}\n{item.answers[a].text}",
             f"── {b}\n{item.answers[b].text}"]  # fmt: skip
    for game in games:
        shown = f"{game['a']} | {game['b']}" if game["order"] == 0 else f"{game['b']} | {game['a']}"
        said = game.get("text") or game.get("logprobs") or game.get("rewards") or ""
        parts.append(f"── [{shown}] → {game['letter'] or game.get('invalid')}  {said}")
    return "\n\n".join(parts)


def write_reports(
    folder: Path, summary: Summary, samples: Sequence[Mapping[str, Any]], answers: Answers
) -> None:
    """Write ``report.md`` and ``report.html``."""
    for name, content in (("report.md", markdown(summary)),
                          ("report.html", page(summary, samples, answers).html())):  # fmt: skip
        with atomic_write(folder / name, text=True) as stream:
            stream.write(content)
