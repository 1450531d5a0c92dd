"""Tables, pages and charts: aligned, escaped, self-contained."""

import re
from html.parser import HTMLParser

from yanmo.charts import bar_chart, histogram, line_chart, sparkline
from yanmo.report import Page, Table, columns_wide, show


def test_text_table_aligns_hanzi_and_numbers() -> None:
    text = Table("漏斗", ["rule", "n"], [["重复", 12345], ["short", 7]]).text()
    lines = text.splitlines()
    assert lines[0] == "漏斗"
    assert len({columns_wide(line) for line in lines[1:]}) == 1
    assert lines[-2].endswith("12 345")


def test_markdown_escapes_pipes() -> None:
    assert r"a\|b" in Table("", ["x"], [["a|b"]]).markdown()


def test_show() -> None:
    assert [show(v) for v in (None, True, 1234567, 0.123456, 123456.7, float("inf"))] == [
        "–", "yes", "1 234 567", "0.1235", "123 457", "inf",
    ]  # fmt: skip


def test_page_is_self_contained_and_escaped() -> None:
    page = Page("<报告>", lead="a & b")
    page.add_heading("<h>")
    page.add_text("<script>alert(1)</script>")
    page.add_table(Table("t<", ["c<"], [["<b>"]]))
    page.add_details("sum<", "<pre>")
    page.add_svg(line_chart("loss <", [("a<", [0, 1], [2, 3])]))
    html = page.html()
    assert "<script" not in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", html)
    HTMLParser().feed(html)


def test_charts_survive_odd_data() -> None:
    for svg in (
        line_chart("x", []), line_chart("x", [("a", [1], [float("nan")])]),
        line_chart("x", [("a", [1, 1], [2, 2])]), bar_chart("x", []), bar_chart("x", [("a", 0.0)]),
        histogram("x", [0, 1], [0], thresholds=[0.5, 9]), histogram("x", [3, 3], [2]),
    ):  # fmt: skip
        assert svg.startswith("<svg")
        assert "nan" not in svg


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 3]) == "▁▃▆█"
    assert len(sparkline(list(range(1000)), width=40)) == 40
    assert sparkline([]) == ""
