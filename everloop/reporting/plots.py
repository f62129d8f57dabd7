"""Curves, bars and points as inline SVG; see ``everloop.reporting.svg`` for how they scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from markupsafe import Markup, escape

from everloop.contracts.errors import ShouldFixArgument
from everloop.reporting.scales import CHARACTER_PX, NARROW_PX, Axis, every
from everloop.reporting.svg import Caption, coordinate, figure, percent, tag, text, x_labels
from everloop.reporting.wording import number

HEIGHT = 176
"""Height of a plot's area in CSS pixels."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve; ``low``/``high`` its interval, empty where there is none. NaN breaks the curve."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    def __post_init__(self) -> None:
        for name in ("y", "low", "high"):
            values = getattr(self, name)
            if len(values) != len(self.x) and not (name != "y" and not values):
                raise ShouldFixArgument(
                    f"Series {self.name}: {len(values)} values of {name} for {len(self.x)} of x."
                )


def _y_axis(axis: Axis, height: float) -> Markup:
    parts = []
    for tick, label in axis.labels():
        y = height * (1 - (axis.at(tick) or 0.0))
        parts.append(tag("line", class_="grid", x1="0", x2="100%", y1=y, y2=y))
        parts.append(text(label, class_="tick end", x=-8, y=y + 4))
    return Markup("").join(parts)


def _x_ticks(axis: Axis, name: str, height: float) -> Markup:
    places = [(axis.at(tick) or 0.0, label) for tick, label in axis.fitting_labels(NARROW_PX)]
    marks = [
        tag(
            "line",
            class_="grid",
            x1=percent(share),
            x2=percent(share),
            y1=height,
            y2=height + 4,
        )
        for share, _ in places
    ]
    title = text(name, class_="tick end", x="100%", y=height + 36)
    return Markup("").join([*marks, x_labels(places, height + 18), title])


def _runs(series: Series, x: Axis, y: Axis) -> list[list[tuple[float, float, float, float]]]:
    """Stretches without a gap of (x, y, low, high) in 0..1000; an absent interval is the value."""
    points: list[tuple[float, float, float, float] | None] = []
    lows, highs = series.low or series.y, series.high or series.y
    for px, py, low, high in zip(series.x, series.y, lows, highs, strict=True):
        at_x, at_y = x.at(px), y.at(py)
        if at_x is None or at_y is None:
            points.append(None)
            continue
        bottom, top = (at_y if (end := y.at(v)) is None else end for v in (low, high))
        points.append((1000 * at_x, 1000 - 1000 * at_y, 1000 - 1000 * bottom, 1000 - 1000 * top))
    return [
        [p for p in run if p is not None]
        for kept, run in groupby(points, key=lambda p: p is not None)
        if kept
    ]


def _path(points: Sequence[tuple[float, float]], close: bool = False) -> str:
    steps = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points)
    return f"M{steps}{'Z' if close else ''}"


def line(
    caption: Caption, series: Series, *, x_name: str, tone: str = "main", zero: bool = False
) -> Markup:
    """A curve with its interval as a band; ``zero`` keeps 0 on the y axis."""
    return lines(caption, ((series, tone),), x_name=x_name, zero=zero, keys=False)


def lines(
    caption: Caption,
    curves: Sequence[tuple[Series, str]],
    *,
    x_name: str,
    zero: bool = False,
    keys: bool = True,
) -> Markup:
    """Curves of (series, tone) on the same axes, the first on top; ``keys`` names each below."""
    values = [v for series, _ in curves for v in (*series.y, *series.low, *series.high)]
    x = Axis.over([v for series, _ in curves for v in series.x])
    y = Axis.over(values, include=(0.0,) if zero else ()).rounded()
    drawn = [part for series, tone in reversed(curves) for part in _curve(series, tone, x, y)]
    stretched = tag(
        "svg",
        *drawn,
        x="0",
        y="0",
        width="100%",
        height=HEIGHT,
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
    )
    plot = figure(caption, HEIGHT + 40, _y_axis(y, HEIGHT), _x_ticks(x, x_name, HEIGHT), stretched)
    return plot + _keys(curves) if keys else plot


def _curve(series: Series, tone: str, x: Axis, y: Axis) -> list[Markup]:
    parts = []
    for run in _runs(series, x, y):
        if series.low:
            edge = [(p[0], p[3]) for p in run] + [(p[0], p[2]) for p in reversed(run)]
            parts.append(tag("path", class_=f"band {tone}", d=_path(edge, close=True)))
        stroke = [(p[0], p[1]) for p in run]
        if len(stroke) == 1:
            stroke *= 2
        parts.append(tag("path", class_=f"curve {tone}", d=_path(stroke)))
    return parts


def _keys(curves: Sequence[tuple[Series, str]]) -> Markup:
    named = [
        tag("li", tag("i", class_=tone), Markup(" "), escape(series.name))
        for series, tone in curves
    ]
    return tag("ul", *named, class_="keys")


def whiskers(caption: Caption, labels: Sequence[str], series: Series) -> Markup:
    """One point with its interval per place, evenly spaced; for days and other categories."""
    y = Axis.over([*series.y, *series.low, *series.high]).rounded()
    count = max(1, len(labels))
    parts = []
    for index, (label, value) in enumerate(zip(labels, series.y, strict=True)):
        at = y.at(value)
        if at is None:
            continue
        x = percent((index + 0.5) / count)
        ends = [y.at(side[index]) if side else None for side in (series.low, series.high)]
        texts = [number(value)]
        group = []
        if ends[0] is not None and ends[1] is not None:
            low, high = HEIGHT * (1 - ends[0]), HEIGHT * (1 - ends[1])
            group.append(tag("line", class_="whisker main", x1=x, x2=x, y1=low, y2=high))
            texts.append(f"[{number(series.low[index])}, {number(series.high[index])}]")
        group.append(tag("circle", class_="dot main", cx=x, cy=HEIGHT * (1 - at), r=3.5))
        title = tag("title", escape(f"{label}: {' '.join(texts)}"))
        parts.append(tag("g", title, *group))
    return figure(caption, HEIGHT + 22, _y_axis(y, HEIGHT), *parts, _places(labels, HEIGHT + 18))


