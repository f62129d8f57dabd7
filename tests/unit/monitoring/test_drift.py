"""Histograms of contexts and distances between them."""

from __future__ import annotations

import csv
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import EncodedBlock, EncodedEpisodes, EncodingLayout
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.monitoring import FieldCounts, FieldKind, InputHistograms
from everloop.monitoring.drift import compare, divergence, input_histograms, largest_difference
from everloop.monitoring.google.marginals import MOST_ROWS, table

DAY = date(2026, 3, 28)
COUNTS = st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(any)


def test_divergence_of_disjoint_histograms_is_one() -> None:
    assert divergence((5, 0), (0, 9)) == pytest.approx(1.0)


def test_divergence_by_hand() -> None:
    """(1, 0) and (.5, .5): H(.75, .25) - (0 + 1) / 2 = .811278 - .5."""
    assert divergence((3, 0), (4, 4)) == pytest.approx(0.311278, abs=1e-6)


def test_largest_difference_by_hand() -> None:
    assert largest_difference((1, 1, 2), (3, 1, 0)) == pytest.approx(0.5)


@given(COUNTS, st.integers(1, 9))
def test_the_same_shares_are_no_drift(counts: list[int], factor: int) -> None:
    assert divergence(counts, [factor * n for n in counts]) == pytest.approx(0.0, abs=1e-9)
    assert largest_difference(counts, [factor * n for n in counts]) == pytest.approx(0.0, abs=1e-9)


@given(st.data())
def test_distances_are_symmetric_and_at_most_one(data: st.DataObject) -> None:
    first = data.draw(COUNTS)
    size = len(first)
    second = data.draw(st.lists(st.integers(0, 50), min_size=size, max_size=size).filter(any))
    for distance in (divergence, largest_difference):
        there, back = distance(first, second), distance(second, first)
        assert there == pytest.approx(back, abs=1e-12)
        assert 0.0 <= there <= 1.0 + 1e-12


LAYOUT = EncodingLayout(
    "e",
    8,
    (
        EncodedBlock("age", "number", 0, 1),
        EncodedBlock("age", "missing", 1, 1),
        EncodedBlock("mood", "category", 2, 2),
        EncodedBlock("hour", "cycle", 4, 2),
        EncodedBlock("taste", "vector", 6, 2),
    ),
)


def episodes(context: list[list[float]]) -> EncodedEpisodes:
    n = len(context)
    return EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)]),
        person=np.zeros(n, dtype=np.int64),
        people=np.array(["p"]),
        context=np.array(context, dtype=np.float32),
        interacting=np.zeros(8, dtype=np.bool_),
        action=np.zeros(n, dtype=np.int64),
        mask=np.ones((n, 1), dtype=np.bool_),
        propensity=np.ones(n),
        reward=np.zeros(n),
        signals=np.zeros((n, 1)),
        holdout=np.zeros(n, dtype=np.bool_),
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64),
        encoder="e",
    )


def test_contexts_are_counted_field_by_field() -> None:
    log = episodes(
        [
            [-1.0, 0, 1, 0, 0, 1, 0.95, 0.0],
            [0.05, 0, 0, 1, 1, 0, 1.0, 0.0],
            [0.05, 1, 0, 0, 0, -1, -1.0, 0.0],
            [0.9, 0, 1, 0, 0, 1, 0.0, 0.0],
        ]
    )
    rows = np.array([True, True, True, False])
    found = input_histograms(log, LAYOUT, rows, "m", (DAY, DAY), "loop")
    by_name = {each.field: each for each in found.fields}
    assert found.episodes == 3
    assert by_name["age"].counts == (1, 0, 0, 0, 0, 2, 0, 0, 0, 0)
    assert by_name["age absent"].counts == (2, 1)
    assert by_name["mood"].counts == (1, 1, 1)
    assert by_name["hour"].counts[7] == 1  # a quarter of the circle: .5 of pi
    assert sum(by_name["hour"].counts) == 3
    assert by_name["taste 0"].counts[0] == 1
    assert by_name["taste 0"].counts[9] == 2


def test_only_fields_with_the_same_values_are_compared() -> None:
    before = histograms((FieldCounts("a", FieldKind.CATEGORY, ("x",), (300,)),))
    after = histograms(
        (
            FieldCounts("a", FieldKind.CATEGORY, ("x", "y"), (300, 1)),
            FieldCounts("b", FieldKind.CATEGORY, ("x",), (300,)),
        )
    )
    assert compare(before, after).fields == ()


def histograms(fields: tuple[FieldCounts, ...]) -> InputHistograms:
    return InputHistograms("loop", "default", "m", DAY, DAY, 300, fields)


@given(COUNTS, COUNTS)
def test_a_table_keeps_every_margin_and_no_row(first: list[int], second: list[int]) -> None:
    fields = (
        FieldCounts("a", FieldKind.CATEGORY, tuple(map(str, range(len(first)))), tuple(first)),
        FieldCounts("b c", FieldKind.NUMBER, tuple(map(str, range(len(second)))), tuple(second)),
    )
    header, *rows = csv.reader(table(histograms(fields)).decode().splitlines())
    assert header == ["a", "b_c"]
    longest = max(sum(first), sum(second))
    assert len(rows) == longest
    for column, counts in enumerate((first, second)):
        values = [row[column].removeprefix("v") for row in rows]
        assert values == sorted(values, key=int)  # laid out by value: no row is anybody's
        for value, count in enumerate(counts):
            assert abs(values.count(str(value)) - count * longest / sum(counts)) < 1.0


def test_a_long_table_is_cut_to_proportions() -> None:
    fields = (FieldCounts("a", FieldKind.CATEGORY, ("x", "y"), (900_000, 300_000)),)
    rows = table(histograms(fields)).decode().splitlines()[1:]
    assert (len(rows), rows.count("vx")) == (MOST_ROWS, 7_500)


@pytest.mark.parametrize(("values", "counts"), [((), ()), (("a",), (1, 2)), (("a", "b"), (1, -1))])
def test_counts_that_are_none_are_refused(values: tuple[str, ...], counts: tuple[int, ...]) -> None:
    with pytest.raises(ShouldFixArgument):
        FieldCounts("f", FieldKind.CATEGORY, values, counts)
