"""Charts as SVG from figures: classes only (strict CSP, themes, print), title and description for screen readers, no script.

Each line chart is drawn twice, broad and narrow; the stylesheet shows the one that fits, so a phone gets labels it can read.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from kairan.i18n import number

LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 26
TICKS_ABOUT = 4


@dataclass(frozen=True, slots=True)
class Series:
    """One line; the place in the sequence decides its colour and dashes (`s1`, `s2`, `s3`)."""

    name: str
    values: Sequence[float]


def line_chart(series: Sequence[Series], labels: Sequence[str], *, title: str, description: str, name: str = "chart") -> Markup:
    """`labels`: one for each value, empty where none is to stand. `name` must be unique on the page."""
    broad = _line_chart(series, labels, title, description, f"{name}-broad", "broad", 720, 240, 1)
    narrow = _line_chart(series, labels, title, description, f"{name}-narrow", "narrow", 360, 220, 2)
    return broad + narrow


def small_line_chart(series: Sequence[Series], labels: Sequence[str], *, title: str, description: str, name: str) -> Markup:
    """The same for a narrow card: drawn once."""
    return _line_chart(series, labels, title, description, name, "small", 360, 220, 1)


def key(series: Sequence[Series]) -> Markup:
    """What each line stands for, beside the chart's heading."""
    mark = '<span><svg class="chart" viewBox="0 0 22 8" aria-hidden="true"><path class="line s{}" d="M0 4h22"/></svg>{}</span>'
    return Markup('<p class="key">{}</p>').format(
        Markup("").join(Markup(mark).format(place, line.name) for place, line in enumerate(series, 1))
    )


def figures(series: Sequence[Series], labels: Sequence[str], *, caption: str, first_column: str) -> Markup:
    """The same as a table: for screen readers and for whoever wants the number."""
    head = Markup("").join(Markup('<th scope="col" class="n">{}</th>').format(line.name) for line in series)
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            label, Markup("").join(Markup('<td class="n">{}</td>').format(number(line.values[place])) for line in series)
        )
        for place, label in enumerate(labels)
    )
    table = '<table><caption class="vh">{}</caption><thead><tr><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody></table>'
    return Markup(table).format(caption, first_column, head, rows)


def state_bar(parts: Sequence[tuple[str, int]], *, title: str) -> Markup:
    """How a whole divides: one stacked bar. `parts`: class and count."""
    total = sum(count for _name, count in parts)
    drawn, x = Markup(""), 0.0
    for name, count in parts:
        width = 1000 * count / total if total else 0
        if width:
            drawn += Markup('<rect class="{}" x="{}" width="{}" height="14"/>').format(name, f"{x:.2f}", f"{width:.2f}")
        x += width
    svg = '<svg class="states" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(title, drawn)


def sparkline(values: Sequence[float], *, title: str) -> Markup:
    """A small line without axes, for a row of a table."""
    top = max(values, default=0) or 1
    step = 100 / max(1, len(values) - 1)
    points = " ".join(f"{place * step:.1f},{23 - 21 * value / top:.1f}" for place, value in enumerate(values))
    svg = (
        '<svg class="chart spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polyline class="line s1" points="{}"/></svg>'
    )
    return Markup(svg).format(title, points)


def nice_top(highest: float) -> tuple[float, float]:
    """The axis' top and its step: 1, 2, 2.5 or 5 times a power of ten, whole numbers for counts."""
    if highest <= TICKS_ABOUT:
        return float(TICKS_ABOUT), 1.0
    raw = highest / TICKS_ABOUT
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    step = max(1.0, step if power >= 10 or step == int(step) else math.ceil(step))
    return math.ceil(highest / step) * step, step


def _line_chart(
    series: Sequence[Series], labels: Sequence[str], title: str, description: str, name: str, kind: str, width: int, height: int, skip: int
) -> Markup:
    top, step = nice_top(max((value for line in series for value in line.values), default=0))
    plot_height, last = height - TOP - BOTTOM, max(1, len(labels) - 1)

    def x(place: int) -> str:
        return f"{LEFT + place * (width - LEFT - RIGHT) / last:.1f}"

    def y(value: float) -> str:
        return f"{TOP + plot_height * (1 - value / top):.1f}"

    parts = [_grid(top, step, width, y), _labels(labels, x, height, skip)]
    for place, line in enumerate(series, 1):
        points = " ".join(f"{x(spot)},{y(value)}" for spot, value in enumerate(line.values))
        if place == 1 and line.values:
            ends = f"{x(0)},{y(0)} {points} {x(len(line.values) - 1)},{y(0)}"
            parts.append(Markup('<polygon class="area" points="{}"/>').format(ends))
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(place, points))
    svg = (
        '<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-text">'
        '<title id="{}-title">{}</title><desc id="{}-text">{}</desc>{}</svg>'
    )
    return Markup(svg).format(kind, width, height, name, name, name, title, name, description, Markup("").join(parts))


def _grid(top: float, step: float, width: int, y: Callable[[float], str]) -> Markup:
    drawn, value = Markup(""), 0.0
    line = '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
    while value <= top:
        height = y(value)
        drawn += Markup(line).format(
            "grid-line" if value else "axis", LEFT, width - RIGHT, height, height, LEFT - 8, f"{float(height) + 4:.1f}", number(value)
        )
        value += step
    return drawn


def _labels(labels: Sequence[str], x: Callable[[int], str], height: int, skip: int) -> Markup:
    named = [place for place, label in enumerate(labels) if label][::skip]
    text = '<text x="{}" y="{}" text-anchor="{}">{}</text>'
    return Markup("").join(
        Markup(text).format(
            x(place), height - 6, "start" if place == 0 else "end" if place == len(labels) - 1 else "middle", escape(labels[place])
        )
        for place in named
    )