def agreement(caption: Caption, names: Sequence[str], across: Series, up: Series) -> Markup:
    """One point per name with an interval in both directions, on one scale; dashed where both are equal.

    Args:
        caption: of the figure.
        names: of the points, shown when one is pointed at.
        across, up: their values; ``x`` of both is not used.
    """
    values = [v for side in (across, up) for v in (*side.y, *side.low, *side.high)]
    axis = Axis.over(values, include=(0.0,)).rounded()
    equal: dict[str, str | float] = {"x1": "0", "x2": "100%", "y1": HEIGHT, "y2": "0"}
    parts = [tag("line", class_="rule", **equal)]
    for index, name in enumerate(names):
        x, y = axis.at(across.y[index]), axis.at(up.y[index])
        if x is None or y is None:
            continue
        at_x, at_y, group = percent(x), HEIGHT * (1 - y), []
        ends = [axis.at(side[index]) if side else None for side in (across.low, across.high)]
        if ends[0] is not None and ends[1] is not None:
            left, right = percent(ends[0]), percent(ends[1])
            group.append(tag("line", class_="whisker main", x1=left, x2=right, y1=at_y, y2=at_y))
        ends = [axis.at(side[index]) if side else None for side in (up.low, up.high)]
        if ends[0] is not None and ends[1] is not None:
            low, high = (HEIGHT * (1 - end) for end in (ends[0], ends[1]))
            group.append(tag("line", class_="whisker main", x1=at_x, x2=at_x, y1=low, y2=high))
        group.append(tag("circle", class_="dot main", cx=at_x, cy=at_y, r=3.5))
        told = f"{name}: {across.name} {number(across.y[index])}, {up.name} {number(up.y[index])}"
        parts.append(tag("g", tag("title", escape(told)), *group))
    ticks = _x_ticks(axis, across.name, HEIGHT)
    return figure(caption, HEIGHT + 40, _y_axis(axis, HEIGHT), ticks, *parts)


def _places(labels: Sequence[str], y: float) -> Markup:
    """Labels of evenly spaced places, thinned so that they don't touch on a phone."""
    widest = max((len(label) for label in labels), default=0) * CHARACTER_PX
    step = every(len(labels), widest)
    shown = [
        ((index + 0.5) / len(labels), label)
        for index, label in enumerate(labels)
        if index % step == 0
    ]
    return x_labels(shown, y, inside=False)


def bars(caption: Caption, labels: Sequence[str], values: Sequence[float]) -> Markup:
    """One bar per place; a value above 0 is never thinner than 1.5 px, so that it is seen."""
    y = Axis.over(values, include=(0.0,)).rounded()
    parts = [
        _bar((i + 0.12) / len(values), 0.76 / len(values), value, y, f"{label}: {number(value)}")
        for i, (label, value) in enumerate(zip(labels, values, strict=True))
    ]
    return figure(caption, HEIGHT + 22, _y_axis(y, HEIGHT), *parts, _places(labels, HEIGHT + 18))


def _bar(left: float, width: float, value: float, y: Axis, title: str) -> Markup:
    at = y.at(value)
    height = 0.0 if at is None else HEIGHT * at
    if value > 0:
        height = max(height, 1.5)
    return tag(
        "rect",
        tag("title", escape(title)),
        class_="bar main",
        x=percent(left),
        width=percent(width),
        y=HEIGHT - height,
        height=height,
    )


def histogram(
    caption: Caption, edges: Sequence[float], counts: Sequence[int], *, x_name: str
) -> Markup:
    """Counts over adjoining bins; where few bins hold anything, each says how much."""
    if len(edges) != len(counts) + 1:
        raise ShouldFixArgument(f"{len(counts)} bins need {len(counts) + 1} edges.")
    filled = [i for i, count in enumerate(counts) if count]
    labelled = _apart(filled, len(counts))
    room = 1.12 if labelled else 1.0
    x, y = Axis.over(edges), Axis.over([room * c for c in counts], include=(0.0,)).rounded()
    parts = []
    for index, count in enumerate(counts):
        left, right = x.at(edges[index]), x.at(edges[index + 1])
        if left is None or right is None:
            continue
        width = right - left
        span = f"{number(edges[index])} to {number(edges[index + 1])}: {count:,}"
        parts.append(_bar(left + 0.06 * width, 0.88 * width, count, y, span))
        if count and labelled:
            share = min(0.999, max(0.001, (left + right) / 2))
            top = HEIGHT - max(1.5, HEIGHT * (y.at(count) or 0.0))
            parts.append(x_labels([(share, f"{count:,}")], max(10.0, top - 5)))
    return figure(caption, HEIGHT + 40, _y_axis(y, HEIGHT), _x_ticks(x, x_name, HEIGHT), *parts)


def _apart(filled: Sequence[int], bins: int) -> bool:
    """Whether counts written above the filled bins keep clear of one another on a phone."""
    room = NARROW_PX / max(1, bins)
    gaps = [b - a for a, b in pairwise(filled)]
    return bool(filled) and len(filled) <= 6 and min(gaps, default=bins) * room >= 48
