"""One result in four dresses: text table, Markdown, JSON, and one self-contained HTML page.

The page has no script from elsewhere, no font, no link to the network: it can be mailed. Where
texts are :class:`~yanmo.bilingual.Bilingual` it has a switch between English and Chinese.
"""

import html
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from yanmo.bilingual import SWITCH, SWITCH_SCRIPT, SWITCH_STYLE, Bilingual, markup
from yanmo.charts import PALETTE

STYLE: Final = """
:root{--ink:#1f2430;--soft:#667085;--line:#e4e7ec;--paper:#fff;--wash:#f7f8fa;--accent:#9b2c1f}
*{box-sizing:border-box}body{margin:0;background:var(--wash);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans CJK SC","PingFang SC",
"Microsoft YaHei",sans-serif}main{max-width:1080px;margin:0 auto;padding:32px 24px 80px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:40px 0 8px;padding-top:12px;
border-top:1px solid var(--line)}h3{font-size:15px;margin:22px 0 6px;color:var(--soft)}
p{margin:6px 0 10px}.lead{color:var(--soft)}
table{border-collapse:collapse;width:100%;background:var(--paper);margin:8px 0 16px;
border:1px solid var(--line);font-size:14px}th,td{padding:6px 10px;text-align:left;
border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:break-word}
td.long{overflow-wrap:anywhere;min-width:14em}.scroll{overflow-x:auto}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 0 0}
a{color:var(--accent)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr));
gap:10px;margin:8px 0}
.grid svg{width:100%;margin:0}input.search{width:100%;padding:8px 10px;font:inherit;
color:inherit;background:var(--paper);border:1px solid var(--soft);border-radius:4px}
th{background:var(--wash);font-weight:600;color:var(--soft);white-space:nowrap}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.number{text-align:right}svg{max-width:100%;height:auto;background:var(--paper);
border:1px solid var(--line);margin:6px 0}details{background:var(--paper);
border:1px solid var(--line);padding:6px 12px;margin:6px 0}summary{cursor:pointer}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,monospace;margin:8px 0}
code{font:13px ui-monospace,monospace;background:var(--wash);padding:1px 4px}
footer{color:var(--soft);font-size:13px;margin-top:48px}
@media(max-width:720px){main{padding:20px 12px 60px}table{display:block;overflow-x:auto}
.chart{overflow-x:auto}.chart svg{min-width:640px}}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--soft:#98a2b3;--line:#333a47;
--paper:#171b24;--wash:#10131a;--accent:#e58a7b}}
""".replace("\n", "")


