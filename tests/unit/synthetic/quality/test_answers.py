"""What a check says of an interval: beyond the threshold, within it, or on both sides of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Estimate, GroupValue
from synthetic.quality import answers
from synthetic.quality.clusters import diversity
from synthetic.quality.resampling import Resampler, nothing
from synthetic.quality.transfer import Transfer

PASSED, FAILED, INSUFFICIENT = (
    CheckStatus.PASSED,
    CheckStatus.FAILED,
    CheckStatus.INSUFFICIENT,
)


def figure(low: float, value: float, high: float) -> Estimate:
    return Estimate("figure", value, low, high, 0.95, 80, 40, "bootstrap")


def transfer(share: Estimate, least: float) -> Check:
    return answers.transfer(Transfer(figure(0.6, 0.7, 0.8), figure(0.6, 0.7, 0.8), share), least)


def group(found: Estimate, most: float) -> Check:
    (check,) = answers.groups((named("a", found),), most)
    return check


def named(label: str, found: Estimate) -> GroupValue:
    estimate = Estimate(
        "distribution_distance", found.value, found.low, found.high, 0.95, 80, 40, ""
    )
    return GroupValue("age", label, 40, estimate)


@pytest.mark.parametrize("asked", [answers.distance, answers.two_sample, group])
@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((0.1, 0.3, 0.5), PASSED),
        ((0.1, 0.4, 0.51), INSUFFICIENT),
        ((0.49, 0.6, 0.7), INSUFFICIENT),
        ((0.5, 0.6, 0.7), INSUFFICIENT),
        ((0.51, 0.6, 0.7), FAILED),
        ((math.nan, 0.3, math.nan), INSUFFICIENT),
    ],
)
def test_at_most_by_the_whole_interval(
    asked: Callable[[Estimate, float], Check],
    interval: tuple[float, float, float],
    status: CheckStatus,
) -> None:
    assert asked(figure(*interval), 0.5).status is status


@pytest.mark.parametrize("asked", [answers.diversity, answers.least_diverse, transfer])
@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((0.5, 0.6, 0.7), PASSED),
        ((0.49, 0.6, 0.7), INSUFFICIENT),
        ((0.3, 0.4, 0.51), INSUFFICIENT),
        ((0.3, 0.4, 0.49), FAILED),
        ((math.nan, 0.6, math.nan), INSUFFICIENT),
    ],
)
def test_at_least_by_the_whole_interval(
    asked: Callable[[Estimate, float], Check],
    interval: tuple[float, float, float],
    status: CheckStatus,
) -> None:
    assert asked(figure(*interval), 0.5).status is status


def test_an_interval_on_both_sides_says_so() -> None:
    found = answers.distance(figure(0.4, 0.45, 0.55), 0.5)
    assert "[0.400, 0.550] is on both sides" in found.reason
    assert "40 people are too few" in found.reason


def test_the_group_that_may_be_farthest_decides() -> None:
    sure, unsure = named("many", figure(0.4, 0.41, 0.42)), named("few", figure(0.1, 0.3, 0.6))
    (check,) = answers.groups((sure, unsure), 0.5)
    assert check.status is INSUFFICIENT
    assert "age few" in check.reason
    broken = named("lost", figure(0.55, 0.56, 0.57))
    (check,) = answers.groups((unsure, broken), 0.5)
    assert check.status is FAILED
    assert "age lost" in check.reason
    assert answers.groups((), 0.5) == ()


def test_contexts_without_variety_of_their_own_pose_no_question_of_diversity() -> None:
    """A yes-or-no context has two kinds of people, each a cluster of equal rows."""
    rng = np.random.default_rng(7)
    real, made = (np.eye(2)[rng.integers(0, 2, 300)] for _ in range(2))
    by = Resampler(np.arange(300))
    whole, least = diversity(made, np.ones(300), real, by, rng)
    for check in (answers.diversity(whole, 0.5), answers.least_diverse(least, 0.4)):
        assert check.status is PASSED
        assert check.value is None
        assert "does not apply" in check.reason


def test_rounding_is_no_variety() -> None:
    """People of three rows each count a third per row; sums of thirds are no variance."""
    rng = np.random.default_rng(8)
    kinds = 0.1 * np.eye(3)
    person = np.repeat(np.arange(200), 3)
    real, made = kinds[rng.integers(0, 3, 600)], kinds[rng.integers(0, 3, 300)]
    whole, _ = diversity(made, np.ones(300), real, Resampler(person), rng)
    assert answers.diversity(whole, 0.5).reason.count("does not apply") == 1


def test_nothing_to_compare_with_is_still_no_pass() -> None:
    for asked in (answers.distance, answers.diversity, answers.least_diverse, answers.two_sample):
        check = asked(nothing("figure"), 0.5)
        assert check.status is INSUFFICIENT
        assert "could not be measured" in check.reason
