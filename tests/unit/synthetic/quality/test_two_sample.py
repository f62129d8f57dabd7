"""What a classifier can tell apart: means, correlations, and nothing where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr

from everloop.contracts.errors import ShouldFixArgument
from synthetic.quality.auc import auc, auc_by_resample, delong
from synthetic.quality.logistic import fit_logistic
from synthetic.quality.two_sample import two_sample

N = 1_500


def asked(made: np.ndarray, real: np.ndarray) -> tuple[float, float, float]:
    found = two_sample(made, np.ones(len(made)), real, np.random.default_rng(1))
    return found.low, found.value, found.high


def test_the_same_people_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(2)
    low, value, high = asked(rng.normal(size=(N, 6)), rng.normal(size=(N, 6)))
    assert low < 0.5 < high
    assert value == pytest.approx(0.5, abs=0.03)


def test_a_shift_is_told_as_well_as_it_can_be() -> None:
    """Two normals delta apart: the best possible AUC is Phi(delta / sqrt 2)."""
    rng = np.random.default_rng(3)
    made, real = rng.normal(size=(N, 4)), rng.normal(size=(N, 4))
    real[:, 0] += 1.0
    low, value, high = asked(made, real)
    best = float(ndtr(1.0 / math.sqrt(2.0)))
    assert value == pytest.approx(best, abs=0.03)
    assert low < best < high + 0.02


def test_a_correlation_is_told_where_every_marginal_is_the_same() -> None:
    rng = np.random.default_rng(4)
    made, real = rng.normal(size=(N, 4)), rng.normal(size=(N, 4))
    real[:, 1] = 0.9 * real[:, 0] + math.sqrt(1 - 0.81) * real[:, 1]
    assert asked(made, real)[0] > 0.75


def test_too_few_people_are_not_asked_about() -> None:
    found = two_sample(np.zeros((20, 2)), np.ones(20), np.ones((20, 2)), np.random.default_rng(1))
    assert math.isnan(found.value)
    assert "fewer than 50" in found.method


def test_constant_contexts_cannot_be_told_apart() -> None:
    rows = np.zeros((200, 3))
    assert asked(rows, rows)[1] == 0.5


def test_delong_by_hand() -> None:
    labels = np.array([True, True, True, False, False])
    scores = np.array([3.0, 2.0, 1.0, 2.0, 0.0])
    # V: share of negatives below each positive, ties half: 1, 3/4, 1/2; W: 1/2 * ... per negative
    v, w = np.array([1.0, 0.75, 0.5]), np.array([(1 + 0.5 + 0) / 3, 1.0])
    value, deviation = delong(labels, scores)
    assert value == pytest.approx(v.mean()) == pytest.approx(w.mean())
    assert value == auc(labels, scores)
    assert deviation == pytest.approx(math.sqrt(v.var(ddof=1) / 3 + w.var(ddof=1) / 2))


def test_delong_agrees_with_repetition() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(160) < 60
    told = [delong(labels, rng.normal(size=160) + 0.8 * labels) for _ in range(400)]
    values, deviations = np.array(told).T
    assert values.std() == pytest.approx(deviations.mean(), rel=0.12)


def test_resampled_areas_are_those_of_repeated_people() -> None:
    rng = np.random.default_rng(6)
    labels, scores = rng.random(30) < 0.4, np.round(rng.normal(size=30), 1)
    owner = np.arange(30) // 3
    weights = rng.multinomial(10, np.full(10, 0.1), size=4).astype(float)
    found = auc_by_resample(labels, scores, owner, weights)
    assert list(found) == pytest.approx([auc(labels, scores, w[owner]) for w in weights])


def test_logistic_of_a_table_is_its_log_odds() -> None:
    """30 of 40 where x = 1 and 10 of 50 where x = 0."""
    x = np.repeat([1.0, 1, 0, 0], [30, 10, 10, 40])
    y = np.repeat([True, False, True, False], [30, 10, 10, 40])
    model = fit_logistic(x[:, None], y, ridge=1e-9)
    assert expit(model.scores(np.array([[1.0], [0.0]]))) == pytest.approx([0.75, 0.2], abs=1e-4)
    assert model.scores(np.array([[1.0]])) == pytest.approx(logit(0.75), abs=1e-3)


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(40, 3)), rng.random(40) < 0.4
    times = rng.integers(1, 4, 40)
    once = fit_logistic(x, y, times.astype(float))
    again = fit_logistic(np.repeat(x, times, axis=0), np.repeat(y, times))
    assert once.scores(x) == pytest.approx(again.scores(x), abs=1e-4)


def test_separable_and_constant_features_stay_finite() -> None:
    x = np.column_stack([np.r_[np.full(20, -1.0), np.full(20, 1.0)], np.ones(40)])
    model = fit_logistic(x, x[:, 0] > 0)
    assert np.isfinite(model.scores(x)).all()
    assert auc(x[:, 0] > 0, model.scores(x)) == 1.0
    with pytest.raises(ShouldFixArgument, match="both classes"):
        fit_logistic(x, np.ones(40, dtype=np.bool_))
