"""``report.html`` of a run: the funnel, the rules with their samples, and why a page was dropped.

Built from the run folder alone, so that ``yanmo curate report RUN`` can make it again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.charts import bar_chart, histogram
from yanmo.documents import part_paths
from yanmo.files import atomic_write
from yanmo.report import Page, Table

from .runfolder import open_run

SAMPLES: Final = 5  # documents shown per rule
LISTED: Final = 3000  # dropped documents that the search box knows
PREVIEW_CHARS: Final = 1200
MIN_HISTOGRAM: Final = 10  # documents below which a histogram says nothing

_SEARCH = """
<input id="q" placeholder="URL, id, origin or rule" style="width:100%;padding:8px;font:inherit">
<table><thead><tr><th>page</th><th>step</th><th>rule</th><th>value</th><th>threshold</th></tr></thead>
<tbody id="hits"></tbody></table><p id="count" class="lead"></p>
<script type="application/json" id="rows">@ROWS@</script>
<script>
const rows=JSON.parse(document.getElementById("rows").textContent),q=document.getElementById("q"),
hits=document.getElementById("hits"),count=document.getElementById("count");
function cell(tr,text){const td=document.createElement("td");td.textContent=text;tr.appendChild(td)}
function show(){const w=q.value.trim().toLowerCase();hits.textContent="";let n=0;
for(const r of rows){if(w&&!r.join(" ").toLowerCase().includes(w))continue;n++;if(n>50)continue;
const tr=document.createElement("tr");cell(tr,(r[1]||r[2])+"  ["+r[0]+"]");
for(let i=3;i<7;i++)cell(tr,r[i]);hits.appendChild(tr)}
count.textContent=n+" of "+rows.length+" dropped documents"+(n>50?"; the first 50 are shown":"")}
q.addEventListener("input",show);show();
</script>
"""


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
    kept = funnel["kept"]
    lead = f"{funnel['read']} records read, {kept} documents kept. {manifest['created']}"
    page = Page("yanmo · corpus run", lead=lead, language=language)
    _funnel_section(page, funnel)
    dropped = _scan(run / "dropped")
    documents = _scan(run / "documents")
    _source_section(page, documents)
    _rule_section(page, dropped, manifest["counts"].get("rules", {}))
    cuts = manifest["counts"].get("thresholds", {})
    acted = {rule: cut for rule, cut in cuts.items() if rule in funnel["dropped"]}
    _signal_section(page, run, acted)
    _search_section(page, dropped)
    _kept_section(page, documents)
    _cost_section(page, manifest["counts"].get("seconds", {}))
    path = run / "report.html"
    with atomic_write(path, text=True) as stream:
        stream.write(page.html())
    return path


def _scan(folder: Path) -> pl.LazyFrame:
    return pl.scan_parquet(part_paths(folder))


def _funnel_section(page: Page, funnel: Mapping[str, Any]) -> None:
    page.add_heading("Funnel", anchor="funnel")
    bars = [("read", float(funnel["read"]))]
    left = funnel["read"]
    for kind, count in funnel["skipped"].items():
        left -= count
        bars.append((f"− skipped: {kind}", float(count)))
    if funnel["quarantined"]:
        bars.append(("− quarantined", float(funnel["quarantined"])))
    for rule, count in sorted(funnel["dropped"].items(), key=lambda item: -item[1]):
        bars.append((f"− {rule}", float(count)))
    bars.append(("kept", float(funnel["kept"])))
    page.add_svg(bar_chart("Records", bars, x_label="records"))
    rows: list[list[Any]] = []
    for name, label, used in (("stored", "as stored", "used"), ("content", "content", "records")):
        side = funnel["bytes"][name]
        skipped = sum(side["skipped"].values())
        rows.append([label, side["bytes"], side[used], skipped, side["quarantined"]])
    columns = ["bytes", "in", "in records", "skipped", "quarantined"]
    page.add_table(Table("Every input byte", columns, rows))
    characters = funnel["characters"]
    rows = [["in", characters["in"]]]
    for rule, change in characters["edits"].items():
        rows.append([f"{rule}: removed", -change.get("removed", 0)])
        rows.append([f"{rule}: added", change.get("added", 0)])
    rows += [[f"dropped: {rule}", -n] for rule, n in characters["dropped"].items()]
    rows += [["quarantined", -characters["quarantined"]], ["kept", characters["kept"]]]
    shown = [row for row in rows if row[1] or row[0] in ("in", "kept")]
    page.add_table(Table("Every character", ["change", "characters"], shown))
    if funnel["quarantined_by_kind"]:
        rows = [[k, n] for k, n in funnel["quarantined_by_kind"].items()]
        page.add_table(Table("Quarantine", ["kind", "records"], rows))


def _source_section(page: Page, documents: pl.LazyFrame) -> None:
    table = (
        documents.group_by("source", "lang", "script")
        .agg(pl.len().alias("documents"), pl.sum("n_chars"), pl.sum("n_bytes"))
        .sort(["n_chars", "source", "lang", "script"], descending=[True, False, False, False])
        .collect()
    )
    page.add_heading("What was kept", anchor="kept")
    columns = ["source", "language", "script", "documents", "characters", "bytes"]
    page.add_table(Table("By source and language", columns, table.rows()))
    sites = (
        documents.with_columns(pl.col("url").str.extract(r"^[a-z]+://([^/:?#]+)").alias("site"))
        .filter(pl.col("site").is_not_null())
        .group_by("site")
        .agg(pl.len().alias("documents"), pl.sum("n_chars"))
        .sort(["n_chars", "site"], descending=[True, False])
        .head(20)
        .collect()
    )
    if sites.height:
        page.add_table(Table("Largest sites", ["site", "documents", "characters"], sites.rows()))


def _rule_section(page: Page, dropped: pl.LazyFrame, sources: Mapping[str, str]) -> None:
    page.add_heading("Why documents were dropped", anchor="dropped")
    counts = dropped.group_by("rule").agg(pl.len()).sort(["len", "rule"], descending=[True, False])
    for rule, count in counts.collect().rows():
        page.add_text(f"{rule}: {count}")
        if rule in sources:
            page.add_text(f"Source: {sources[rule]}")
        # Equal ids sort equally everywhere: the sample is the same on every machine.
        rows = dropped.filter(pl.col("rule") == rule).sort("id").head(SAMPLES).collect()
        for row in rows.iter_rows(named=True):
            page.add_details(_headline(row), (row["text"] or "(text not kept)")[:PREVIEW_CHARS])


def _headline(row: Mapping[str, Any]) -> str:
    numbers = ""
    if row["value"] is not None:
        numbers = f" · value {row['value']:.4g}"
        if row["threshold"] is not None:
            numbers += f", threshold {row['threshold']:.4g}"
    return f"{row['url'] or row['origin']} [{row['id']}]{numbers}"


def _signal_section(page: Page, run: Path, cuts: Mapping[str, Mapping[str, Any]]) -> None:
    """Histograms of the signals whose rules dropped something, by the route that judged them."""
    page.add_heading("Signals and their thresholds", anchor="signals")
    signals = _scan(run / "signals")
    languages = {"zh": ["zh", "yue", "wuu"], "en": ["en"]}
    for rule, cut in cuts.items():
        for route, threshold in cut["routes"].items():
            wanted = pl.col("lang").is_in(languages[route]) if route in languages else None
            rows = signals if wanted is None else signals.filter(wanted)
            column = rows.select(pl.col(cut["signal"]).cast(pl.Float64)).collect().to_series()
            values = column.drop_nulls().drop_nans().to_numpy()
            title = f"{rule} · {route} · {len(values)} documents"
            if len(values) >= MIN_HISTOGRAM:
                page.add_svg(_histogram(title, cut["signal"], values, threshold))


def _histogram(title: str, signal: str, values: npt.NDArray[np.float64], threshold: float) -> str:
    # The largest hundredth is drawn in the last bin: one outlier must not flatten the rest.
    low, high = float(values.min()), float(np.quantile(values, 0.99))
    low, high = min(low, threshold), max(high, threshold)
    if high <= low:
        high = low + 1.0
    counts, edges = np.histogram(np.clip(values, low, high), bins=40, range=(low, high))
    bins = [int(count) for count in counts]
    return histogram(title, edges.tolist(), bins, x_label=signal, thresholds=[threshold])


def _search_section(page: Page, dropped: pl.LazyFrame) -> None:
    page.add_heading("Why was this page dropped?", anchor="why")
    table = dropped.select("id", "url", "origin", "step", "rule", "value", "threshold")
    total = table.select(pl.len()).collect().item()
    rows = [
        [row[0], row[1] or "", row[2], row[3], row[4],
         "" if row[5] is None else f"{row[5]:.4g}", "" if row[6] is None else f"{row[6]:.4g}"]
        for row in table.sort("id").head(LISTED).collect().rows()
    ]  # fmt: skip
    if total > LISTED:
        page.add_text(f"{LISTED} of {total} are listed here; `yanmo curate why RUN ID` knows all.")
    data = json.dumps(rows, ensure_ascii=False)
    for character in "<>&":  # so that no text can end the script element
        data = data.replace(character, f"\\u{ord(character):04x}")
    page.add_svg(_SEARCH.replace("@ROWS@", data))


def _kept_section(page: Page, documents: pl.LazyFrame) -> None:
    page.add_heading("Kept, a sample", anchor="sample")
    for row in documents.sort("id").head(4 * SAMPLES).collect().iter_rows(named=True):
        head = (
            f"{row['url'] or row['origin']} [{row['id']}] · {row['lang']} · {row['n_chars']} chars"
        )
        page.add_details(head, row["text"][:PREVIEW_CHARS])


def _cost_section(page: Page, seconds: Mapping[str, Mapping[str, float]]) -> None:
    if not seconds:
        return
    page.add_heading("Cost", anchor="cost")
    rows = [[step, s["tasks"], s["cached"], s["seconds"]] for step, s in seconds.items()]
    columns = ["step", "tasks", "from the cache", "processor seconds in this run"]
    page.add_table(Table("", columns, rows))
