"""Small charts as inline SVG, readable in light and dark, with no script and no library."""

import html
import math
from collections.abc import Sequence
from typing import Final

PALETTE: Final = ("#9b2c1f", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#4a5568")
WIDTH: Final = 760
HEIGHT: Final = 280
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 30, 40


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


def _frame(title: str, x_label: str, body: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="system-ui,sans-serif" font-size="12" '
        f'fill="currentColor"><text x="{LEFT}" y="18" font-weight="600">{html.escape(title)}</text>'
        f'{body}<text x="{(WIDTH + LEFT) / 2}" y="{height - 6}" text-anchor="middle" '
        f'opacity=".7">{html.escape(x_label)}</text></svg>'
    )


def _axes(x: tuple[float, float], y: tuple[float, float]) -> str:
    parts = []
    for tick in _ticks(*y):
        at = HEIGHT - BOTTOM - (tick - y[0]) / (y[1] - y[0]) * (HEIGHT - TOP - BOTTOM)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" '
            f'stroke="currentColor" opacity=".12"/><text x="{LEFT - 6}" y="{at + 4:.1f}" '
            f'text-anchor="end" opacity=".7">{_label(tick)}</text>'
        )
    for tick in _ticks(*x, count=8):
        at = LEFT + (tick - x[0]) / (x[1] - x[0]) * (WIDTH - LEFT - RIGHT)
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" '
            f'opacity=".7">{_label(tick)}</text>'
        )
    return "".join(parts)


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
        return _frame(title, x_label, f'<text x="{LEFT}" y="80">no data</text>')
    x = (min(p[0] for p in flat), max(p[0] for p in flat))
    y = (min(p[1] for p in flat), max(p[1] for p in flat))
    x = (x[0], x[1] if x[1] > x[0] else x[0] + 1)
    pad = (y[1] - y[0]) * 0.05 or 0.5
    y = (y[0] - pad, y[1] + pad)
    body = [_axes(x, y)]
    for index, (name, line) in enumerate(points):
        colour = PALETTE[index % len(PALETTE)]
        path = " ".join(
            f"{LEFT + (a - x[0]) / (x[1] - x[0]) * (WIDTH - LEFT - RIGHT):.1f},"
            f"{HEIGHT - BOTTOM - (b - y[0]) / (y[1] - y[0]) * (HEIGHT - TOP - BOTTOM):.1f}"
            for a, b in line
        )
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        body.append(
            f'<text x="{WIDTH - RIGHT}" y="{TOP + 14 + 16 * index}" text-anchor="end" '
            f'fill="{colour}">{html.escape(name)}</text>'
        )
    return _frame(title, x_label, "".join(body))


def bar_chart(
    title: str,
    bars: Sequence[tuple[str, float]],
    *,
    x_label: str = "",
    intervals: Sequence[tuple[float, float]] | None = None,
) -> str:
    """Horizontal bars from zero, each with its value; optional intervals as whiskers."""
    top = max([value for _, value in bars] + [high for _, high in intervals or []] + [1e-12])
    left, row = 230, 22
    height = TOP + row * len(bars) + BOTTOM
    scale = (WIDTH - left - 90) / top
    body = []
    for index, (name, value) in enumerate(bars):
        y = TOP + row * index
        shown = name if len(name) <= 32 else name[:31] + "…"
        body.append(
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(shown)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{max(value * scale, 0.5):.1f}" '
            f'height="{row - 7}" '
            f'fill="{PALETTE[0]}" opacity=".8"/>'
        )
        end = value
        if intervals is not None:
            low, high = intervals[index]
            end = max(value, high)
            body.append(
                f'<line x1="{left + low * scale:.1f}" x2="{left + high * scale:.1f}" '
                f'y1="{y + 11}" y2="{y + 11}" stroke="currentColor" stroke-width="1.5"/>'
            )
        body.append(f'<text x="{left + end * scale + 6:.1f}" y="{y + 14}">{_label(value)}</text>')
    return _frame(title, x_label, "".join(body), height)


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    x_label: str = "",
    thresholds: Sequence[float] = (),
) -> str:
    """A histogram with dashed lines where thresholds cut.

    Args:
        title: the title.
        edges: bin edges, one more than ``counts``.
        counts: documents per bin.
        x_label: the signal and its unit.
        thresholds: positions of the cuts.
    """
    x = (float(edges[0]), float(edges[-1]) if edges[-1] > edges[0] else float(edges[0]) + 1)
    y = (0.0, max([*counts, 1]) * 1.05)
    body = [_axes(x, y)]
    wide = (WIDTH - LEFT - RIGHT) / (x[1] - x[0])
    tall = (HEIGHT - TOP - BOTTOM) / y[1]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        body.append(
            f'<rect x="{LEFT + (low - x[0]) * wide:.1f}" y="{HEIGHT - BOTTOM - count * tall:.1f}" '
            f'width="{max((high - low) * wide - 1, 0.5):.1f}" height="{count * tall:.1f}" '
            f'fill="{PALETTE[1]}" opacity=".75"/>'
        )
    for threshold in thresholds:
        if x[0] <= threshold <= x[1]:
            at = LEFT + (threshold - x[0]) * wide
            body.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
                f'stroke="{PALETTE[0]}" stroke-width="1.6" stroke-dasharray="5 3"/>'
                f'<text x="{at + 4:.1f}" y="{TOP + 10}" fill="{PALETTE[0]}">'
                f"{_label(threshold)}</text>"
            )
    return _frame(title, x_label, "".join(body))


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
