from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from rl.off_policy import estimators
from rl.off_policy.estimators import WeightedDecisions, weigh

# Three decisions by hand: w = (.8/.5, .1/.25, .5/1), q(a) = (.2, .5, .1), q(pi) below.
REWARD = np.array([1.0, 0.0, -0.5])
ACTION = np.array([0, 1, 1])
PROPENSITY = np.array([0.5, 0.25, 1.0])
TARGET = np.array([[0.8, 0.2], [0.9, 0.1], [0.5, 0.5]])
Q = np.array([[0.2, 0.4], [0.3, 0.5], [0.3, 0.1]])
HAND = weigh(REWARD, ACTION, PROPENSITY, TARGET, Q)


def test_weights_and_model_terms_by_hand() -> None:
    np.testing.assert_allclose(HAND.weight, [1.6, 0.4, 0.5])
    np.testing.assert_allclose(HAND.q_logged, [0.2, 0.5, 0.1])
    np.testing.assert_allclose(HAND.q_target, [0.24, 0.32, 0.2])


@pytest.mark.parametrize(
    ("contributions", "by_hand"),
    [
        (estimators.ips(HAND), (1.6 * 1 + 0.4 * 0 + 0.5 * -0.5) / 3),
        (estimators.snips(HAND), (1.6 - 0.25) / 2.5),
        (estimators.dm(HAND), (0.24 + 0.32 + 0.2) / 3),
        (estimators.dr(HAND), (0.24 + 1.6 * 0.8 + 0.32 + 0.4 * -0.5 + 0.2 + 0.5 * -0.6) / 3),
        # weights above 1 fall back to the model
        (estimators.switch_dr(HAND, 1.0), (0.24 + 0.32 - 0.2 + 0.2 - 0.3) / 3),
        # s = 1: w / (w^2 + 1)
        (
            estimators.dr_os(HAND, 1.0),
            (0.24 + 1.6 / 3.56 * 0.8 + 0.32 + 0.4 / 1.16 * -0.5 + 0.2 + 0.5 / 1.25 * -0.6) / 3,
        ),
    ],
    ids=["ips", "snips", "dm", "dr", "switch_dr", "dr_os"],
)
def test_estimates_by_hand(contributions: np.ndarray, by_hand: float) -> None:
    assert contributions.mean() == pytest.approx(by_hand, abs=1e-12)


def test_self_normalised_contributions_spread_about_the_ratio() -> None:
    # V = .54 and a mean weight of 2.5 / 3: V + w (r - V) / mean(w)
    by_hand = [0.54 + 1.6 * 0.46 * 1.2, 0.54 - 0.4 * 0.54 * 1.2, 0.54 - 0.5 * 1.04 * 1.2]
    np.testing.assert_allclose(estimators.snips(HAND), by_hand, atol=1e-12)


def _loops(
    reward: np.ndarray,
    action: np.ndarray,
    propensity: np.ndarray,
    target: np.ndarray,
    q: np.ndarray,
    s: float,
) -> dict[str, float]:
    """Every formula again, one decision and one action at a time."""
    sums = dict.fromkeys(("ips", "dm", "dr", "switch_dr", "dr_os", "weight"), 0.0)
    for i in range(len(reward)):
        a = action[i]
        w = target[i][a] / propensity[i]
        model = 0.0
        for b in range(len(q[i])):
            model += target[i][b] * q[i][b]
        error = reward[i] - q[i][a]
        sums["weight"] += w
        sums["ips"] += w * reward[i]
        sums["dm"] += model
        sums["dr"] += model + w * error
        sums["switch_dr"] += model + (w * error if w <= s else 0.0)
        sums["dr_os"] += model + s * w / (w * w + s) * error
    found = {name: total / len(reward) for name, total in sums.items()}
    found["snips"] = sums["ips"] / sums["weight"]
    return found


