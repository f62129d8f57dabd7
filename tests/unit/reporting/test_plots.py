from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.reporting.comparisons import (
    Pair,
    Segment,
    Whisker,
    forest_axis,
    forest_ticks,
    gauge,
    pairs,
    whisker,
)
from everloop.reporting.plots import Series, bars, histogram, line, whiskers
from everloop.reporting.scales import CHARACTER_PX, NARROW_PX, Axis, compact, every
from everloop.reporting.svg import Caption

CAPTION = Caption("plot-x", "A title", "What it shows.")
anything = st.floats(allow_nan=True, allow_infinity=True)
values = st.lists(anything, min_size=1, max_size=40)


class Drawing(HTMLParser):
    """Collects every coordinate, every text with its place, and titles."""

    COORDINATES = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "rx")

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.numbers: list[float] = []
        self.texts: list[tuple[dict[str, str], str]] = []
        self.paths: list[str] = []
        self.titles: list[str] = []
        self._stack: list[tuple[str, dict[str, str]]] = []
        self.feed(markup)
        self.close()
        assert not self._stack, "unbalanced tags"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = {k: v or "" for k, v in attrs}
        self._stack.append((tag, given_))
        for name in self.COORDINATES:
            if name in given_:
                self.numbers.append(float(given_[name].rstrip("%")))
        if "d" in given_:
            self.paths.append(given_["d"])
            self.numbers += [
                float(n)
                for n in re.findall(r"[-\w.+]+", given_["d"].translate({77: 32, 76: 32, 90: 32}))
            ]

    def handle_endtag(self, tag: str) -> None:
        assert self._stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._stack and self._stack[-1][0] == "text":
            self.texts.append((self._stack[-1][1], data))
        if self._stack and self._stack[-1][0] == "title":
            self.titles.append(data)

    def finite(self) -> bool:
        return all(math.isfinite(n) and abs(n) < 1e5 for n in self.numbers)


@given(values, st.lists(anything, max_size=3))
def test_an_axis_is_finite_and_holds_its_values(points: list[float], extra: list[float]) -> None:
    axis = Axis.over(points, include=tuple(extra))
    assert math.isfinite(axis.low)
    assert math.isfinite(axis.high)
    assert axis.low < axis.high
    for wide in (axis, axis.rounded(), axis.padded()):
        for point in points:
            at = wide.at(point)
            assert (at is None) == math.isnan(point)
            assert at is None or 0.0 <= at <= 1.0
        ticks = wide.ticks()
        assert len(ticks) <= 7
        assert all(math.isfinite(tick) for tick in ticks)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20, unique=True))
def test_positions_keep_the_order_of_values(points: list[float]) -> None:
    axis = Axis.over(points).rounded()
    places = [axis.at(p) for p in sorted(points)]
    assert places == sorted(p for p in places if p is not None)


def test_positions_and_ticks_by_hand() -> None:
    axis = Axis.over([0.1, 0.37])
    assert axis.at(0.1) == 0.0
    assert axis.at(0.37) == 1.0
    assert axis.at(0.235) == pytest.approx(0.5)
    assert (axis.rounded().low, axis.rounded().high) == pytest.approx((0.1, 0.4))
    assert [text for _, text in axis.rounded().labels()] == ["0.1", "0.2", "0.3", "0.4"]
    assert Axis.over([0.0, 0.0]) == Axis(0.0, 1.0)
    assert Axis.over([]) == Axis(0.0, 1.0)
    assert Axis.over([5.0]) == Axis(4.5, 5.5)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.05, 0.05, "0.05"),
        (-0.5, 0.5, "\N{MINUS SIGN}0.5"),
        (1500.0, 500.0, "1,500"),
        (60_000.0, 20_000.0, "60k"),
        (12_500.0, 500.0, "12.5k"),
        (1_200_000.0, 200_000.0, "1.2M"),
        (0.0, 20_000.0, "0"),
    ],
)
def test_tick_texts(value: float, step: float, text: str) -> None:
    assert compact(value, step) == text


@given(values)
def test_no_plot_has_a_coordinate_that_is_not_a_number(points: list[float]) -> None:
    x = [float(i) for i in range(len(points))]
    low, high = [p - 1 for p in points], [p + 1 for p in points]
    labels = [f"day {i}" for i in range(len(points))]
    series = Series("s", x, points, low, high)
    marks = [Whisker(p, a, b) for p, a, b in zip(points, low, high, strict=True)]
    axis = forest_axis(marks, include=(points[0],))
    shares = [abs(p) % 1.0 if math.isfinite(p) else p for p in points]
    drawings = [
        line(CAPTION, series, x_name="steps", zero=True),
        line(CAPTION, Series("s", points, x), x_name="steps"),
        whiskers(CAPTION, labels, series),
        whiskers(CAPTION, labels, Series("s", x, points)),
        bars(CAPTION, labels, points),
        gauge(
            CAPTION, [Segment(label, s, "main") for label, s in zip(labels, shares, strict=True)]
        ),
        pairs(CAPTION, [Pair(label, p, p) for label, p in zip(labels, points, strict=True)]),
        forest_ticks(axis),
        *(whisker(mark, axis, "t", reference=points[0]) for mark in marks),
    ]
    for markup in drawings:
        drawing = Drawing(markup)
        assert drawing.finite()
        assert "nan" not in " ".join(drawing.paths)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.floats(1e-6, 1e6))