def show(value: Any) -> str:
    """A value as a person reads it: thousands separated, four significant digits, dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 10_000 else f"{value:.4g}"
    return value if isinstance(value, str) else str(value)


def columns_wide(text: str) -> int:
    """How many terminal columns a text takes (a hanzi takes two)."""
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


_NUMBER: Final = ' class="number"'
_LONG: Final = 40  # characters without a space from which a cell may be broken anywhere


def _cell(value: Any, number: bool) -> str:
    text = show(value)
    long = ' class="long"' if max(map(len, text.split()), default=0) > _LONG else ""
    return f"<td{_NUMBER if number else long}>{markup(text)}</td>"


@dataclass(frozen=True)
class Table:
    """A titled table; numbers are right-aligned everywhere."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def _numeric(self) -> list[bool]:
        return [
            any(isinstance(row[i], int | float) for row in self.rows)
            and all(isinstance(row[i], int | float | None) for row in self.rows)
            for i in range(len(self.columns))
        ]

    def text(self) -> str:
        """For a terminal."""
        body = [[show(value) for value in row] for row in self.rows]
        widths = [
            max(columns_wide(line[i]) for line in [list(self.columns), *body])
            for i in range(len(self.columns))
        ]
        lines = [self.title] if self.title else []
        for line in [list(self.columns), ["─" * width for width in widths], *body]:
            cells = [
                " " * (width - columns_wide(cell)) + cell if number
                else cell + " " * (width - columns_wide(cell))
                for cell, width, number in zip(line, widths, self._numeric(), strict=True)
            ]  # fmt: skip
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """For a README or an issue."""

        def row(cells: Sequence[str]) -> str:
            return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

        rule = "|" + "|".join("---:" if n else "---" for n in self._numeric()) + "|"
        head = [f"**{self.title}**", ""] if self.title else []
        body = [row([show(value) for value in line]) for line in self.rows]
        return "\n".join([*head, row(self.columns), rule, *body])

    def html(self) -> str:
        """For a page."""
        numeric = self._numeric()
        head = "".join(
            f"<th{_NUMBER if number else ''}>{markup(name)}</th>"
            for name, number in zip(self.columns, numeric, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(_cell(value, number) for value, number in zip(line, numeric, strict=True))
            + "</tr>"
            for line in self.rows
        )
        title = f"<h3>{markup(self.title)}</h3>" if self.title else ""
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def json(self) -> dict[str, Any]:
        """For a program."""
        records = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": records}


@dataclass
class Page:
    """An HTML page built from top to bottom; all text given to it is escaped."""

    title: str
    lead: str = ""
    language: str = "en"
    body: list[str] = field(default_factory=list)
    sections: list[tuple[str, str]] = field(default_factory=list)
    """(anchor, text) of the headings, for the line of links at the top."""
    style: str = ""
    """Further style rules, behind those of the house."""

    def add_heading(self, text: str, *, anchor: str | None = None) -> None:
        """A section heading; one with an anchor is linked from the top of the page."""
        mark = ""
        if anchor:
            mark = f' id="{html.escape(anchor)}"'
            self.sections.append((anchor, text))
        self.body.append(f"<h2{mark}>{markup(text)}</h2>")

    def add_text(self, text: str) -> None:
        """A paragraph."""
        self.body.append(f"<p>{markup(text)}</p>")

    def add_table(self, table: Table) -> None:
        """A table."""
        self.body.append(table.html())

    def add_svg(self, svg: str) -> None:
        """A chart made by :mod:`yanmo.charts` (trusted markup)."""
        chart = svg.startswith("<svg")  # on a narrow screen it is scrolled, not made unreadable
        self.body.append(f'<div class="chart">{svg}</div>' if chart else svg)

    def add_details(self, summary: str, text: str) -> None:
        """Preformatted text that opens on a click."""
        self.body.append(
            f"<details><summary>{markup(summary)}</summary><pre>{html.escape(text)}</pre></details>"
        )

    def add_grid(self, svgs: Sequence[str]) -> None:
        """Small charts side by side."""
        self.body.append(f'<div class="grid">{"".join(svgs)}</div>')

    @contextmanager
    def fold(self, summary: str) -> Iterator[None]:
        """What is added inside opens on a click."""
        self.body.append(f"<details><summary>{markup(summary)}</summary>")
        yield
        self.body.append("</details>")

    def add_link(self, text: str, target: str) -> None:
        """A link to another file of the same result."""
        self.body.append(f'<p><a href="{html.escape(target)}">{markup(text)}</a></p>')

    def html(self) -> str:
        """The whole page."""
        lead = f'<p class="lead">{markup(self.lead)}</p>' if self.lead else ""
        if len(self.sections) > 1:
            links = (f'<a href="#{html.escape(a)}">{markup(t)}</a>' for a, t in self.sections)
            lead += f"<nav>{''.join(links)}</nav>"
        parts = f"<h1>{markup(self.title)}</h1>{lead}{''.join(self.body)}"
        style, switch, script = STYLE + self.style, "", ""
        if 'data-l="zh"' in parts:
            style, switch, script = style + SWITCH_STYLE, SWITCH, SWITCH_SCRIPT
        return (
            f'<!doctype html><html lang="{self.language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{style}</style></head><body><main>"
            f"{switch}{parts}<footer>yanmo 研墨</footer></main>{script}</body></html>\n"
        )


__all__ = ["PALETTE", "Bilingual", "Page", "Table", "show"]
