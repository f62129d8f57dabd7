"""Every estimator against a value that is known exactly: bias, variance and coverage, small and seeded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from bench.gates.estimators import EPSILONS, SIZES, Coverage, answers, interval_coverage
from bench.gates.known_truth import ACTIONS, STATES, STEPS, Log, World, drawn, world
from rl.off_policy import estimators, values
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.journeys import pdis, self_normalised_pdis

EVERY = {*values.NAMES, "pdis", "difference"}


def test_the_value_of_journeys_is_the_sum_over_every_path() -> None:
    truth = world("dense", 0.1)
    total = 0.0
    for path in product(range(STATES), range(ACTIONS), repeat=STEPS):
        chance = 1.0
        for step in range(STEPS):
            x, a = path[2 * step], path[2 * step + 1]
            before = path[2 * step - 2 : 2 * step]
            chance *= truth.follows[before[0], before[1], x] if step else truth.start[x]
            chance *= truth.target[x, a]
            # rewards are counted with the chance of coming as far, whatever follows
            rest = (STATES * ACTIONS) ** (STEPS - 1 - step)
            total += chance * truth.mean[x, a] / rest
    assert truth.journey_value(truth.target) == pytest.approx(total, abs=1e-9)


def test_the_sparse_world_is_sparse_and_the_target_is_better() -> None:
    sparse, dense = world("sparse", 0.1), world("dense", 0.1)
    assert sparse.value(sparse.logging) == pytest.approx(0.005)
    for truth in (sparse, dense):
        assert truth.value(truth.target) > truth.value(truth.logging)
        assert truth.logging.min() >= 0.1 / ACTIONS
        np.testing.assert_allclose(truth.logging.sum(axis=1), 1.0)
        assert (truth.follows.sum(axis=2) < 1).all()


def _values(
    truth: World, of: Callable[[Log], float], n: int, repetitions: int, seed: int = 41
) -> np.ndarray:
    return np.array(
        [of(drawn(truth, np.random.default_rng([seed, n, i]), n)) for i in range(repetitions)]
    )


UNBIASED: dict[str, Callable[[Log], float]] = {
    "ips": lambda log: float(estimators.ips(log.decisions).mean()),
    "dr": lambda log: float(estimators.dr(log.decisions).mean()),
    "pdis": lambda log: float(pdis(log.journeys).mean()),
}
CONSISTENT: dict[str, Callable[[Log], float]] = {
    "snips": lambda log: float(estimators.snips(log.decisions).mean()),
    "sn_pdis": lambda log: float(self_normalised_pdis(log.journeys).mean()),
}


def _truth(truth: World, name: str) -> float:
    policy = truth.target
    return truth.journey_value(policy) if "pdis" in name else truth.value(policy)


@pytest.mark.parametrize("rewards", ["dense", "sparse"])
@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_unbiased_estimators_are_unbiased(rewards: str, epsilon: float) -> None:
    truth = world(rewards, epsilon)  # type: ignore[arg-type]
    for name, of in UNBIASED.items():
        found = _values(truth, of, 200, 500)
        error = found.std() / math.sqrt(len(found))
        assert abs(found.mean() - _truth(truth, name)) < 3.5 * error, name


def test_consistent_estimators_lose_their_bias() -> None:
    truth = world("dense", 0.3)
    for name, of in CONSISTENT.items():
        found = _values(truth, of, 2000, 150)
        error = found.std() / math.sqrt(len(found))
        assert abs(found.mean() - _truth(truth, name)) < 3.5 * error + 0.001, name


def test_the_direct_method_is_off_by_exactly_its_models_error() -> None:
    truth = world("dense", 0.1)
    found = _values(truth, lambda log: float(estimators.dm(log.decisions).mean()), 200, 400)
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - truth.model_value(truth.target)) < 3.5 * error
    assert abs(truth.model_value(truth.target) - truth.value(truth.target)) > 20 * error


def test_tuned_estimators_are_far_less_biased_than_the_direct_method() -> None:
    truth = world("dense", 0.1)
    most = abs(truth.model_value(truth.target) - truth.value(truth.target))
    for place in (values.NAMES.index("switch_dr"), values.NAMES.index("dr_os")):
        found = _values(
            truth,
            lambda log, at=place: float(values.contributions(log.decisions)[at].values.mean()),  # type: ignore[misc]
            600,
            100,
        )
        error = found.std() / math.sqrt(len(found))
        assert abs(found.mean() - truth.value(truth.target)) < most / 2 + 3.5 * error


@pytest.mark.parametrize("name", [*UNBIASED, *CONSISTENT])
def test_variance_falls_as_one_over_n(name: str) -> None:
    truth = world("dense", 0.3)
    of = (UNBIASED | CONSISTENT)[name]
    few, many = (_values(truth, of, n, 500).var() for n in (200, 800))
    # the ratio of two variances of 500 values: F, 1 +- 3.5 * sqrt(4 / 500)
    assert 4 / 1.31 < few / many < 4 * 1.31


def test_a_weight_upside_down_is_noticed() -> None:
    """What the test of unbiasedness is worth: inverted weights are far off."""
    truth = world("dense", 0.3)

    def inverted(log: Log) -> float:
        rows = log.decisions
        turned = WeightedDecisions(rows.reward, 1 / rows.weight, rows.q_logged, rows.q_target)
        return float(estimators.ips(turned).mean())

    found = _values(truth, inverted, 200, 500)
    assert abs(found.mean() - truth.value(truth.target)) > 10 * found.std() / math.sqrt(500)


def _by(rows: tuple[Coverage, ...], rewards: str, n: int) -> dict[tuple[str, str], Coverage]:
    return {(r.estimator, r.interval): r for r in rows if (r.rewards, r.n) == (rewards, n)}


def test_coverage_on_dense_rewards() -> None:
    """150 logs: 95 % within four binomial errors for intervals of unbiased estimators; bets hold more."""
    rows = _by(interval_coverage(150, 42, (300,), (0.3,), ("dense",), 300), "dense", 300)
    lowest = 0.95 - 4 * math.sqrt(0.95 * 0.05 / 150)
    for estimator in ("ips", "snips", "dr", "pdis"):
        for interval in ("t", "bootstrap"):
            assert rows[estimator, interval].coverage > lowest, (estimator, interval)
    for estimator in ("ips", "dr", "difference"):
        assert rows[estimator, "betting"].coverage >= 0.95 - 0.03
        assert rows[estimator, "betting"].mean_width < 0.5
    assert rows["dm", "t"].coverage < 0.5  # its interval leaves the model's error out
    assert rows["dr", "betting"].mean_width > rows["dr", "t"].mean_width


def test_bets_hold_on_sparse_rewards_where_t_does_not() -> None:
    rows = _by(interval_coverage(120, 43, (200,), (0.1,), ("sparse",), 200), "sparse", 200)
    assert rows["difference", "betting"].coverage >= 0.95
    assert rows["ips", "betting"].coverage >= 0.95
    assert rows["ips", "t"].coverage < 0.8


def test_rows_name_every_setting_and_are_the_same_again() -> None:
    rows = interval_coverage(2, 44, resamples=20)
    settings = {(r.rewards, r.n, r.epsilon) for r in rows}
    assert settings == set(product(("dense", "sparse"), SIZES, EPSILONS))
    for setting in settings:
        own = [r for r in rows if (r.rewards, r.n, r.epsilon) == setting]
        assert {r.estimator for r in own} == EVERY
        assert {r.interval for r in own} == {"t", "bootstrap", "betting"}
    again = interval_coverage(2, 44, sizes=(200,), epsilons=(0.1,), resamples=20)
    same = [r for r in rows if r.n == 200 and r.epsilon == 0.1]
    assert repr(list(again)) == repr(same)
    assert all(r.repetitions == 2 for r in rows)


def test_an_interval_that_is_not_given_counts_neither_way() -> None:
    truth = world("sparse", 0.1)
    dull = dataclasses.replace(truth, mean=np.zeros_like(truth.mean))
    found = {
        (a.estimator, a.interval): a for a in answers(dull, np.random.default_rng(1), 100, 0.1, 20)
    }
    assert math.isnan(found["ips", "bootstrap"].low)
    rows = _by(interval_coverage(3, 45, (60,), (0.1,), ("sparse",), 20), "sparse", 60)
    row = rows["ips", "bootstrap"]
    assert row.undefined > 0
    assert math.isnan(row.coverage) == (row.undefined == 3)
