"""The stratified effect: by hand, against gbstats, under drift, and what looks and covariates do to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gbstats.models.statistics import RatioStatistic, SampleMeanStatistic

from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.experiment.effect import Effect, effect_at, tuning_for
from everloop.rollout.experiment.moments import Moments, moments_of
from everloop.rollout.experiment.strata import Cells
from tests.unit.rollout.experiment.made import cells

ROWS = [(0, 0, True, 2.0, 2.0), (1, 0, False, 1.0, 0.0), (2, 0, False, 1.0, 1.0)]


def turned(found: Cells) -> Cells:
    return Cells(
        found.person,
        found.stratum,
        ~found.candidate,
        found.count,
        found.total,
        found.people,
        found.strata,
    )


def trial(seed: int, effect: float, shares: tuple[float, ...], slope: float = 0.0) -> Cells:
    """300 people, one to three decisions a day; ``slope``: by how much a day's mean is above the last's."""
    rng = np.random.default_rng(seed)
    people, days = 300, len(shares)
    met = rng.random(people)[:, None] < np.array(shares)
    count = rng.integers(1, 4, (people, days)).astype(np.float64)
    own = rng.normal(0.0, 0.2, people)[:, None]
    mean = 0.3 + slope * np.arange(days) + effect * met + own
    total = count * mean + np.sqrt(count) * rng.normal(0.0, 0.3, (people, days))
    person, day = np.nonzero(count)
    return Cells(
        person, day, met[person, day], count[person, day], total[person, day], people, days
    )


def pooled_z(found: Cells) -> float:
    """Of the plain difference between all decisions of each arm, clustered by person and arm."""
    means, variance = [], 0.0
    for arm in (False, True):
        rows = found.candidate == arm
        n, total = found.count[rows].sum(), found.total[rows].sum()
        residual = found.total[rows] - total / n * found.count[rows]
        variance += float((np.bincount(found.person[rows], residual) ** 2).sum()) / n**2
        means.append(total / n)
    return float((means[1] - means[0]) / math.sqrt(variance))


def test_one_stratum_by_hand() -> None:
    """Candidate mean 1, control mean .5; residuals about them 0, -.5 and .5; V = (.25 + .25) / 4."""
    found = effect_at(moments_of(cells(ROWS, 3, 1)))
    assert found.value == pytest.approx(0.5)
    assert found.score_variance == pytest.approx(0.125)
    assert found.standard_error == pytest.approx(math.sqrt(0.125))
    assert found.spread == pytest.approx(0.125)
    assert found.control == pytest.approx(0.5)
    assert found.decisions == (2, 2)
    assert math.isnan(found.reduction)


def test_the_interval_is_the_lines_reach_on_both_sides() -> None:
    found = effect_at(moments_of(cells(ROWS, 3, 1)))
    half = float(reach(0.125, tuning_for(0.125, 0.2, 0.05), 0.05))
    assert found.interval(0.05, 0.2) == pytest.approx((0.5 - half, 0.5 + half))
    assert tuning_for(0.125, 0.2, 0.05) == pytest.approx(tuned_to((4 * 0.125 / 0.2) ** 2, 0.05))


def test_two_strata_weigh_by_how_their_decisions_fall_to_arms() -> None:
    """Effects .5 and 1 with h 1 and .75 (three of four decisions the control's); people come once."""
    rows = [*ROWS, (3, 1, True, 1.0, 1.0), *((p, 1, False, 1.0, 0.0) for p in (4, 5, 6))]
    found = effect_at(moments_of(cells(rows, 7, 2)))
    assert found.value == pytest.approx((1.0 * 0.5 + 0.75 * 1.0) / 1.75)
    assert found.weight == pytest.approx(1.75)


def test_turning_the_arms_round_turns_the_effect_round() -> None:
    found = trial(11, 0.1, (0.3, 0.3))
    there, back = effect_at(moments_of(found)), effect_at(moments_of(turned(found)))
    assert there.value > 0
    assert back.value == pytest.approx(-there.value)
    assert back.score_variance == pytest.approx(there.score_variance)


def test_a_candidate_compared_with_itself_has_no_effect() -> None:
    rows = [(p, 0, p % 2 == 1, 2.0, float(p // 2)) for p in range(20)]
    found = effect_at(moments_of(cells(rows, 20, 1)))
    assert found.value == pytest.approx(0.0, abs=1e-12)
    low, high = found.interval(0.05, 0.1)
    assert low == pytest.approx(-high)
    assert low < 0 < high


def test_one_stratum_is_gbstats_ratio_of_sums() -> None:
    found = trial(12, 0.1, (0.4,))
    ours = moments_of(found)
    arms = []
    for met in (False, True):
        y, n = found.total[found.candidate == met], found.count[found.candidate == met]
        arms.append(
            RatioStatistic(
                len(y),
                SampleMeanStatistic(len(y), y.sum(), (y**2).sum()),
                SampleMeanStatistic(len(n), n.sum(), (n**2).sum()),
                float((y * n).sum()),
            )
        )
    effect = effect_at(ours)
    assert effect.value == pytest.approx(arms[1].mean - arms[0].mean, rel=1e-9)
    error = math.sqrt(sum(arm.variance / arm.n for arm in arms))
    assert effect.standard_error == pytest.approx(error, rel=0.06)


def test_pooling_promotes_an_equal_candidate_under_drift_and_strata_do_not() -> None:
    ramp = (0.05, 0.05, 0.25, 0.5, 0.9, 0.9)
    pooled, ours = 0, 0
    for seed in range(20, 50):
        found = trial(seed, 0.0, ramp, slope=0.1)
        pooled += pooled_z(found) > 1.96
        moments = moments_of(found)
        ours += any(effect_at(moments, day).interval(0.05, 0.03)[0] > 0 for day in range(1, 7))
    assert pooled == 30
    assert ours <= 1


def test_an_effect_is_found_under_the_same_drift() -> None:
    ramp = (0.05, 0.05, 0.25, 0.5, 0.9, 0.9)
    better = effect_at(moments_of(trial(51, 0.15, ramp, slope=0.1))).interval(0.05, 0.03)
    worse = effect_at(moments_of(trial(51, -0.15, ramp, slope=0.1))).interval(0.05, 0.03)
    assert better[0] > 0
    assert worse[1] < 0


def test_people_who_come_back_are_no_new_people() -> None:
    """Ten days of the same rewards know no more than one."""
    one = trial(13, 0.0, (0.5,))
    days = [
        (p, d, m, n, t)
        for d in range(10)
        for p, m, n, t in zip(
            one.person.tolist(),
            one.candidate.tolist(),
            one.count.tolist(),
            one.total.tolist(),
            strict=True,
        )
    ]
    once, ten = effect_at(moments_of(one)), effect_at(moments_of(cells(days, 300, 10)))
    assert ten.value == pytest.approx(once.value)
    assert ten.standard_error == pytest.approx(once.standard_error, rel=1e-6)


def test_an_arm_without_a_rare_reward_yet_has_the_others_variance() -> None:
    """One in a hundred, none of whom was rewarded: the sandwich alone would see next to no variance."""
    rows = [(p, 0, p < 10, 1.0, float(p >= 990)) for p in range(1000)]
    moments = moments_of(cells(rows, 1000, 1))
    found = effect_at(moments)
    sandwich = math.sqrt(float(moments.observed[0, 0, 0, 0])) / found.weight
    assert found.standard_error > 5 * sandwich
    assert found.value / found.standard_error > -1.0


def test_an_arm_that_varies_more_has_its_own_variance() -> None:
    rng = np.random.default_rng(14)
    rows = [
        (p, 0, p < 100, 1.0, float(rng.normal(0.0, 3.0 if p < 100 else 0.1))) for p in range(1000)
    ]
    moments = moments_of(cells(rows, 1000, 1))
    assert effect_at(moments).score_variance > 3 * float(moments.designed[0, 0, 0, 0])


def test_negative_covariances_with_earlier_days_make_nothing_certain() -> None:
    """People who do today the opposite of yesterday: the sum of both days would vary less than each."""
    rng = np.random.default_rng(15)
    value = rng.normal(size=200)
    rows = [
        (p, d, p % 2 == 0, 1.0, float((1 - 2 * d) * value[p])) for d in (0, 1) for p in range(200)
    ]
    moments = moments_of(cells(rows, 200, 2))
    assert float(moments.designed[0, 0].sum()) < 0.1 * float(np.trace(moments.designed[0, 0]))
    assert effect_at(moments).score_variance >= 0.95 * float(np.trace(moments.designed[0, 0]))


def test_a_stratum_of_one_arm_counts_for_nothing() -> None:
    rows = [*ROWS, (3, 1, False, 1.0, 0.7)]
    assert effect_at(moments_of(cells(rows, 4, 2))).value == pytest.approx(0.5)
    alone = effect_at(moments_of(cells([(3, 0, False, 1.0, 0.7)], 4, 1)))
    assert math.isnan(alone.value)
    assert all(math.isnan(bound) for bound in alone.interval(0.05, 0.1))


@pytest.mark.parametrize("aim", [0.0, -1.0, math.nan])
def test_without_an_aim_nothing_is_known(aim: float) -> None:
    found = effect_at(moments_of(cells(ROWS, 3, 1)))
    assert all(math.isnan(bound) for bound in found.interval(0.05, aim))


def with_history(seed: int, tells: float) -> tuple[Moments, Moments]:
    rng = np.random.default_rng(seed)
    people = 2000
    own, met = rng.normal(size=people), rng.random(people) < 0.5
    total = tells * own + rng.normal(size=people) + 0.2 * met
    rows = Cells(
        np.arange(people), np.zeros(people, np.int64), met, np.ones(people), total, people, 1
    )
    return moments_of(rows), moments_of(rows, own[:, None])


def test_history_takes_the_share_of_variance_that_it_explains() -> None:
    plain, adjusted = (effect_at(m) for m in with_history(16, 1.0))
    assert adjusted.reduction == pytest.approx(0.5, abs=0.05)
    assert adjusted.score_variance == pytest.approx((1 - adjusted.reduction) * plain.score_variance)
    assert adjusted.value == pytest.approx(0.2, abs=3.5 * adjusted.standard_error)


def test_history_that_tells_nothing_takes_nothing() -> None:
    plain, adjusted = (effect_at(m) for m in with_history(17, 0.0))
    assert adjusted.reduction == pytest.approx(0.0, abs=0.01)
    assert adjusted.value == pytest.approx(plain.value, abs=0.01)


def test_the_adjustment_is_by_the_slope_of_least_variance() -> None:
    _, moments = with_history(18, 1.0)
    found = effect_at(moments)
    designed = moments.designed[:, :, 0, 0]
    slope = designed[2, 0] / designed[2, 2]
    first = (moments.score[0, 0] - slope * moments.score[2, 0]) / moments.weight[0]
    assert found.value == pytest.approx(first, abs=1e-3)


def test_the_error_without_weight_is_not_known() -> None:
    nothing = Effect(math.nan, math.nan, 0.0, math.nan, math.nan, math.nan, (0, 0), np.zeros(0))
    assert math.isnan(nothing.standard_error)
