from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from rl.off_policy.betting import LARGEST_STAKE, Guess, _stakes, betting_lower_bound

VAGUE = Guess(0.0, 0.25)
ALPHA = 0.05


def _bound(values: np.ndarray, low: float, guess: Guess = VAGUE, alpha: float = ALPHA) -> float:
    return betting_lower_bound(values, np.ones(len(values), dtype=int), 1, low, alpha, guess)


def test_one_win_by_hand() -> None:
    """A stake at its cut c / m wins 1: 1 + c (1 - m) / m = 20 at m = c / (19 + c)."""
    found = _bound(np.array([1.0]), 0.0, Guess(0.0, 1e-9))
    assert found == pytest.approx(LARGEST_STAKE / (19 + LARGEST_STAKE), abs=1e-9)


def test_an_uncut_stake_by_hand() -> None:
    """Stake sqrt(2 log 20 / (1 * 4)), one value 40 above low: 1 + stake (40 - m) = 20."""
    stake = math.sqrt(2 * math.log(20) / 4)
    found = _bound(np.array([40.0]), -1.0, Guess(0.0, 4.0))
    by_hand = 40 - 19 / stake
    if stake > LARGEST_STAKE / (by_hand + 1):
        by_hand = (LARGEST_STAKE * 41) / (19 + LARGEST_STAKE) - 1
    assert found == pytest.approx(by_hand, abs=1e-9)


def test_nobody_proves_nothing() -> None:
    assert _bound(np.zeros(0), 0.0) == -math.inf


def test_the_worst_values_leave_the_least_value() -> None:
    assert _bound(np.full(100, -0.5), -0.5) == -0.5


@pytest.mark.parametrize(
    ("totals", "counts", "most", "low", "alpha", "says"),
    [
        ([0.0], [1], 1, 0.0, 1.0, "alpha"),
        ([0.0], [1], 1, -math.inf, 0.05, "finite"),
        ([0.0, 1.0], [1], 1, 0.0, 0.05, "belong"),
        ([0.0], [0], 1, 0.0, 0.05, "decisions"),
        ([0.0], [3], 2, 0.0, 0.05, "decisions"),
        ([-0.2], [1], 1, -0.1, 0.05, "below the least"),
        ([math.nan], [1], 1, 0.0, 0.05, "below the least"),
    ],
)
def test_assumptions_that_do_not_hold_are_refused(
    totals: list[float], counts: list[int], most: int, low: float, alpha: float, says: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=says):
        betting_lower_bound(np.array(totals), np.array(counts), most, low, alpha, VAGUE)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf])
def test_a_guess_that_cannot_steer_is_refused(variance: float) -> None:
    with pytest.raises(ShouldFixArgument, match="Guess"):
        Guess(0.0, variance)


@given(
    seed=st.integers(0, 5000),
    people=st.integers(1, 60),
    scale=st.floats(0.1, 10),
    shift=st.floats(-3, 3),
)
def test_units_do_not_matter(seed: int, people: int, scale: float, shift: float) -> None:
    values = np.random.default_rng(seed).uniform(0, 1, people)
    plain = _bound(values, 0.0, Guess(0.4, 0.1))
    moved = _bound(shift + scale * values, shift, Guess(shift + scale * 0.4, 0.1 * scale**2))
    assert moved == pytest.approx(shift + scale * plain, abs=1e-6 * scale + 1e-6)
    assert 0.0 <= plain <= values.max()


@given(seed=st.integers(0, 5000), changed=st.integers(0, 29))
def test_a_stake_is_set_before_its_person_is_seen(seed: int, changed: int) -> None:
    """Whoever's value changes, stakes up to and including theirs stay; later ones may move."""
    rng = np.random.default_rng(seed)
    totals, counts = rng.uniform(0, 3, 30), rng.integers(1, 4, 30)
    other = totals.copy()
    other[changed] += 5.0
    before, after = (_stakes(t, counts, 3, ALPHA, VAGUE) for t in (totals, other))
    np.testing.assert_array_equal(before[: changed + 1], after[: changed + 1])
    assert changed == 29 or (before[changed + 1 :] != after[changed + 1 :]).all()


@given(seed=st.integers(0, 5000))
def test_less_certainty_is_a_higher_bound(seed: int) -> None:
    """A stricter error probability, a lower known minimum and a lower value each lower the bound."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, 80)
    base = _bound(values, 0.0)
    assert _bound(values, 0.0, alpha=0.01) <= base + 1e-9
    assert _bound(values - 0.1, -0.1) <= base


def test_more_people_narrow_it() -> None:
    rng = np.random.default_rng(0)
    widths = [
        np.mean([0.5 - _bound(rng.uniform(0, 1, people), 0.0) for _ in range(30)])
        for people in (40, 400, 4000)
    ]
    assert widths[0] > 2.5 * widths[1] > 2.5**2 * widths[2] > 0


def _misses(draw: str, people: int, trials: int = 400) -> tuple[float, float]:
    """Share of trials whose bound is above the true mean; the mean width."""
    rng = np.random.default_rng(17)
    wrong, widths = 0, []
    for _ in range(trials):
        totals, counts, most, low, truth = _DRAWS[draw](rng, people)
        bound = betting_lower_bound(totals, counts, most, low, ALPHA, Guess(truth, 0.05))
        wrong += bound > truth
        widths.append(truth - bound)
    return wrong / trials, float(np.mean(widths))


def _single(values: np.ndarray, low: float, truth: float) -> tuple:
    return values, np.ones(len(values), dtype=int), 1, low, truth


def _stopping(rng: np.random.Generator, people: int) -> tuple:
    """Everybody goes on until the first win, at most ten times; every decision is worth 0 on average."""
    totals, counts = np.zeros(people), np.zeros(people, dtype=int)
    going = np.ones(people, dtype=bool)
    for _ in range(10):
        values = np.where(rng.random(people) < 0.3, 0.7, -0.3)
        totals += going * values
        counts += going
        going &= values < 0
    return totals, counts, 10, -0.3, 0.0


_DRAWS = {
    "dense": lambda rng, n: _single(rng.normal(0, 0.3, n).clip(-1, 1), -1.0, 0.0),
    "sparse": lambda rng, n: _single((rng.random(n) < 0.005).astype(float), 0.0, 0.005),
    "weighted sparse": lambda rng, n: _single(
        np.where(rng.random(n) < 0.05, 20.0, 0.0) * (rng.random(n) < 0.005), 0.0, 0.005
    ),
    "rare disaster": lambda rng, n: _single(np.where(rng.random(n) < 0.01, -9.9, 0.1), -9.9, 0.0),
    "stopping": _stopping,
}


@pytest.mark.parametrize("people", [150, 1000])
@pytest.mark.parametrize("draw", list(_DRAWS))
def test_coverage(draw: str, people: int) -> None:
    """At most alpha, within three binomial errors, whatever the distribution."""
    missed, width = _misses(draw, people)
    assert missed <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 400)
    assert width > 0


def test_means_of_people_would_fail_where_people_stop_after_a_win() -> None:
    """Why sums are bet on: the mean of per-person means is biased and its interval always misses."""
    rng = np.random.default_rng(0)
    totals, counts, *_ = _stopping(rng, 1500)
    means = totals / counts
    assert means.mean() - 1.645 * means.std() / math.sqrt(1500) > 0.05


def test_width_on_dense_values_is_near_the_normal_one() -> None:
    _, width = _misses("dense", 1500, trials=100)
    assert width < 1.5 * 1.645 * 0.3 / math.sqrt(1500)
