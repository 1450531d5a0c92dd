"""Small charts as inline SVG, readable in light and dark, with no script and no library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from yanmo.bilingual import attribute, chinese, markup

PALETTE: Final = ("#9b2c1f", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#4a5568")
WIDTH: Final = 760
HEIGHT: Final = 280
WIDE: Final = 1032  # of bar charts, whose names and values need the room
SMALL: Final = (500, 210)  # of histograms, which stand side by side
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 30, 40
ROW: Final = 22


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    first = math.ceil(low / step) * step
    return [first + i * step for i in range(int((high - first) / step + 1e-9) + 1)]


def _label(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.4g}{suffix}"
    return f"{value:.4g}"


def _text_width(text: str) -> float:
    """Pixels that a text of 12 px takes, on the safe side."""
    widths = (
        sum(12.0 if ord(character) > 0x2E7F else 7.0 for character in shown)
        for shown in (text, chinese(text))
    )
    return max(widths)


def _text(x: float, y: float, text: str, *, anchor: str = "start", style: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>'
        f"{markup(text, tag='tspan')}</text>"
    )


_FAINT: Final = ' opacity=".7"'


def _frame(title: str, x_label: str, body: str, *, width: int, height: int, left: int) -> str:
    middle = (width + left) / 2
    bold = ' font-weight="600"'
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        f'{attribute("aria-label", title)} font-family="system-ui,sans-serif" font-size="12" '
        f'fill="currentColor">{_text(12, 18, title, style=bold)}{body}'
        f"{_text(middle, height - 6, x_label, anchor='middle', style=_FAINT)}</svg>"
    )


@dataclass(frozen=True)
class _Plot:
    """Where a pair of numbers lies on the paper."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = WIDTH
    height: int = HEIGHT
    top: int = TOP

    def across(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (self.width - LEFT - RIGHT)

    def up(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - BOTTOM - share * (self.height - self.top - BOTTOM)

    def axes(self, y_ticks: Sequence[tuple[float, str]] | None = None) -> str:
        """Grid lines with their numbers; ``y_ticks`` are (place, text)."""
        ticks = y_ticks or [(tick, _label(tick)) for tick in _ticks(*self.y)]
        parts = [
            f'<line x1="{LEFT}" x2="{self.width - RIGHT}" y1="{self.up(tick):.1f}" '
            f'y2="{self.up(tick):.1f}" stroke="currentColor" opacity=".12"/>'
            + _text(LEFT - 6, self.up(tick) + 4, shown, anchor="end", style=_FAINT)
            for tick, shown in ticks
        ]
        parts += [
            _text(self.across(tick), self.height - BOTTOM + 16, _label(tick), anchor="middle",
                  style=_FAINT)
            for tick in _ticks(*self.x, count=self.width // 95)
        ]  # fmt: skip
        return "".join(parts)

    def frame(self, title: str, x_label: str, body: str) -> str:
        return _frame(title, x_label, body, width=self.width, height=self.height, left=LEFT)


def line_chart(
    title: str,
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    *,
    x_label: str = "",
) -> str:
    """Lines over a common x axis.

    Args:
        title: the title.
        series: ``(name, xs, ys)`` each; points that are not finite are left out.
        x_label: what x is, with its unit.
    """
    points = [
        (name, [(a, b) for a, b in zip(xs, ys, strict=True) if math.isfinite(a + b)])
        for name, xs, ys in series
    ]
    flat = [p for _, line in points for p in line]
    if not flat:
        empty = _Plot((0, 1), (0, 1))
        return empty.frame(title, x_label, _text(LEFT, 80, "no data"))
    x = (min(p[0] for p in flat), max(p[0] for p in flat))
    y = (min(p[1] for p in flat), max(p[1] for p in flat))
    x = (x[0], x[1] if x[1] > x[0] else x[0] + 1)
    pad = (y[1] - y[0]) * 0.05 or 0.5
    legend, top = _legend([name for name, _ in points])
    plot = _Plot(x, (y[0] - pad, y[1] + pad), height=HEIGHT + top - TOP, top=top)
    body = [plot.axes(), legend]
    for index, (_, line) in enumerate(points):
        colour = PALETTE[index % len(PALETTE)]
        path = " ".join(f"{plot.across(a):.1f},{plot.up(b):.1f}" for a, b in line)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return plot.frame(title, x_label, "".join(body))


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """Names with a stroke of their colour under the title, and where the plot may start."""
    parts, x, y = [], float(LEFT), TOP + 8
    for index, name in enumerate(names):
        wide = 26 + _text_width(name) + 18
        if x > LEFT and x + wide > WIDTH - RIGHT:
            x, y = float(LEFT), y + 18
        colour = PALETTE[index % len(PALETTE)]
        parts.append(
            f'<line x1="{x:.1f}" x2="{x + 20:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
            f'stroke-width="2.4"/>{_text(x + 26, y, name)}'
        )
        x += wide
    return "".join(parts), y + 12


@dataclass(frozen=True)
class Bar:
    """One bar of a bar chart."""

    name: str
    value: float
    shown: str | None = None
    """What stands at its end; by default the value, shortened."""
    colour: str = PALETTE[0]
    interval: tuple[float, float] | None = None


def bar_chart(title: str, bars: Sequence[Bar], *, x_label: str = "") -> str:
    """Horizontal bars from zero, each with its value; an interval is drawn as whiskers."""
    ends = [max(bar.value, *(bar.interval or (0,))) for bar in bars]
    left = int(min(420, 24 + max((_text_width(bar.name) for bar in bars), default=0)))
    right = 16 + max((_text_width(_bar_text(bar)) for bar in bars), default=0)
    scale = (WIDE - left - right) / max([*ends, 1e-12])
    body = []
    for index, (bar, end) in enumerate(zip(bars, ends, strict=True)):
        y = TOP + ROW * index
        body.append(_text(left - 8, y + 14, bar.name, anchor="end"))
        body.append(
            f'<rect x="{left}" y="{y + 3}" width="{max(bar.value * scale, 0.5):.1f}" '
            f'height="{ROW - 7}" fill="{bar.colour}" opacity=".85"/>'
        )
        if bar.interval is not None:
            low, high = bar.interval
            body.append(
                f'<line x1="{left + low * scale:.1f}" x2="{left + high * scale:.1f}" '
                f'y1="{y + 11}" y2="{y + 11}" stroke="currentColor" stroke-width="1.5"/>'
            )
        body.append(_text(left + end * scale + 6, y + 14, _bar_text(bar)))
    height = TOP + ROW * len(bars) + (BOTTOM if x_label else 10)
    return _frame(title, x_label, "".join(body), width=WIDE, height=height, left=left)


def _bar_text(bar: Bar) -> str:
    return _label(bar.value) if bar.shown is None else bar.shown


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    x_label: str = "",
    thresholds: Sequence[float] = (),
) -> str:
    """A small histogram with dashed lines where thresholds cut.

    Heights are logarithmic: what a threshold cuts off is the thin tail.

    Args:
        title: the title.
        edges: bin edges, one more than ``counts``.
        counts: documents per bin.
        x_label: the signal and its unit.
        thresholds: positions of the cuts.
    """
    x = (float(edges[0]), float(edges[-1]) if edges[-1] > edges[0] else float(edges[0]) + 1)
    top = max([*counts, 1])
    plot = _Plot(x, (0.0, math.log10(1 + top) * 1.05), *SMALL)
    powers = [10**i for i in range(1 + int(math.log10(top)))]
    body = [plot.axes([(math.log10(1 + n), _label(n)) for n in powers])]
    floor = plot.up(0.0)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        wide = max(plot.across(high) - plot.across(low) - 1, 0.5)
        height = floor - plot.up(math.log10(1 + count))
        body.append(
            f'<rect x="{plot.across(low):.1f}" y="{floor - height:.1f}" width="{wide:.1f}" '
            f'height="{height:.1f}" fill="{PALETTE[1]}" opacity=".75"/>'
        )
    body += [_cut(plot, value) for value in thresholds if x[0] <= value <= x[1]]
    return plot.frame(title, x_label, "".join(body))


def _cut(plot: _Plot, threshold: float) -> str:
    at = plot.across(threshold)
    colour, shown = f' fill="{PALETTE[0]}"', _label(threshold)
    after = at + 4 + _text_width(shown) < plot.width
    label = _text(at + 4 if after else at - 4, TOP + 10, shown,
                  anchor="start" if after else "end", style=colour)  # fmt: skip
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{plot.height - BOTTOM}" '
        f'stroke="{PALETTE[0]}" stroke-width="1.6" stroke-dasharray="5 3"/>{label}'
    )


def sparkline(values: Sequence[float], *, width: int = 60) -> str:
    """A curve in one line of text, for a terminal."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    picked = (
        [finite[i * len(finite) // width] for i in range(width)] if len(finite) > width else finite
    )
    low, high = min(picked), max(picked)
    marks = "▁▂▃▄▅▆▇█"
    return "".join(marks[int((v - low) / ((high - low) or 1) * 7.999)] for v in picked)