def test_histograms_are_finite(counts: list[int], width: float) -> None:
    edges = [i * width for i in range(len(counts) + 1)]
    assert Drawing(histogram(CAPTION, edges, counts, x_name="reward")).finite()


def test_a_gap_breaks_the_curve() -> None:
    nan = math.nan
    series = Series("s", [0, 1, 2, 3, 4], [1, 2, nan, 2, 1])
    drawing = Drawing(line(CAPTION, series, x_name="x"))
    assert len(drawing.paths) == 2
    assert drawing.paths == ["M0 1000L250 0", "M750 0L1000 1000"]


def test_a_band_runs_along_the_upper_and_back_along_the_lower_bound() -> None:
    series = Series("s", [0, 1], [0.5, 0.5], [0, 0], [1, 1])
    band, _ = Drawing(line(CAPTION, series, x_name="x")).paths
    assert band == "M0 0L1000 0L1000 1000L0 1000Z"


def test_bar_heights_by_hand_and_rare_counts_are_visible() -> None:
    markup = bars(CAPTION, ["a", "b", "c"], [10_000, 5_000, 1])
    heights = [float(h) for h in re.findall(r'class="bar main"[^>]* height="([\d.]+)"', markup)]
    assert heights == [176, 88, 1.5]
    assert Drawing(markup).titles[1:] == ["a: 10,000", "b: 5,000", "c: 1"]


def test_few_filled_bins_say_their_counts() -> None:
    counts = [0] * 10 + [9962] + [0] * 8 + [38]
    edges = [round(-1 + 0.1 * i, 1) for i in range(21)]
    texts = [t for _, t in Drawing(histogram(CAPTION, edges, counts, x_name="reward")).texts]
    assert "9,962" in texts
    assert "38" in texts
    close = Drawing(histogram(CAPTION, edges, [0] * 9 + [5, 7] + [0] * 9, x_name="reward"))
    assert "7" not in [t for _, t in close.texts]


def test_whiskers_by_hand() -> None:
    axis = Axis(0.0, 1.0)
    markup = whisker(Whisker(0.5, 0.25, 0.75), axis, "t", reference=0.0)
    assert 'class="whisker main" x1="25%" x2="75%"' in markup
    assert 'class="dot main" cx="50%"' in markup
    assert 'class="rule" x1="0%"' in markup
    assert "rule" not in whisker(Whisker(0.5, 0.25, 0.75), axis, "t")
    assert "dot" not in whisker(Whisker(math.nan, math.nan, math.nan), axis, "t")


def test_a_gauge_never_runs_over() -> None:
    markup = gauge(CAPTION, [Segment("a", 0.7, "baseline"), Segment("b", 0.7, "main")])
    assert re.findall(r'class="bar (?:baseline|main)" x="(\S+)" width="(\S+)"', markup) == [
        ("0%", "70%"),
        ("70%", "30%"),
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 28, 90, 365])
def test_labels_keep_apart_on_a_phone(count: int) -> None:
    markup = bars(CAPTION, ["28 Nov"] * count, [1.0] * count)
    extents = []
    for attributes, text in Drawing(markup).texts:
        if "%" not in attributes["x"]:
            continue
        x = float(attributes["x"].rstrip("%")) / 100 * NARROW_PX
        width = CHARACTER_PX * len(text)
        left = {"start": x, "middle": x - width / 2, "end": x - width}
        extents.append((left[attributes["class"].split()[1]], width))
    extents.sort()
    assert extents
    for (start, width), (following, _) in pairwise(extents):
        assert start + width < following


def test_labels_thin_out() -> None:
    assert every(1, 40) == 1
    assert every(4, 40) == 1
    assert every(28, 40) == 7


def test_hostile_names_are_escaped_everywhere() -> None:
    bad = "<script>alert('x')</script>\"&"
    caption = Caption("plot-x", bad, bad)
    series = Series(bad, [0.0, 1.0], [0.0, 1.0])
    drawings = [
        line(caption, series, x_name=bad),
        whiskers(caption, [bad, bad], series),
        bars(caption, [bad, bad], [1, 2]),
        histogram(caption, [0, 1, 2], [3, 4], x_name=bad),
        gauge(caption, [Segment(bad, 0.5, "main")]),
        pairs(caption, [Pair(bad, 0.5, 0.5)], others=bad),
        whisker(Whisker(1, 0, 2), Axis(0, 2), bad),
    ]
    for markup in drawings:
        assert "<script" not in markup
        Drawing(markup)


def test_every_plot_has_a_title_and_a_description() -> None:
    markup = bars(CAPTION, ["a"], [1.0])
    assert '<title id="plot-x-title">A title</title>' in markup
    assert '<desc id="plot-x-desc">What it shows.</desc>' in markup
    assert 'aria-labelledby="plot-x-title plot-x-desc"' in markup
    assert 'role="img"' in markup


def test_long_names_are_cut_visibly() -> None:
    assert "…" in pairs(CAPTION, [Pair("a" * 60, 0.1, 0.2)])


def test_lengths_must_agree() -> None:
    with pytest.raises(ShouldFixArgument, match="3 values of low for 2 of x"):
        Series("s", [0, 1], [0, 1], [0, 1, 2])
    with pytest.raises(ShouldFixArgument, match="1 values of y"):
        Series("s", [0, 1], [0])
    with pytest.raises(ShouldFixArgument, match="2 bins need 3 edges"):
        histogram(CAPTION, [0, 1], [1, 2], x_name="x")
