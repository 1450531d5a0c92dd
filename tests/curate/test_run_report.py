"""The report of a run, read from its markup and in a browser."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest

from tests.browser import Browser
from yanmo import manifest
from yanmo.charts import line_chart
from yanmo.curate import run_search
from yanmo.curate.discover import InputSpec
from yanmo.curate.duplicates_report import verified_line
from yanmo.curate.explain import explain
from yanmo.curate.leak_verdicts import said as leaks_said
from yanmo.curate.leaks_report import leaked_line
from yanmo.curate.pipeline import run_recipe
from yanmo.curate.report_words import WORDS as REPORT_WORDS
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.run_report import write_report
from yanmo.curate.run_search import search_markup
from yanmo.curate.verify_duplicates import said as verified_said
from yanmo.files import read_json
from yanmo.recipe import load
from yanmo.vocab.view_words import WORDS as VIEW_WORDS

WORDS = """
river stone morning window letter garden bridge market winter summer teacher doctor kitchen mountain
village island forest harbour engine station picture question answer minute evening weather journey
soldier farmer painter written spoken broken gentle narrow distant silent golden ancient common
people with have that from they would there their about which other after where under never always
"""
TWINS = ("https://zh.example/3", "https://zh.example/twin")
FIELD = re.compile(r"\{(\w+)\}")
EVIL = "</script><b>粗体&"


def prose(number: int) -> str:
    """Chinese of its own for each number; it passes every rule."""
    signs = [chr(0x4E00 + (number * 131 + i * 977) % 15000) for i in range(180)]
    lines = ["".join(signs[i : i + 30]) + "，这是在日光下的年月和人。" for i in range(0, 180, 30)]
    return "\n".join(lines)


def english(number: int) -> str:
    words = WORDS.split()
    picked = [word for turn in range(3) for word in Random(f"{number} {turn}").sample(words, 40)]
    return "It is to be seen that the people have what they want. " + " ".join(picked) + "."


def pages() -> list[dict[str, str]]:
    """Fifteen good pages of each language, a twin, two that rules drop, and one odd address."""
    good = [{"text": prose(i), "url": f"https://zh.example/{i}"} for i in range(15)]
    good += [{"text": english(i), "url": f"https://en.example/{i}"} for i in range(1, 16)]
    bad = [
        {"text": prose(3), "url": TWINS[1]},
        {"text": "太短。", "url": f"https://zh.example/short?{EVIL}"},
        {"text": english(20).replace(". ", " ").rstrip("."), "url": "https://en.example/endless"},
    ]
    return good + bad


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of two inputs."""
    folder = tmp_path_factory.mktemp("report")
    for name, rows in (("web", pages()), ("books", [{"text": prose(50), "url": ""}])):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    inputs = tuple(InputSpec(str(folder / f"{n}.jsonl"), source=n) for n in ("web", "books"))
    settings = replace(load(CurateRecipe, None, ("rules.zh.min_words=20",)), input=inputs)
    run_recipe(settings, folder / "run", quiet=True)
    return folder / "run"


def row_of(run: Path, address: str) -> dict[str, Any]:
    dropped = pl.read_parquet(run / "dropped" / "*.parquet")
    return dropped.filter(pl.col("url").str.contains(address, literal=True)).row(0, named=True)


def listed(html: str) -> dict[str, Any]:
    """The rows of the search box, out of the page."""
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', html, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_dropped_document_is_in_the_page_with_its_reason(run: Path) -> None:
    data = listed((run / "report.html").read_text(encoding="utf-8"))
    dropped = pl.read_parquet(run / "dropped" / "*.parquet").sort("id")
    assert data["total"] == dropped.height == 3
    assert [row[0] for row in data["rows"]] == dropped["id"].to_list()
    rows = {row[2]: row for row in data["rows"]}
    short = rows[f"https://zh.example/short?{EVIL}"]
    assert short[1] == "web"
    assert short[4:] == ["min_words", "2", "20"]
    kept = pl.read_parquet(run / "documents" / "*.parquet")
    (twin,) = [rows[url] for url in rows if url in TWINS]
    assert twin[4] == f"exact_duplicate → {kept.filter(pl.col('text') == prose(3))['id'].item()}"


