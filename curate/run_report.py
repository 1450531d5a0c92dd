"""``report.html`` of a run: the funnel, why a page was dropped, the rules, the signals, the books.

Built from the run folder alone, so that ``yanmo curate report RUN`` can make it again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.documents import part_paths
from yanmo.files import atomic_write
from yanmo.report import Bilingual, Page, Table, show

from .duplicates_report import duplicates_section
from .edit_diff import edits_section
from .language import NO_MODEL
from .leaks_report import leaks_section
from .report_words import WORDS, say
from .run_samples import samples
from .run_search import search_markup
from .run_signals import signal_charts
from .runfolder import open_run
from .spans_report import earlier_section, spans_section

SAMPLES: Final = 5  # documents shown per rule
PREVIEW_CHARS: Final = 1200
LARGEST: Final = 15  # rows shown of a table that may be long
RED, BLUE, GREEN, GREY = PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[5]


def write_report(run: str | Path, *, language: str = "en") -> Path:
    """Write ``report.html`` into a run folder.

    Args:
        run: the run folder.
        language: the ``lang`` attribute of the page.

    Returns:
        The path of the page.

    Raises:
        DataError: the folder is no finished run.
    """
    run = Path(run)
    manifest, funnel = open_run(run)
    counts = manifest["counts"]
    dropped, documents = _scan(run / "dropped"), _scan(run / "documents")
    lead = _lead(funnel, manifest["created"])
    if not counts.get("models", {}):
        lead = lead + " " + say(NO_MODEL)
    page = Page(say("yanmo · corpus run"), lead=lead, language=language)
    _funnel_section(page, funnel)
    page.add_heading(say("Why was this page dropped?"), anchor="why")
    page.add_svg(search_markup(dropped, run / "duplicates" / "documents.parquet"))
    _rule_section(page, run, funnel, counts.get("thresholds", {}))
    duplicates_section(page, run)
    earlier_section(page, run)
    spans_section(page, run)
    leaks_section(page, run)
    edits_section(page, run, funnel)
    _source_section(page, documents, dropped)
    _kept_section(page, run / "documents")
    _ledger_section(page, funnel)
    _cost_section(page, counts.get("seconds", {}))
    path = run / "report.html"
    with atomic_write(path, text=True) as stream:
        stream.write(page.html())
    return path


def _scan(folder: Path) -> pl.LazyFrame:
    return pl.scan_parquet(part_paths(folder))


def _share(part: int, whole: int) -> str:
    share = part / max(whole, 1)
    return "<\u00a00.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def _by_count(funnel: Mapping[str, Any]) -> list[tuple[str, int]]:
    return sorted(funnel["dropped"].items(), key=lambda item: (-item[1], item[0]))


def _lead(funnel: Mapping[str, Any], created: str) -> Bilingual:
    read, kept = funnel["read"], funnel["kept"]
    day = created.partition("+")[0].replace("T", " ")
    return say("{read} records read, {kept} documents kept ({share}). {day}", read=show(read),
               kept=show(kept), share=_share(kept, read), day=day)  # fmt: skip


def _funnel_section(page: Page, funnel: Mapping[str, Any]) -> None:
    page.add_heading(say("Funnel"), anchor="funnel")
    read = funnel["read"]
    rows: list[tuple[str, int, str]] = [(say("read"), read, BLUE)]
    rows += [(say("− skipped"), sum(funnel["skipped"].values()), GREY)]
    rows += [(say("− quarantined"), funnel["quarantined"], PALETTE[3])]
    rows += [(f"− {rule}", count, RED) for rule, count in _by_count(funnel)]
    rows = [row for row in rows if row[1]] + [(say("kept"), funnel["kept"], GREEN)]
    bars = [Bar(name, n, f"{show(n)} · {_share(n, read)}", colour) for name, n, colour in rows]
    page.add_svg(bar_chart(say("Records"), bars))


def _rule_section(
    page: Page, run: Path, funnel: Mapping[str, Any], cuts: Mapping[str, Mapping[str, Any]]
) -> None:
    page.add_heading(say("What the rules dropped"), anchor="dropped")
    chars = funnel["characters"]["dropped"]
    counts = _by_count(funnel)
    rows = [
        [rule, n, _share(n, funnel["read"]), chars.get(rule, 0), _thresholds(cuts.get(rule))]
        for rule, n in counts
    ]
    columns = ["rule", "documents", "of read", "characters", "threshold: its source"]
    page.add_table(Table("", [say(name) for name in columns], rows))
    page.add_text(say("Open a rule to see its signal, where its threshold cuts, and documents."))
    charts = signal_charts(run, {rule: cuts[rule] for rule, _ in counts if rule in cuts})
    shown = samples(run / "dropped", count=SAMPLES, by="rule")
    for rule, count in counts:
        rows_shown = shown.get(rule, [])
        with page.fold(say("{rule}: {shown} of {all}", rule=rule, shown=len(rows_shown),
                           all=show(count))):  # fmt: skip
            if rule in charts:
                page.add_grid(charts[rule])
            for row in rows_shown:
                text = row["text"]
                shown_text = say("(text not kept)") if text is None else text[:PREVIEW_CHARS]
                page.add_details(_headline(row), shown_text)


def _thresholds(cut: Mapping[str, Any] | None) -> Bilingual:
    """Equal thresholds of one source together: ``zh, mixed 0.106: FineWeb-2``."""
    if cut is None:
        return Bilingual("", "")
    groups: dict[tuple[float, str], list[str]] = {}
    for route, threshold in sorted(cut["routes"].items()):
        groups.setdefault((threshold, cut["sources"][route]), []).append(route)
    said = Bilingual("", "")
    for (value, source), names in groups.items():
        if said:
            said = said + Bilingual("; ", "；")
        said = said + Bilingual(
            f"{', '.join(names)} {value:g}: ", f"{'、'.join(names)} {value:g}："
        )
        said = said + (say(source) if source in WORDS else source)
    return said


def _headline(row: Mapping[str, Any]) -> Bilingual:
    place = f"{row['url'] or row['origin']} [{row['id']}]"
    head = Bilingual(place, place)
    if row["value"] is None:
        return head
    value = f"{row['value']:.4g}"
    if row["threshold"] is None:
        return head + say(" · value {value}", value=value)
    return head + say(" · value {value}, threshold {threshold}", value=value,
                      threshold=f"{row['threshold']:.4g}")  # fmt: skip


def _source_section(page: Page, documents: pl.LazyFrame, dropped: pl.LazyFrame) -> None:
    page.add_heading(say("What was kept"), anchor="kept")
    went = [frame.group_by("source").agg(pl.len().alias(name)).collect()
            for name, frame in (("kept", documents), ("dropped", dropped))]  # fmt: skip
    both = went[0].join(went[1], on="source", how="full", coalesce=True).fill_null(0)
    rows = [[source, kept, gone, _share(kept, kept + gone)]
            for source, kept, gone in both.sort("source").rows()]  # fmt: skip
    columns = [say(name) for name in ("source", "kept", "dropped", "keep rate")]
    page.add_table(Table(say("By input"), columns, rows))
    _largest(page, documents, ["source", "lang", "script"], say("By input and language"))
    site = pl.col("url").str.extract(r"^[a-z]+://([^/:?#]+)").alias("site")
    sites = documents.with_columns(site).filter(pl.col("site").is_not_null())
    _largest(page, sites, ["site"], say("By site"))


def _largest(page: Page, documents: pl.LazyFrame, keys: list[str], title: str) -> None:
    """A table of the groups with most characters; the others in one last row."""
    table = (
        documents.group_by(keys)
        .agg(pl.len().alias("documents"), pl.sum("n_chars"), pl.sum("n_bytes"))
        .sort(["n_chars", *keys], descending=[True, *(False for _ in keys)])
        .collect()
    )
    if not table.height:
        return
    rows: list[tuple[Any, ...]] = table.head(LARGEST).rows()
    rest = table.slice(LARGEST)
    if rest.height:
        totals = rest.select(pl.sum("documents", "n_chars", "n_bytes")).row(0)
        rows.append((say("{n} others", n=rest.height), *("" for _ in keys[1:]), *totals))
    columns = [*keys, "documents", "characters", "bytes"]
    page.add_table(Table(title, [say(name) for name in columns], rows))


def _kept_section(page: Page, documents: Path) -> None:
    page.add_heading(say("Kept, a sample"), anchor="sample")
    for row in samples(documents, count=4 * SAMPLES).get("", []):
        place = f"{row['url'] or row['origin']} [{row['id']}]"
        head = say(" · {lang} · {n} characters", lang=row["lang"], n=show(row["n_chars"]))
        page.add_details(Bilingual(place, place) + head, row["text"][:PREVIEW_CHARS])


def _ledger_section(page: Page, funnel: Mapping[str, Any]) -> None:
    page.add_heading(say("The books"), anchor="books")
    rows: list[list[Any]] = []
    for name, label, used in (("stored", "as stored", "used"), ("content", "content", "records")):
        side = funnel["bytes"][name]
        skipped = sum(side["skipped"].values())
        rows.append([say(label), side["bytes"], side[used], skipped, side["quarantined"]])
    columns = ["bytes", "in", "in records", "skipped", "quarantined"]
    page.add_table(Table(say("Every input byte"), [say(name) for name in columns], rows))
    kinds = [[say("skipped: {kind}", kind=kind), n] for kind, n in funnel["skipped"].items()]
    kinds += [[say("quarantined: {kind}", kind=kind), n]
              for kind, n in funnel["quarantined_by_kind"].items()]  # fmt: skip
    if kinds:
        names = [say("kind"), say("records")]
        page.add_table(Table(say("Records that are no documents"), names, kinds))
    characters = funnel["characters"]
    rows = [[say("in"), characters["in"], None]]
    rows += [[rule, edit.get("added", 0), edit.get("removed", 0)]
             for rule, edit in characters["edits"].items()]  # fmt: skip
    gone = sum(characters["dropped"].values())
    rows += [[say("dropped by rules"), None, gone],
             [say("quarantined"), None, characters["quarantined"]]]  # fmt: skip
    shown = [row for row in rows if row[1] or row[2]] + [[say("kept"), characters["kept"], None]]
    names = [say(name) for name in ("step", "in or added", "out or removed")]
    page.add_table(Table(say("Every character"), names, shown))


def _cost_section(page: Page, seconds: Mapping[str, Mapping[str, float]]) -> None:
    if not seconds:
        return
    page.add_heading(say("Cost"), anchor="cost")
    spent = sorted(seconds.items(), key=lambda item: -item[1]["seconds"])
    bars = [Bar(step, s["seconds"], f"{s['seconds']:.2f}", BLUE)
            for step, s in spent if s["seconds"] > 0]  # fmt: skip
    if bars:
        page.add_svg(bar_chart(say("Processor seconds by step"), bars))
    rows = [[step, s["tasks"], s["cached"], s["seconds"]] for step, s in seconds.items()]
    columns = ["step", "tasks", "from the cache", "processor seconds in this run"]
    page.add_table(Table("", [say(name) for name in columns], rows))
