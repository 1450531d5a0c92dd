"""Tables, pages and charts: aligned, escaped, self-contained."""

import re
from html.parser import HTMLParser

import pytest

from yanmo.charts import Bar, bar_chart, histogram, line_chart, sparkline
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
        line_chart("x", [("a", [1, 1], [2, 2])]), bar_chart("x", []),
        bar_chart("x", [Bar("a", 0.0)]),
        bar_chart("x", [Bar("名字<", 2.0, "two & <", "#000", (1.0, 9.0))], x_label="n"),
        histogram("x", [0, 1], [0], thresholds=[0.5, 9]), histogram("x", [3, 3], [2]),
    ):  # fmt: skip
        assert svg.startswith("<svg")
        assert "nan" not in svg


def test_a_bar_ends_where_its_value_says() -> None:
    chart = bar_chart("x", [Bar("half", 50, "50 of 100"), Bar("whole", 100)])
    half, whole = (float(n) for n in re.findall(r'<rect [^>]*width="([\d.]+)"', chart))
    assert half * 2 == pytest.approx(whole, abs=0.2)
    assert "50 of 100" in chart


def test_a_name_fits_left_of_its_bar() -> None:
    name = "max_duplicate_paragraph_char_fraction"
    chart = bar_chart("x", [Bar(name, 1)])
    assert name in chart
    assert float(re.findall(r'<rect x="(\d+)"', chart)[0]) > 6 * len(name)


def test_histogram_heights_are_logarithmic_and_cuts_stay_inside() -> None:
    chart = histogram("x", [0, 1, 2, 3], [0, 9, 99], thresholds=[2.995])
    none, low, high = (float(n) for n in re.findall(r'<rect [^>]*height="([\d.]+)"', chart))
    assert none == 0
    assert high == pytest.approx(2 * low, abs=0.2)
    label = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="end"[^>]*fill="[^"]*">2.995<', chart)
    assert label, "the number of a cut at the right edge stands left of it"


def test_sections_are_linked_and_folds_close() -> None:
    page = Page("p")
    page.add_heading("One", anchor="one")
    page.add_heading("Two & three", anchor="two")
    with page.fold("more <"):
        page.add_grid(["<svg></svg>"])
        page.add_details("inner", "text")
    html = page.html()
    assert '<nav><a href="#one">One</a><a href="#two">Two &amp; three</a></nav>' in html
    assert html.count("<details>") == html.count("</details>") == 2
    assert "more &lt;" in html


def test_long_words_may_break_anywhere() -> None:
    html = Table("", ["url", "n"], [["https://example.org/" + "a" * 60, 1], ["short", 2]]).html()
    assert html.count('class="long"') == 1


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 3]) == "▁▃▆█"
    assert len(sparkline(list(range(1000)), width=40)) == 40
    assert sparkline([]) == ""