def test_a_document_cannot_end_the_script(run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    assert EVIL not in html
    assert html.count("</script>") == 3


def test_the_source_of_a_threshold_is_that_of_its_route(run: Path) -> None:
    """English and Chinese are cut by thresholds of two papers; one was set in the recipe."""
    html = unescape((run / "report.html").read_text(encoding="utf-8"))
    assert "en 0.12: FineWeb" in html
    assert "zh 20: set in the recipe" in html
    found = explain(run, row_of(run, "endless")["id"])
    assert found["rule"] == "min_terminal_punctuation_line_fraction"
    assert found["threshold_source"] == "FineWeb"
    assert found["source"] == "web"
    assert explain(run, row_of(run, "short")["id"])["threshold_source"] == "set in the recipe"


def test_charts_show_the_documents_that_the_threshold_judged(run: Path) -> None:
    html = unescape((run / "report.html").read_text(encoding="utf-8"))
    assert "en · 16 documents, 1 beyond 0.12" in html
    assert "zh · 18 documents, 1 beyond 20" in html
    assert "mixed ·" not in html


def test_inputs_stand_with_their_keep_rates(run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    cells = r'<td>web</td><td class="number">30</td><td class="number">3</td><td>90.9%</td>'
    assert cells in html
    assert '<td>books</td><td class="number">1</td><td class="number">0</td><td>100.0%' in html


def test_only_so_many_are_listed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_search, "LISTED", 2)
    dropped = pl.scan_parquet(run / "dropped" / "*.parquet")
    data = listed(search_markup(dropped, run / "no-such-file"))
    assert (len(data["rows"]), data["total"]) == (2, 3)


def test_it_says_whether_the_language_model_was_there(run: Path, tmp_path: Path) -> None:
    for models_used, told in (({}, True), ({"lid.176.ftz": "0" * 64}, False)):
        folder = shutil.copytree(run, tmp_path / str(told), ignore=lambda *_: [".cache"])
        made = manifest.read(folder)
        made["counts"]["models"] = models_used
        manifest.write(folder, made)
        html = write_report(folder).read_text(encoding="utf-8")
        assert ("lid.176 is not here" in html) is told


def test_made_again_it_is_the_same(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert write_report(run) == run / "report.html"
    assert (run / "report.html").read_bytes() == before
    assert manifest.read(run)["counts"]["funnel"] == read_json(run / "funnel.json")


def rendered(page: Path, profile: Path, fragment: str = "") -> str:
    """The page as the browser holds it after its scripts ran."""
    with Browser(profile) as seen:
        seen.open(page, fragment)
        dom: str = seen.run("document.documentElement.outerHTML")
        assert seen.complaints == []
        return dom


def hits(dom: str) -> list[str]:
    """The rows that the search shows, as text."""
    body = re.search(r'<tbody id="hits">(.*?)</tbody>', dom, re.DOTALL)
    assert body
    cells = [re.sub(r"<[^>]*>", "\t", row) for row in body[1].split("</tr>")]
    return [unescape(cell).strip() for cell in cells if cell.strip()]


@pytest.mark.browser
def test_the_page_in_a_browser(run: Path, tmp_path: Path) -> None:
    dom = rendered(run / "report.html", tmp_path / "profile")
    assert "34 records read, 31 documents kept (91.2%)" in dom
    assert "31 · 91.2%</text>" in dom
    for rule in ("exact_duplicate", "min_words", "min_terminal_punctuation_line_fraction"):
        assert f"− {rule}</text>" in dom
    assert "3 of 3 dropped documents" in dom
    assert len(hits(dom)) == 3


@pytest.mark.browser
@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        ("EN.example/endless", "min_terminal_punctuation_line_fraction"),
        (EVIL, "min_words"),
        ("exact_dup", "exact_duplicate"),
    ],
)
def test_a_link_answers_why_a_page_was_dropped(
    run: Path, tmp_path: Path, wanted: str, rule: str
) -> None:
    fragment = f"#why={quote(wanted)}"
    dom = rendered(run / "report.html", tmp_path / "profile", fragment)
    (hit,) = hits(dom)
    assert rule in hit
    assert "1 of 3 dropped documents" in dom


