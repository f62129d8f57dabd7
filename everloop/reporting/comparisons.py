"""Comparisons as inline SVG: forest plot rows, a gauge of parts of a whole, paired shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from everloop.reporting.scales import Axis
from everloop.reporting.svg import Caption, figure, percent, tag, text, x_labels
from everloop.reporting.wording import percent as as_percent


@dataclass(frozen=True, slots=True)
class Whisker:
    """A row of a forest plot: a value with its interval on a shared axis."""

    value: float
    low: float
    high: float
    tone: str = "main"


ROW_HEIGHT = 22
_NARROW_ROW_PX = 200


def forest_axis(rows: Sequence[Whisker], *, include: tuple[float, ...] = ()) -> Axis:
    """The shared axis of a forest plot."""
    values = [v for row in rows for v in (row.value, row.low, row.high)]
    return Axis.over(values, include=include).padded()


def whisker(row: Whisker, axis: Axis, title: str, *, reference: float = math.nan) -> Markup:
    """One row of a forest plot, with a rule at ``reference``; the numbers stand in the table."""
    middle = ROW_HEIGHT / 2
    parts = [tag("title", escape(title))]
    parts.append(tag("line", class_="grid", x1="0", x2="100%", y1=middle, y2=middle))
    rule = axis.at(reference)
    if rule is not None:
        x = percent(rule)
        parts.append(tag("line", class_="rule", x1=x, x2=x, y1="0", y2=ROW_HEIGHT))
    low, high, at = axis.at(row.low), axis.at(row.high), axis.at(row.value)
    if low is not None and high is not None:
        ends: dict[str, str | float] = {"x1": percent(low), "x2": percent(high)}
        ends |= {"y1": middle, "y2": middle}
        parts.append(tag("line", class_=f"whisker {row.tone}", **ends))
    if at is not None:
        parts.append(tag("circle", class_=f"dot {row.tone}", cx=percent(at), cy=middle, r=4.5))
    return tag("svg", *parts, role="img", class_="row", width="100%", height=ROW_HEIGHT)


def forest_ticks(axis: Axis) -> Markup:
    """The axis line under the rows of a forest plot."""
    places = [(axis.at(tick) or 0.0, label) for tick, label in axis.fitting_labels(_NARROW_ROW_PX)]
    marks = [
        tag("line", class_="grid", x1=percent(s), x2=percent(s), y1="0", y2="4") for s, _ in places
    ]
    svg = [*marks, x_labels(places, 16)]
    return tag("svg", *svg, aria_hidden="true", class_="row", width="100%", height=20)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a gauge's whole."""

    name: str
    share: float
    tone: str


def gauge(caption: Caption, segments: Sequence[Segment]) -> Markup:
    """Parts of a whole (0..1) along one bar, each named with its share beneath it."""
    left = 0.0
    parts = [
        tag("rect", class_="bar empty", x="0", y="0", width="100%", height=20, rx=3),
    ]
    for segment in segments:
        share = 0.0 if math.isnan(segment.share) else min(max(segment.share, 0.0), 1.0 - left)
        title = tag("title", escape(f"{segment.name}: {as_percent(segment.share)}"))
        place, width = percent(left), percent(share)
        css = f"bar {segment.tone}"
        parts.append(tag("rect", title, class_=css, x=place, width=width, y="0", height=20))
        left += share
    keys = [
        tag(
            "li",
            tag("i", class_=segment.tone, aria_hidden="true"),
            escape(f" {segment.name} "),
            tag("b", escape(as_percent(segment.share))),
        )
        for segment in segments
    ]
    return Markup("").join(
        [figure(caption, 20, *parts, css="plot flush"), tag("ul", *keys, class_="keys")]
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """Two shares of one thing: how often it was logged, how often the candidate would do it."""

    name: str
    logged: float
    candidate: float


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def pairs(caption: Caption, rows: Sequence[Pair], others: str = "") -> Markup:
    """Two thin bars per row under the row's name, on one scale from 0; ``others`` in words."""
    x = Axis.over([v for row in rows for v in (row.logged, row.candidate)], include=(0.0,))
    pitch, parts = 46, []
    for index, row in enumerate(rows):
        top = index * pitch
        parts.append(text(_short(row.name), class_="label", x="0", y=top + 12))
        texts = " → ".join(as_percent(v) for v in (row.logged, row.candidate))
        parts.append(text(texts, class_="tick end", x="100%", y=top + 12))
        for offset, value, tone in ((18, row.logged, "baseline"), (27, row.candidate, "main")):
            at = x.at(value) or 0.0
            css, y, width = f"bar {tone}", top + offset, percent(at)
            parts.append(tag("rect", class_=css, x="0", y=y, width=width, height=7, rx=1.5))
    keys = [
        tag("li", tag("i", class_=tone, aria_hidden="true"), escape(f" {name}"))
        for name, tone in (("logged", "baseline"), ("candidate", "main"))
    ]
    plot = figure(caption, max(1, len(rows)) * pitch - 8, *parts, css="plot flush")
    note = [tag("p", escape(others), class_="note")] if others else []
    return Markup("").join([plot, *note, tag("ul", *keys, class_="keys")])
