"""Budgets per day and cool-downs, at their edges and under clocks that disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints import Constraints, Recent
from rl.constraints.limits import NEVER, UNDECIDED, Limits
from tests.unit.rl.constraints.worlds import DAY, HOUR, KINDS, constrained, limit, raw_limited

NOON = 20_000 * DAY + 12 * HOUR
NAMES = tuple(KINDS)


def taken_away(spec: LoopSpec, made: list[tuple[int, str]], now: int) -> set[str]:
    limits = Limits(spec)
    recent = Recent.of([[(at, spec.action_index[name]) for at, name in made]])
    clock = np.array([now], dtype=np.int64)
    row = limits.exhausted(limits.used(recent, clock), clock)[0]
    alone = limits.spent([(at, spec.action_index[name]) for at, name in made], now)
    np.testing.assert_array_equal(alone, row)
    return {spec.action_ids[i] for i in np.flatnonzero(row)}


BUDGET = constrained([limit("intervention", per_day=2)])
COOLING = constrained([limit("intervention", hours=4)])
STEPPING_IN = {"cheer", "calm"}


def test_a_budget_counts_the_kind_within_the_utc_day() -> None:
    midnight = NOON - 12 * HOUR
    assert taken_away(BUDGET, [(midnight, "cheer")], NOON) == set()
    assert taken_away(BUDGET, [(midnight, "cheer"), (NOON, "calm")], NOON) == STEPPING_IN
    assert taken_away(BUDGET, [(midnight - 1, "cheer"), (NOON, "calm")], NOON) == set()
    assert taken_away(BUDGET, [(NOON, "walk")] * 5, NOON) == set()
    two = [(NOON, "cheer"), (NOON + 1, "calm")]
    assert taken_away(BUDGET, two, midnight + DAY - 1) == STEPPING_IN
    assert taken_away(BUDGET, two, midnight + DAY) == set()


def test_a_cool_down_ends_on_the_microsecond() -> None:
    made = [(NOON, "calm")]
    assert taken_away(COOLING, made, NOON) == STEPPING_IN
    assert taken_away(COOLING, made, NOON + 4 * HOUR - 1) == STEPPING_IN
    assert taken_away(COOLING, made, NOON + 4 * HOUR) == set()
    assert taken_away(COOLING, [(NOON - 9 * HOUR, "cheer"), *made], NOON + HOUR) == STEPPING_IN


def test_kinds_of_one_limit_are_counted_together() -> None:
    spec = constrained([limit("intervention", "suggest_pairing", per_day=1)])
    assert taken_away(spec, [(NOON, "pair")], NOON) == STEPPING_IN | {"pair"}


def test_none_a_day_is_none_ever() -> None:
    spec = constrained([limit("recommend_hive", per_day=0)])
    assert taken_away(spec, [], NOON) == {"walk", "music"}


@pytest.mark.parametrize("ahead", [1, HOUR, 30 * HOUR])
def test_a_decision_dated_ahead_counts_now(ahead: int) -> None:
    assert taken_away(COOLING, [(NOON + ahead, "cheer")], NOON) == STEPPING_IN
    assert taken_away(BUDGET, [(NOON + ahead, "cheer")] * 2, NOON) == STEPPING_IN


def test_a_decision_that_is_not_known_yet_counts_against_every_limit() -> None:
    spec = constrained([limit("intervention", per_day=1), limit("recommend_hive", per_day=2)])
    rules, clock = Limits(spec), np.array([NOON])
    for count, expected in ((1, STEPPING_IN), (2, STEPPING_IN | {"walk", "music"})):
        use = rules.used(Recent.of([[(NOON, UNDECIDED)] * count]), clock)
        row = rules.exhausted(use, clock)[0]
        np.testing.assert_array_equal(rules.spent([(NOON, UNDECIDED)] * count, NOON), row)
        assert {spec.action_ids[i] for i in np.flatnonzero(row)} == expected


def test_only_what_matters_is_asked_for() -> None:
    assert Limits(BUDGET).matters_since(NOON) == NOON - 12 * HOUR
    assert Limits(COOLING).matters_since(NOON) == NOON - 4 * HOUR
    both = constrained([limit("intervention", per_day=2, hours=30)])
    assert Limits(both).matters_since(NOON) == NOON - 30 * HOUR
    assert len(Limits(constrained())) == 0


def test_unknown_use_takes_every_limited_action_away() -> None:
    spec = constrained([limit("intervention", per_day=99), limit("recommend_hive", hours=1)])
    valid = np.ones((1, 6), dtype=np.bool_)
    left = Constraints(spec).allowed(valid, np.zeros((1, 6), dtype=np.float32))
    assert {spec.action_ids[i] for i in np.flatnonzero(left[0])} == {"wait", "pair"}


def test_times_and_actions_must_match() -> None:
    with pytest.raises(ShouldFixArgument, match=r"\(1, 2\).*\(1, 3\)"):
        Recent(np.zeros((1, 2), dtype=np.int64), np.zeros((1, 3), dtype=np.int64))


limits_of = st.lists(
    st.fixed_dictionaries(
        {
            "kinds": st.sets(
                st.sampled_from(["intervention", "recommend_hive", "suggest_pairing"]), min_size=1
            ).map(sorted),
            "per_day": st.integers(0, 3),
            "cooldown_hours": st.one_of(st.none(), st.floats(0.001, 60)),
        }
    ),
    max_size=3,
)
lives = st.lists(
    st.lists(
        st.tuples(st.integers(NOON - 3 * DAY, NOON + HOUR), st.sampled_from(NAMES)), max_size=6
    ),
    min_size=1,
    max_size=5,
)


@given(limits=limits_of, made=lives)
def test_many_people_at_once_are_as_each_alone(
    limits: list[dict[str, Any]], made: list[list[tuple[int, str]]]
) -> None:
    spec = constrained(limits)
    rules = Limits(spec)
    index = spec.action_index
    clock = np.full(len(made), NOON)
    recent = Recent.of([[(at, index[name]) for at, name in life] for life in made])
    together = rules.exhausted(rules.used(recent, clock), clock)
    for row, life in enumerate(made):
        expected = raw_limited(spec, life, NOON)
        assert {spec.action_ids[i] for i in np.flatnonzero(together[row])} == expected
        assert taken_away(spec, life, NOON) == expected
        asked = [(at, name) for at, name in life if at >= rules.matters_since(NOON)]
        assert taken_away(spec, asked, NOON) == expected, "what is asked for is enough"


@given(
    limits=limits_of,
    gaps=st.lists(st.tuples(st.integers(0, DAY), st.sampled_from(NAMES)), max_size=12),
)
def test_use_that_grows_with_each_decision_is_use_of_all_of_them(
    limits: list[dict[str, Any]], gaps: list[tuple[int, str]]
) -> None:
    spec = constrained(limits)
    rules = Limits(spec)
    use, now, made = rules.unused(1), NOON, list[tuple[int, str]]()
    for gap, name in gaps:
        clock = np.array([now + gap], dtype=np.int64)
        now = int(clock[0])
        row = rules.exhausted(use, clock)[0]
        grown = {spec.action_ids[i] for i in np.flatnonzero(row)}
        assert grown == raw_limited(spec, made, now) == taken_away(spec, made, now)
        use = rules.after(use, np.array([spec.action_index[name]]), clock)
        made.append((now, name))
    assert (use.last == NEVER).all() or made