@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), actions=st.integers(2, 6))
def test_estimators_agree_with_plain_loops(seed: int, n: int, actions: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.dirichlet(np.ones(actions), n)
    logged = 0.9 * rng.dirichlet(np.ones(actions), n) + 0.1 / actions
    action = rng.integers(0, actions, n)
    reward, q = rng.uniform(-1, 1, n), rng.uniform(-1, 1, (n, actions))
    propensity = logged[np.arange(n), action]
    rows = weigh(reward, action, propensity, target, q)
    want = _loops(reward, action, propensity, target, q, 1.5)
    got = {
        "ips": estimators.ips(rows),
        "snips": estimators.snips(rows),
        "dm": estimators.dm(rows),
        "dr": estimators.dr(rows),
        "switch_dr": estimators.switch_dr(rows, 1.5),
        "dr_os": estimators.dr_os(rows, 1.5),
    }
    for name, contributions in got.items():
        assert contributions.mean() == pytest.approx(want[name], abs=1e-9), name


def test_tuned_estimators_end_at_dm_and_dr() -> None:
    np.testing.assert_array_equal(estimators.dr_os(HAND, 0.0), estimators.dm(HAND))
    np.testing.assert_array_equal(estimators.dr_os(HAND, math.inf), estimators.dr(HAND))
    np.testing.assert_allclose(estimators.dr_os(HAND, 1e12), estimators.dr(HAND))
    np.testing.assert_array_equal(estimators.switch_dr(HAND, -1.0), estimators.dm(HAND))
    np.testing.assert_array_equal(estimators.switch_dr(HAND, math.inf), estimators.dr(HAND))


def test_the_logging_policy_itself_is_worth_what_was_logged() -> None:
    rows = WeightedDecisions(REWARD, np.ones(3), Q[:, 0], Q[:, 0])
    for estimator in (estimators.ips, estimators.snips, estimators.dr):
        assert estimator(rows).mean() == pytest.approx(REWARD.mean())


def test_snips_without_any_weight_is_not_a_number() -> None:
    rows = WeightedDecisions(REWARD, np.zeros(3), Q[:, 0], Q[:, 0])
    assert np.isnan(estimators.snips(rows)).all()


def test_tuning_takes_the_value_of_least_estimated_error() -> None:
    """Two huge weights whose errors cancel: leaving them out costs no bias and saves variance."""
    reward = np.array([0.0, 1.0] * 50)
    weight = np.ones(100)
    weight[:2] = 90.0
    half = np.full(100, 0.5)
    rows = WeightedDecisions(reward, weight, half, half)
    assert estimators.least_error(estimators.switch_dr, rows, [math.inf, 2.0]) == 2.0
    # the same weights whose errors do not cancel: leaving them out costs more than it saves
    lucky = WeightedDecisions(np.ones(100), weight, half, half)
    assert estimators.least_error(estimators.switch_dr, lucky, [math.inf, 2.0]) == math.inf
    # no variance to save: the first choice stays
    same = WeightedDecisions(half, np.ones(100), half, half)
    assert estimators.least_error(estimators.dr_os, same, [math.inf, 2.0]) == math.inf


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.5, math.nan])
def test_a_propensity_outside_its_range_is_refused(propensity: float) -> None:
    with pytest.raises(ShouldFixArgument, match="Propensity"):
        weigh(REWARD, ACTION, np.array([0.5, propensity, 1.0]), TARGET, Q)


def test_shapes_sums_and_numbers_are_checked() -> None:
    with pytest.raises(ShouldFixArgument, match="shape"):
        weigh(REWARD, ACTION, PROPENSITY, TARGET, Q[:, :1])
    with pytest.raises(ShouldFixArgument, match="sum to"):
        weigh(REWARD, ACTION, PROPENSITY, TARGET * 0.5, Q)
    with pytest.raises(ShouldFixArgument, match="weight has shape"):
        WeightedDecisions(REWARD, np.ones(2), REWARD, REWARD)
    with pytest.raises(ShouldFixArgument, match="q_target holds NaN"):
        WeightedDecisions(REWARD, np.ones(3), REWARD, np.array([0.0, math.nan, 0.0]))
    with pytest.raises(ShouldFixArgument, match="negative"):
        WeightedDecisions(REWARD, np.array([1.0, -0.5, 1.0]), REWARD, REWARD)


def _replicate(
    replicates: int, model_shift: float, propensity_power: float
) -> tuple[dict[str, np.ndarray], float]:
    """Estimates over fresh logs of one world, with a wrong model or wrong propensities."""
    rng = np.random.default_rng(3)
    target = np.array([0.1, 0.2, 0.7])
    logging = np.array([0.5, 0.3, 0.2])
    truth = np.array([0.1, 0.5, 0.3])
    wrong = logging**propensity_power / (logging**propensity_power).sum()
    n = 400
    found: dict[str, list[float]] = {"ips": [], "snips": [], "dm": [], "dr": [], "replay": []}
    for _ in range(replicates):
        action = rng.choice(3, n, p=logging)
        reward = truth[action] + rng.uniform(-0.3, 0.3, n)
        q = np.tile(truth + model_shift * np.array([1.0, -1.0, 0.5]), (n, 1))
        rows = weigh(reward, action, wrong[action], np.tile(target, (n, 1)), q)
        for name in ("ips", "snips", "dm", "dr"):
            found[name].append(float(getattr(estimators, name)(rows).mean()))
        found["replay"].append(float(reward.mean()))
    return {name: np.array(values) for name, values in found.items()}, float(target @ truth)


def _bias_in_errors(values: np.ndarray, truth: float) -> float:
    return float(abs(values.mean() - truth) / (values.std() / math.sqrt(len(values))))


def test_known_truth_with_a_wrong_model() -> None:
    """IPS and DR are unbiased, DM is as wrong as its model, and the naive mean is wrong."""
    found, truth = _replicate(600, model_shift=0.2, propensity_power=1.0)
    assert _bias_in_errors(found["ips"], truth) < 4
    assert _bias_in_errors(found["dr"], truth) < 4
    assert abs(found["snips"].mean() - truth) < 0.005
    assert abs(found["dm"].mean() - truth) > 0.05
    assert abs(found["replay"].mean() - truth) > 0.02


def test_known_truth_with_wrong_propensities() -> None:
    """Doubly robust: with a right model, wrong propensities do no harm; IPS is off."""
    found, truth = _replicate(600, model_shift=0.0, propensity_power=2.0)
    assert _bias_in_errors(found["dr"], truth) < 4
    assert _bias_in_errors(found["ips"], truth) > 10


def test_a_good_model_makes_dr_narrower_than_ips() -> None:
    found, _ = _replicate(600, model_shift=0.0, propensity_power=1.0)
    assert found["dr"].std() < 0.8 * found["ips"].std()