@pytest.mark.browser
def test_what_is_typed_filters_the_rows(run: Path, tmp_path: Path) -> None:
    typed = '<script>q.value="ZH.example/short";q.dispatchEvent(new Event("input"))</script></body>'
    page = tmp_path / "typed.html"
    html = (run / "report.html").read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", typed), encoding="utf-8")
    dom = rendered(page, tmp_path / "profile")
    (hit,) = hits(dom)
    assert hit.startswith("https://zh.example/short")


@pytest.mark.browser
def test_a_page_that_was_not_dropped(run: Path, tmp_path: Path) -> None:
    dom = rendered(run / "report.html", tmp_path / "profile", "#why=nowhere.example")
    assert hits(dom) == []
    assert "`yanmo curate why RUN ID` looks everywhere" in dom


@pytest.mark.browser
def test_the_switch_shows_chinese_and_leaves_no_english(run: Path, tmp_path: Path) -> None:
    """What a reader sees in Chinese holds names of rules, steps and files, and no English text."""
    with Browser(tmp_path / "profile", language="zh-CN") as page:
        page.look(width=400)
        page.open(run / "report.html")
        assert page.run("document.documentElement.lang") == "zh-Hans"  # as the browser prefers
        assert page.run("document.documentElement.scrollWidth") <= 400
        assert page.run("document.title") == "研墨 · 语料处理报告"
        assert page.run("q.placeholder") == "网址、文档编号、出处、来源或规则"
        assert page.texts("#count") == ["3 篇被丢弃文档中的 3 篇"]
        shown = "\n".join(page.texts("h2, h3, nav a, .lead, main > p, th, summary"))
        for english in REPORT_WORDS:
            if len(english) > 4 and "{" not in english and not english.startswith("yanmo"):
                assert not re.search(rf"(?<!\w){re.escape(english)}(?!\w)", shown), english
        in_charts = "[...document.querySelectorAll('svg tspan[data-l={}]')].map(e=>"
        in_charts += "getComputedStyle(e).display)"
        assert set(page.run(in_charts.replace("{}", "en"))) == {"none"}
        assert "none" not in page.run(in_charts.replace("{}", "zh"))
        page.point('[data-to="en"]', click=True)
        assert page.run("document.title") == "yanmo · corpus run"
        assert page.texts("#count") == ["3 of 3 dropped documents"]
        assert "Why was this page dropped?" in page.texts("h2")
        assert page.complaints == []
        assert page.requests == []


def test_what_the_report_says_is_what_the_run_prints() -> None:
    measured = {"below_0.7": {"count": 3, "share": 0.02}}
    for sampled in (False, True):
        result = {"compared": 150, "removed": 1500, "sampled": sampled, "char5": measured}
        assert str(verified_line(result)) == verified_said(result)
    for leaked, judged in ((0, 10), (4, 9)):
        found = {"both": 2, "question": 1, "options": 1}
        summary = {"leaked": leaked, "questions": 10, "documents": 5, "found": found,
                   "judged": judged}  # fmt: skip
        assert str(leaked_line(summary)) == leaks_said(summary)


def test_every_text_has_its_fields_in_both_languages() -> None:
    for table in (REPORT_WORDS, VIEW_WORDS):
        for english, chinese in table.items():
            assert sorted(FIELD.findall(english)) == sorted(FIELD.findall(chinese)), english


def test_a_legend_stands_above_its_lines() -> None:
    """Many long names wrap; the plot starts below the last row of them."""
    names = [f"a long name of a line, number {k}" for k in range(9)]
    svg = line_chart("title", [(name, [0, 1], [0, k]) for k, name in enumerate(names)])
    rows = [float(y) for y in re.findall(r'y="([0-9.]+)" text-anchor="start">a long', svg)]
    points = re.findall(r'points="([^"]+)"', svg)
    top = min(float(pair.split(",")[1]) for line in points for pair in line.split())
    assert len(rows) == 9
    assert len(set(rows)) > 1
    assert max(rows) < top
