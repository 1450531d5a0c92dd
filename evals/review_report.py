"""A review for people: terminal text, Markdown, one HTML page in English and Chinese."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from yanmo.bilingual import Bilingual
from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.report import Page, Table

from .pages import p_value, percent
from .review_report_words import say

Summary = Mapping[str, Any]
_SHOWN: Final = 60
_COLOURS: Final = {"win": PALETTE[2], "loss": PALETTE[0], "tie": PALETTE[1]}
_COLUMNS: Final = tuple(say(name) for name in ("measure", "value", "95 %", "n"))


def _bounds(entry: Mapping[str, Any]) -> str:
    return f"{100 * entry['low']:.1f} – {100 * entry['high']:.1f}"


def _row(name: str, entry: Mapping[str, Any] | None) -> list[Any]:
    if entry is None or entry["value"] is None:
        return [name, None, None, 0]
    return [name, percent(entry["value"]), _bounds(entry), entry["n"]]


def outcome_table(pair: Summary) -> Table:
    """Consensus of the reviewers."""
    total = sum(pair["outcomes"].values())
    rows: list[list[Any]] = [
        [say(name), count, percent(count / total) if total else None]
        for name, count in pair["outcomes"].items()
    ]
    if pair["split"]:
        rows.append([say("of these ties, reviewers split"), pair["split"], None])
    columns = [say("outcome"), say("items"), say("share")]
    return Table(say("What the reviewers say, from the side of {a}", a=pair["a"]), columns, rows)


def rate_table(pair: Summary) -> Table:
    """Win rates and the sign test."""
    rows = [
        _row(say("ties count half"), pair["win_rate"]),
        _row(say("ties left out"), pair["win_rate_without_ties"]),
        [say("sign test, p"), p_value(pair["sign_test_p"]), None,
         pair["outcomes"]["win"] + pair["outcomes"]["loss"]],
    ]  # fmt: skip
    if pair["win_rate_blind"]:
        rows.append(_row(say("answers that name no model"), pair["win_rate_blind"]))
    return Table(say("Win rate of {a}", a=pair["a"]), _COLUMNS, rows)


def reviewer_table(summary: Summary) -> Table:
    """One row a person."""

    def share(entry: Mapping[str, Any]) -> str | None:
        return None if entry["value"] is None else f"{percent(entry['value'])} ({entry['n']})"

    rows = [
        [e["reviewer"], say("{k} of {n}", k=e["voted"], n=e["places"]), e["skipped"],
         share(e["self_consistency"]),
         say("{k} of {n}", k=e["checks"]["passed"], n=e["checks"]["n"]) if e["checks"]["n"]
         else None, share(e["ties"]), share(e["first_shown_best"])]
        for e in summary["reviewers"]
    ]  # fmt: skip
    columns = ["reviewer", "votes", "skipped", "same vote on repeats", "attention checks passed",
               "ties", "first shown is best"]  # fmt: skip
    return Table(say("Reviewers"), [say(name) for name in columns], rows)


def _kappa(entry: Mapping[str, Any]) -> dict[str, str]:
    names = ("kappa", "low", "high")
    return {n: "–" if entry[n] is None else f"{entry[n]:.2f}" for n in names}


def agreement_table(summary: Summary) -> Table:
    """Kappa of every two reviewers."""
    rows = []
    for e in summary["agreement"]["pairs"]:
        k = _kappa(e)
        rows.append([e["a"], e["b"], percent(e["raw"]), k["kappa"], f"{k['low']} – {k['high']}",
                     e["n"]])  # fmt: skip
    columns = [say("first"), say("second"), say("agree"), "κ", say("95 %"), say("n")]
    return Table(say("Agreement of reviewers"), columns, rows)


def judge_table(found: Mapping[str, Any]) -> Table:
    """Confusion of people and judge."""
    names = [say(name) for name in found["categories"]]
    rows = [[name, *row] for name, row in zip(names, found["confusion"], strict=True)]
    return Table(say("People (rows) and the judge (columns)"), [say("people"), *names], rows)


def tables(summary: Summary) -> list[Table]:
    """All tables, in order."""
    found = []
    for pair in summary.get("pairs", ()):
        found += [outcome_table(pair), rate_table(pair)]
        if "judge" in pair:
            found.append(judge_table(pair["judge"]["with_ties"]))
    found.append(reviewer_table(summary))
    return found + ([agreement_table(summary)] if summary["agreement"]["pairs"] else [])


def lines(summary: Summary) -> list[Bilingual]:
    """What the numbers say, and what to beware of."""
    found = [line for pair in summary.get("pairs", ()) for line in _pair_lines(pair)]
    agreement = summary["agreement"]
    if agreement["shared"]:
        alpha = "–" if agreement["alpha"] is None else f"{agreement['alpha']:.2f}"
        text = "Krippendorff's alpha over {n} judgements that several reviewers made: {alpha}."
        found.append(say(text, n=agreement["shared"], alpha=alpha))
    elif len(summary["reviewers"]) > 1:
        found.append(say("No item was judged by several reviewers: agreement is not known."))
    for e in summary["reviewers"]:
        if e["checks"]["failed"]:
            text = "{reviewer} failed {k} of {n} attention checks: {items}."
            found.append(
                say(
                    text,
                    reviewer=e["reviewer"],
                    k=len(e["checks"]["failed"]),
                    n=e["checks"]["n"],
                    items=", ".join(e["checks"]["failed"]),
                )
            )
    if summary["kind"] == "rank":
        found.append(say("The ranks are in rankings.jsonl (1 is best)."))
    return found


def _pair_lines(pair: Summary) -> list[Bilingual]:
    a, b, found = pair["a"], pair["b"], pair["win_rate"]
    if found is None:
        return [say("Nobody has judged {a} against {b}.", a=a, b=b)]
    p = f"{pair['sign_test_p']:.3g}"
    if pair["sign_test_p"] < 0.05:
        wins = pair["outcomes"]["win"] > pair["outcomes"]["loss"]
        ahead, behind = (a, b) if wins else (b, a)
        rate = percent(found["value"] if wins else 1.0 - found["value"])
        text = "{a} is better than {b} (win rate {rate}, p = {p})."
    else:
        ahead, behind, rate = a, b, percent(found["value"])
        text = "The difference between {a} and {b} could be chance (win rate {rate}, p = {p})."
    said = [say(text, a=ahead, b=behind, rate=rate, p=p)]
    if pair["unblinded"]:
        text = "{n} judged pairs hold an answer that gives its system away."
        said.append(say(text, n=pair["unblinded"]))
    if "judge" in pair:
        whole, clear = pair["judge"]["with_ties"], pair["judge"]["without_ties"]
        text = ("Judge and people agree in {raw} of {n} items; Cohen's kappa {kappa} "
                "(95 %: {low} to {high}).")  # fmt: skip
        said.append(say(text, raw=percent(whole["raw"]), n=whole["n"], **_kappa(whole)))
        if clear:
            text = "Where neither says tie: {raw} of {n}, kappa {kappa}."
            said.append(say(text, raw=percent(clear["raw"]), n=clear["n"],
                            kappa=_kappa(clear)["kappa"]))  # fmt: skip
    return said


def title(summary: Summary) -> Bilingual:
    """Of the page."""
    pairs = summary.get("pairs")
    if summary["kind"] == "rank":
        return say("Human ranking")
    if pairs and len(pairs) == 1:
        return say("Human review: {a} against {b}", a=pairs[0]["a"], b=pairs[0]["b"])
    return say("Human review")


def _lead(summary: Summary) -> Bilingual:
    voted = sum(e["voted"] > 0 for e in summary["reviewers"])
    text = "{judged} of {items} items judged, {votes} votes, {n} reviewers."
    return say(text, judged=summary["items_judged"], items=summary["items"],
               votes=summary["votes"], n=voted)  # fmt: skip


def text(summary: Summary) -> str:
    """For a terminal."""
    parts = [table.text() for table in tables(summary)]
    return "\n\n".join([str(_lead(summary)), *parts, "\n".join(map(str, lines(summary)))])


def markdown(summary: Summary) -> str:
    """For a README or an issue."""
    parts = [f"# {title(summary)}", str(_lead(summary)),
             "\n".join(f"- {line}" for line in lines(summary))]  # fmt: skip
    return "\n\n".join([*parts, *(table.markdown() for table in tables(summary))]) + "\n"


def page(summary: Summary, apart: Sequence[Mapping[str, Any]]) -> Page:
    """One self-contained HTML page.

    Args:
        summary: of the review.
        apart: items on which people differ, or they and the judge.
    """
    result = Page(title(summary), lead=_lead(summary))
    for line in lines(summary):
        result.add_text(line)
    for pair in summary.get("pairs", ()):
        bars = [
            Bar(say(name), float(count), f"{count}", _COLOURS[name])
            for name, count in pair["outcomes"].items()
        ]
        result.add_svg(bar_chart(say("What the reviewers say, from the side of {a}", a=pair["a"]),
                                 bars))  # fmt: skip
    for table in tables(summary):
        result.add_table(table)
    if apart:
        result.add_heading(say("Disagreements"))
        text = ("{n} items on which reviewers differ, or they and the judge; all are in "
                "disagreements.jsonl.")  # fmt: skip
        result.add_text(say(text, n=len(apart)))
        for row in apart[:_SHOWN]:
            votes = ", ".join(f"{name} {what}" for name, what in row["votes"].items())
            votes += f", judge {row['judge']}" if row["judge"] else ""
            answers = "\n\n".join(f"── {name}\n{body}" for name, body in row["answers"].items())
            result.add_details(say("{item}: {votes}", item=row["item"], votes=votes),
                               f"{row['question']}\n\n{answers}")  # fmt: skip
    return result
