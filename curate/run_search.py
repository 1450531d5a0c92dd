"""The search box of a run's report: why was this page dropped?

The rows lie in the page as JSON; a few lines of script filter them. ``report.html#why=TEXT`` opens
the page with the answer, so that an answer can be linked.
"""

import json
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.bilingual import attribute, markup

from .report_words import WORDS, say

LISTED: Final = 3000  # dropped documents that the page knows; more would make it slow to open

_MARKUP: Final = """<input id="q" class="search"@SEARCH@@HINT@>
<p id="count" class="lead"></p>
<div class="scroll"><table><thead><tr><th>@page@</th><th>@rule@</th>
<th class="number">@value@</th><th class="number">@threshold@</th></tr></thead>
<tbody id="hits"></tbody></table></div>
<script type="application/json" id="rows">@ROWS@</script>
<script>
const known=JSON.parse(document.getElementById("rows").textContent),rows=known.rows,
q=document.getElementById("q"),hits=document.getElementById("hits"),
count=document.getElementById("count");
function cell(tr,text,kind){const td=document.createElement("td");td.textContent=text;
if(kind)td.className=kind;tr.appendChild(td)}
function show(){const w=q.value.trim().toLowerCase();hits.textContent="";let n=0;
for(const r of rows){if(w&&!r.join("\\n").toLowerCase().includes(w))continue;if(++n>known.shown)
continue;const tr=document.createElement("tr");cell(tr,(r[2]||r[3])+" ["+r[0]+"]","long");
cell(tr,r[4]);cell(tr,r[5],"number");cell(tr,r[6],"number");hits.appendChild(tr)}
count.textContent="";
say(0,{n,all:rows.length});
if(n>known.shown)say(1,{n:known.shown});
if(rows.length<known.total)say(2,{n:rows.length,all:known.total});
if(!n)say(3,{});
if(!n||rows.length<known.total)say(4,{})}
function say(which,values){known.words[which].forEach((text,at)=>{
const part=document.createElement("span");part.dataset.l=at?"zh":"en";
part.textContent=text.replace(/[{](.*?)[}]/g,(_,name)=>values[name]);count.appendChild(part)})}
function follow(){const h=location.hash;if(h.startsWith("#why=")){
try{q.value=decodeURIComponent(h.slice(5))}catch{q.value=h.slice(5)}
show();q.scrollIntoView()}}
q.addEventListener("input",show);window.addEventListener("hashchange",follow);show();follow();
</script>
"""
_SAID: Final = (
    "{n} of {all} dropped documents",
    "; the first {n} are shown",
    ". Listed here are {n} of {all}",
    ". It may be kept, skipped or quarantined",
    ": `yanmo curate why RUN ID` looks everywhere",
)
SHOWN: Final = 20  # hits shown at once


def search_markup(dropped: pl.LazyFrame, duplicates: Path) -> str:
    """The search box with the rows that it knows.

    Args:
        dropped: the dropped documents of a run.
        duplicates: its table of duplicates, which may be absent; names the twin that was kept.

    Returns:
        Markup with its script; every text of the run is data inside it, never markup.
    """
    columns = ["id", "source", "url", "origin", "rule", "value", "threshold"]
    total: int = dropped.select(pl.len()).collect().item()
    table = dropped.select(columns).sort("id").head(LISTED).collect()
    twins: dict[str, str] = {}
    if duplicates.is_file():
        known = pl.scan_parquet(duplicates).filter(pl.col("id").is_in(table["id"].implode()))
        twins = dict(known.select("id", "kept_id").collect().rows())
    rows = [_row(row, twins.get(row[0])) for row in table.rows()]
    words = [(text, WORDS[text]) for text in _SAID]
    found = {"rows": rows, "total": total, "shown": SHOWN, "words": words}
    data = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":  # so that no text can end the script element
        data = data.replace(character, f"\\u{ord(character):04x}")
    made = _MARKUP.replace("@SEARCH@", attribute("aria-label", say("search")))
    hint = say("URL, id, origin, source or rule")
    made = made.replace("@HINT@", attribute("placeholder", hint))
    for name in ("page", "rule", "value", "threshold"):
        made = made.replace(f"@{name}@", markup(say(name)))
    return made.replace("@ROWS@", data)


def _row(row: tuple[Any, ...], twin: str | None) -> list[str]:
    identity, source, url, origin, rule, value, threshold = row
    why = f"{rule} → {twin}" if twin and twin != identity else rule
    numbers = ["" if number is None else f"{number:.4g}" for number in (value, threshold)]
    return [identity, source, url or "", origin, why, *numbers]
