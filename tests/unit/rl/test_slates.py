"""Plackett-Luce slates against their definition, worked out in fractions of fifty digits."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.loops import load
from rl.slates import SlateEvidence, draw_slate, enough_people, evidence_of, log_propensity

SCORES = st.floats(-30, 30)
EPSILON = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 5e-324, 0.1, 1.0]))


def reference(scores: Sequence[float], picked: Sequence[int], epsilon: float) -> float:
    """The definition, term by term, in decimals."""
    with localcontext() as context:
        context.prec = 60
        left = list(range(len(scores)))
        share = Decimal(epsilon)
        result = Decimal(1)
        for index in picked:
            weights = {i: Decimal(scores[i]).exp() for i in left}
            soft = weights[index] / sum(weights.values())
            result *= (1 - share) * soft + share / len(left)
            left.remove(index)
        return float(result)


@given(st.lists(SCORES, min_size=1, max_size=5), EPSILON, st.data())
@settings(deadline=None, max_examples=60)
def test_every_order_has_the_probability_of_the_definition(
    scores: list[float], epsilon: float, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(scores)))
    array = np.array(scores)
    for picked in itertools.permutations(range(len(scores)), size):
        expected = reference(scores, picked, epsilon)
        found = math.exp(log_propensity(array, picked, epsilon))
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(st.lists(SCORES, min_size=1, max_size=6), EPSILON, st.data())
@settings(deadline=None, max_examples=60)
def test_all_ordered_slates_together_are_certain(
    scores: list[float], epsilon: float, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, min(4, len(scores))))
    every = itertools.permutations(range(len(scores)), size)
    total = math.fsum(math.exp(log_propensity(np.array(scores), p, epsilon)) for p in every)
    assert total == pytest.approx(1.0, abs=1e-12)


@given(st.lists(SCORES, min_size=2, max_size=40), EPSILON, st.data())
@settings(deadline=None)
def test_permuting_the_candidates_permutes_the_law(
    scores: list[float], epsilon: float, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(scores))))
    size = data.draw(st.integers(1, min(20, len(scores))))
    picked = data.draw(st.permutations(range(len(scores))))[:size]
    shuffled = np.array(scores)[order]
    moved = [order.index(index) for index in picked]
    assert log_propensity(shuffled, moved, epsilon) == pytest.approx(
        log_propensity(np.array(scores), picked, epsilon), rel=1e-12, abs=1e-12
    )


@given(
    st.lists(st.floats(-700, 700), min_size=1, max_size=200),
    EPSILON,
    st.integers(0, 2**32 - 1),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_a_draw_is_a_slate_with_its_own_probability(
    scores: list[float], epsilon: float, seed: int, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, min(20, len(scores))))
    source = random.Random(seed)
    array = np.array(scores)
    drawn = draw_slate(array, [source.random() for _ in range(size)], epsilon)
    assert len(set(drawn.picked)) == size
    assert set(drawn.picked) <= set(range(len(scores)))
    assert drawn.log_propensity == log_propensity(array, drawn.picked, epsilon)
    assert math.isfinite(drawn.log_propensity)
    assert 0.0 <= drawn.propensity <= 1.0
    kept = evidence_of(array, drawn.picked, epsilon)
    assert kept.log_propensity == pytest.approx(drawn.log_propensity, rel=1e-12, abs=1e-12)


def test_two_hundred_candidates_who_score_alike_are_drawn_uniformly() -> None:
    drawn = draw_slate(np.zeros(200), [0.0] * 20, 0.1)
    assert drawn.picked == tuple(range(20))
    expected = -math.fsum(math.log(200 - i) for i in range(20))
    assert drawn.log_propensity == pytest.approx(expected, rel=1e-14)


def test_uniform_numbers_pick_along_the_cumulated_shares() -> None:
    scores = np.log([0.5, 0.3, 0.2])
    # the first position's edges are .5, .8 and 1; without candidate 1 they are 5/7 and 1
    assert draw_slate(scores, [0.79, 0.72], 0.0).picked == (1, 2)
    assert draw_slate(scores, [0.49], 0.0).picked == (0,)
    assert draw_slate(scores, [0.81, 0.62], 0.0).picked == (2, 0)


def test_draws_come_as_often_as_they_say() -> None:
    scores, epsilon, rounds = np.array([1.0, 0.0, -0.5, 2.0]), 0.2, 20_000
    source = random.Random(5)
    counted = Counter(
        draw_slate(scores, (source.random(), source.random()), epsilon).picked
        for _ in range(rounds)
    )
    # chi-squared over the 12 ordered pairs; 31.3 is exceeded once in a thousand
    distance = 0.0
    for picked in itertools.permutations(range(4), 2):
        expected = rounds * math.exp(log_propensity(scores, picked, epsilon))
        distance += (counted[picked] - expected) ** 2 / expected
    assert distance < 31.3


def test_those_left_are_compared_with_one_another_however_low_they_score() -> None:
    scores = np.array([5000.0, 1.0, 0.0, -5000.0])
    pair = log_propensity(scores, (0, 1), 0.0)
    assert math.exp(pair) == pytest.approx(math.e / (math.e + 1.0), rel=1e-12)
    assert log_propensity(scores, (3,), 0.0) == pytest.approx(-10000.0, rel=1e-12)
    assert draw_slate(scores, [1.0 - 2**-53, 1.0 - 2**-53], 0.0).picked == (0, 2)
    assert math.exp(log_propensity(scores, (3,), 0.1)) == pytest.approx(0.025, rel=1e-12)


def test_complete_exploration_ignores_the_scores_and_none_is_pure_plackett_luce() -> None:
    scores = np.array([3.0, -1.0, 0.5])
    assert math.exp(log_propensity(scores, (1, 0), 1.0)) == pytest.approx(1 / 6, rel=1e-14)
    weights = np.exp(scores)
    expected = weights[1] / weights.sum() * weights[0] / (weights[0] + weights[2])
    assert math.exp(log_propensity(scores, (1, 0), 0.0)) == pytest.approx(expected, rel=1e-14)


@given(
    st.lists(st.floats(-300, 300), min_size=1, max_size=60),
    st.one_of(st.just(0.0), st.floats(1e-6, 1)),
    st.data(),
)
@settings(deadline=None)
def test_the_evidence_alone_recomputes_the_propensity(
    scores: list[float], epsilon: float, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, min(20, len(scores))))
    picked = data.draw(st.permutations(range(len(scores))))[:size]
    kept = evidence_of(np.array(scores), picked, epsilon)
    assert len(kept.scores) == size
    assert (kept.rest is None) == (size == len(scores))
    assert kept.log_propensity == pytest.approx(
        log_propensity(np.array(scores), picked, epsilon), rel=1e-11, abs=1e-11
    )


@pytest.mark.parametrize(
    ("scores", "picked", "epsilon", "problem"),
    [
        ([0.0], (0, 0), 0.1, "2 people cannot be made of 1"),
        ([0.0, 1.0], (), 0.1, "0 people cannot"),
        ([0.0, 1.0], (2,), 0.1, "candidate 2"),
        ([0.0, 1.0], (-1,), 0.1, "candidate -1"),
        ([0.0, 1.0], (1, 1), 0.1, "candidate 1, who is not among those left"),
        ([0.0, math.nan], (0,), 0.1, "finite"),
        ([0.0, math.inf], (0,), 0.1, "finite"),
        ([[0.0, 1.0]], (0,), 0.1, "shape"),
        ([0.0, 1.0], (0,), 1.1, "epsilon=1.1"),
        ([0.0, 1.0], (0,), math.nan, "epsilon=nan"),
    ],
)
def test_what_is_no_slate_is_refused(
    scores: list[float], picked: tuple[int, ...], epsilon: float, problem: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=problem):
        log_propensity(np.array(scores), picked, epsilon)


@pytest.mark.parametrize("uniform", [1.0, -0.1, math.nan])
def test_a_number_that_is_not_uniform_draws_nothing(uniform: float) -> None:
    with pytest.raises(ShouldFixArgument, match="outside"):
        draw_slate(np.zeros(3), [uniform], 0.1)
    with pytest.raises(ShouldFixArgument, match="4 people cannot be made of 3"):
        draw_slate(np.zeros(3), [0.1] * 4, 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": ()},
        {"scores": (math.nan, 0.0)},
        {"rest": None},
        {"rest": math.inf},
        {"candidates": 1},
        {"candidates": 2},
        {"epsilon": -0.1},
    ],
)
def test_evidence_that_belongs_to_no_slate_is_refused(wrong: dict[str, object]) -> None:
    sound: dict[str, object] = {
        "scores": (0.5, 0.0),
        "rest": 1.0,
        "candidates": 3,
        "epsilon": 0.1,
    }
    SlateEvidence(**sound)  # type: ignore[arg-type]
    with pytest.raises(ShouldFixArgument, match="belongs to no slate"):
        SlateEvidence(**{**sound, **wrong})  # type: ignore[arg-type]


def test_a_pairing_needs_as_many_candidates_as_people() -> None:
    spec = load("companion")
    masked = {
        count: {
            a for a, ok in zip(spec.action_ids, enough_people(spec, count), strict=True) if not ok
        }
        for count in range(5)
    }
    assert masked[0] == {"pair-one", "pair-three"}
    assert masked[1] == masked[2] == {"pair-three"}
    assert masked[3] == masked[4] == set()
