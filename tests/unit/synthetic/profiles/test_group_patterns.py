"""Groups that may be told: the threshold, merging by hand, and what small groups leak."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from everloop.contracts.datasets import Float
from synthetic.profiles import group_patterns as module
from synthetic.profiles.group_patterns import (
    DEVIATIONS,
    group_patterns,
    merged_ranges,
    merged_rest,
    threshold,
)
from synthetic.profiles.marginals import total_bins, variables
from synthetic.profiles.pair_tables import PairLayout
from synthetic.profiles.statistics import ProfileFacts, ProfileStatistics, pair_layout_of
from tests.unit.synthetic.world import LAYOUT, SPEC

FACTS = ProfileFacts("a" * 32, "small", LAYOUT.encoder, 1.0, 0.01, 1e-9, 600, 10.0, "")
BINS = total_bins(LAYOUT)


def counted(counts: Float, deviation: float = 1e-9) -> ProfileStatistics:
    """A release that counts people in bins; ``deviation`` in people."""
    facts = dataclasses.replace(FACTS, deviation=deviation / 600)
    return ProfileStatistics(counts / 600, facts)


def test_the_threshold_leaks_less_than_one_in_a_hundred_thousand() -> None:
    for deviation in (0.1, 3.0, 80.0):
        beyond = (threshold(deviation) - 4.0) / deviation
        assert ndtr(-beyond) <= 1.0002e-5
    assert threshold(0.0) == 4.0


def test_small_groups_pass_as_seldom_as_the_threshold_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At 2 deviations, so that a simulation sees it: cells of four people, alone and when merged."""
    monkeypatch.setattr(module, "DEVIATIONS", 2.0)
    rng = np.random.default_rng(7)
    draws, deviation = 20_000, 3.0
    told = np.zeros(2)
    for _ in range(draws):
        counts = np.array([4.0, 0.0, 0.0]) + deviation * rng.normal(size=3)
        told[0] += any(0 in cells for cells in merged_ranges(counts, deviation))
        told[1] += bool(merged_rest(counts[:1], deviation))
    single = ndtr(-2.0)
    assert told[1] / draws == pytest.approx(single, rel=0.25)
    # merging asks about three nested groups at most
    assert told[0] / draws <= 3.0 * single


def test_ranges_are_merged_by_hand() -> None:
    assert DEVIATIONS == 4.265
    # thresholds of 1, 2, 3 cells with deviation 2: 12.5, 16.1, 18.8
    assert merged_ranges(np.array([13.0, 13.0]), 2.0) == [(0,), (1,)]
    assert merged_ranges(np.array([10.0, 7.0, 13.0]), 2.0) == [(0, 1), (2,)]
    assert merged_ranges(np.array([10.0, 7.0, 3.0]), 2.0) == [(0, 1, 2)]
    assert merged_ranges(np.array([13.0, -9.0]), 2.0) == [(0,)]
    assert merged_ranges(np.array([5.0, 5.0]), 2.0) == []


def test_small_choices_become_a_rest_by_hand() -> None:
    assert merged_rest(np.array([20.0, 9.0, 9.0]), 2.0) == [(0,), (1, 2)]
    assert merged_rest(np.array([20.0, 9.0, 2.0]), 2.0) == [(0,)]
    assert merged_rest(np.array([20.0, 9.0]), 2.0) == [(0,)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 500), min_size=1, max_size=12), st.floats(0.01, 60))
def test_whatever_is_told_passes_and_is_told_once(counts: list[float], deviation: float) -> None:
    cells = np.array(counts)
    for merge in (merged_ranges, merged_rest):
        told = merge(cells, deviation)
        seen = [cell for group in told for cell in group]
        assert len(seen) == len(set(seen))
        for group in told:
            least = threshold(deviation * np.sqrt(len(group)))
            assert cells[list(group)].sum() >= least - 1e-9


def test_groups_are_told_in_words() -> None:
    counts = np.zeros(BINS)
    by_field = {v.block.field: v for v in variables(LAYOUT)}
    pulse, group, hour = (by_field[name] for name in ("pulse", "group", "hour"))
    counts[pulse.start : pulse.start + 3] = [300.0, 2.0, 198.0]
    counts[pulse.part.stop - 1] = 100.0
    counts[group.start : group.start + 3] = [500.0, 3.0, 3.0]
    counts[[hour.start, hour.part.stop - 2]] = 300.0
    told = {(p.fields, p.values): p for p in group_patterns(LAYOUT, counted(counts), SPEC)}
    assert told[("pulse",), ("40 to 54",)].people == pytest.approx(300.0)
    assert (("pulse",), ("54 to 180",)) in told
    assert (("pulse",), ("absent",)) in told
    assert (("hour",), ("0 to 3",)) in told
    assert (("hour",), ("3 to 24",)) in told
    assert (("group",), ("a",)) in told
    assert told[("group",), ("others",)].people == pytest.approx(6.0)
    assert all(0.0 <= p.share <= 1.0 for p in told.values())


def test_noise_alone_tells_nothing() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        told = group_patterns(LAYOUT, counted(30.0 * rng.normal(size=BINS), 30.0), SPEC)
        assert told == ()


def test_pairs_are_told_where_they_were_released() -> None:
    every = variables(LAYOUT)
    names = [v.block.field for v in every]
    i, j = names.index("pulse"), names.index("group")
    group = np.concatenate([np.arange(v.bins) for v in every])
    start = 0
    for v in every:
        group[start : start + v.bins] += start
        start += v.bins
    facts = dataclasses.replace(
        FACTS,
        group=tuple(int(g) for g in group),
        pair_list=((i, j),),
        pair_deviation=1e-9 / 600,
    )
    layout: PairLayout = pair_layout_of(facts, LAYOUT)
    cells = np.zeros(layout.cells)
    cells[1] = 40.0 / 600  # first bin of pulse, group b
    counts = np.full(BINS, 20.0) / 600
    statistics = ProfileStatistics(counts, facts, cells)
    pairs = [p for p in group_patterns(LAYOUT, statistics, SPEC) if len(p.fields) == 2]
    assert [(p.fields, p.values) for p in pairs] == [(("pulse", "group"), ("40 to 54", "b"))]
    assert pairs[0].people == pytest.approx(40.0)
