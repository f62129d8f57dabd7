"""Verdicts from scores whose privacy is known."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from synthetic.audit.verdict import AuditResult, Shift, judge, mean_shift, noise_tolerance

PAID = Shift(1.0, 0.1)


def judged(
    shift: float,
    noise: float = 1.0,
    canaries: int = 1_000,
    seed: int = 3,
    moved: Shift = PAID,
) -> AuditResult:
    rng = np.random.default_rng(seed)
    included = rng.random(canaries) < 0.5
    scores = noise * rng.standard_normal(canaries) + shift * included
    return judge("made", scores, included, 1.0, moved, 1.0, 1e-5)


def test_a_shift_that_was_paid_for_passes() -> None:
    result = judged(0.268)  # mu of epsilon = 1, delta = 1e-5
    assert result.passed
    assert 0.0 < result.epsilon_lower < 1.0
    assert result.guesses == 500


def test_a_larger_shift_is_proved() -> None:
    result = judged(5.0)
    assert not result.passed
    assert "the guesses prove" in result.problems[0]
    assert result.noise_ratio == pytest.approx(1.0, abs=0.1)


def test_halved_noise_is_seen_in_those_left_out() -> None:
    result = judged(0.268, noise=0.5)
    assert result.epsilon_lower < 1.0
    (problem,) = result.problems
    assert result.noise_ratio == pytest.approx(0.5, abs=0.05)
    assert "of what was paid for" in problem


@pytest.mark.parametrize("ratio", [2.0, 1.11, 0.89, float("nan")])
def test_a_person_who_moves_another_amount_than_was_paid_for_is_seen(ratio: float) -> None:
    result = judged(0.268, moved=Shift(ratio, 0.1))
    assert result.epsilon_lower < 1.0
    (problem,) = result.problems
    assert f"one person moves {ratio:.2f}" in problem


def test_the_mean_shift_is_a_difference_of_means() -> None:
    included = np.array([True, False, True, False, False])
    assert mean_shift(np.array([3.0, 1.0, 5.0, 0.0, 2.0]), included) == pytest.approx(3.0)


def test_too_much_noise_and_noise_that_is_no_number_fail_too() -> None:
    assert not judged(0.0, noise=1.3).passed
    assert not judged(0.0, noise=float("nan")).passed


def test_the_tolerance_widens_with_fewer_canaries() -> None:
    assert noise_tolerance(5_000) == 0.1
    assert noise_tolerance(50) == pytest.approx(0.32)
    alarms = sum(not judged(0.0, canaries=100, seed=seed).passed for seed in range(400))
    assert alarms <= 8


def test_too_few_canaries_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="19 canaries"):
        judged(0.0, canaries=19)
    with pytest.raises(ShouldFixArgument, match="0 of them left out"):
        judge("made", np.ones(40), np.ones(40, dtype=np.bool_), 1.0, PAID, 1.0, 1e-5)
