"""The evidence that a share is above its limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.shares import log_evidence_above


@pytest.mark.parametrize(
    ("hits", "n", "limit"), [(3, 10, 0.1), (0, 5, 0.3), (5, 5, 0.5), (1, 1, 0.9)]
)
def test_it_is_the_integral_over_the_shares_above_the_limit(
    hits: int, n: int, limit: float
) -> None:
    found, _ = integrate.quad(lambda p: p**hits * (1 - p) ** (n - hits), limit, 1)
    expected = found / ((1 - limit) * limit**hits * (1 - limit) ** (n - hits))
    assert log_evidence_above(hits, n, limit) == pytest.approx(math.log(expected), abs=1e-9)


@pytest.mark.parametrize(("n", "limit"), [(1, 0.3), (20, 0.02), (50, 0.5), (40, 0.99)])
def test_its_expectation_is_one_at_the_limit_and_less_below(n: int, limit: float) -> None:
    def expected(share: float) -> float:
        return sum(
            float(stats.binom.pmf(k, n, share)) * math.exp(log_evidence_above(k, n, limit))
            for k in range(n + 1)
        )

    assert expected(limit) == pytest.approx(1.0, abs=1e-9)
    assert expected(limit * 0.8) < 1.0
    assert expected(limit + (1 - limit) * 0.5) > 1.0


def test_looking_after_every_decision_raises_few_false_alarms() -> None:
    """Ville: at most 5 % of paths ever reach 20; a fixed-time test of 5 % does in far more."""
    paths, n, limit = 400, 400, 0.05
    hits = (np.random.default_rng(11).random((paths, n)) < limit).cumsum(axis=1)
    ever = sum(
        any(log_evidence_above(int(k), at, limit) >= math.log(20) for at, k in enumerate(path, 1))
        for path in hits
    )
    peeking = sum(
        bool(np.any(stats.binom.sf(path - 1, np.arange(1, n + 1), limit) <= 0.05)) for path in hits
    )
    assert ever / paths <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / paths)
    assert peeking / paths > 0.15, "what is avoided"


def test_large_counts_are_exact_enough_and_fast_enough() -> None:
    for hits, n, limit in (
        (20_100, 1_000_000, 0.02),
        (1_000, 100_000, 0.02),
        (30_000, 100_000, 0.02),
    ):
        log_above = stats.beta.logsf(limit, hits + 1, n - hits + 1)
        beta = math.lgamma(hits + 1) + math.lgamma(n - hits + 1) - math.lgamma(n + 2)
        at_limit = hits * math.log(limit) + (n - hits + 1) * math.log1p(-limit)
        expected = log_above + beta - at_limit
        assert log_evidence_above(hits, n, limit) == pytest.approx(expected, rel=1e-6)


def test_the_ends() -> None:
    assert log_evidence_above(0, 0, 0.3) == pytest.approx(0.0, abs=1e-12)
    assert log_evidence_above(1, 9, 0.0) == math.inf
    assert log_evidence_above(0, 9, 0.0) == pytest.approx(-math.log(10))
    assert log_evidence_above(9, 9, 1.0) == -math.inf


@pytest.mark.parametrize(
    ("hits", "n", "limit"), [(2, 1, 0.5), (-1, 1, 0.5), (0, 1, -0.1), (0, 1, math.nan)]
)
def test_what_is_no_share_is_refused(hits: int, n: int, limit: float) -> None:
    with pytest.raises(ShouldFixArgument, match="no share"):
        log_evidence_above(hits, n, limit)
