"""Mixtures: their tables by hand, draws that follow them, and fits to noisy tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.profiles.mixture import Mixture, independent, starts_of
from synthetic.profiles.mixture_fit import Misfit, NoisyTables, fit_mixture, projected_shares
from synthetic.profiles.pair_tables import PairLayout, every_pair, pair_counts

CARDS = (3, 2, 4)


def noisy(codes: Int, cards: tuple[int, ...], deviation: float, seed: int = 0) -> NoisyTables:
    """Every pair's table of codes, with noise."""
    layout = PairLayout(cards, every_pair(len(cards)))
    n, bins = len(codes), sum(cards)
    cells = pair_counts(layout, codes, np.zeros(n, dtype=np.int64), np.full(n, 1 / n), 1)[0]
    cells = cells + deviation * np.random.default_rng(seed).normal(size=layout.cells)
    return NoisyTables(
        cards,
        np.arange(bins),
        np.zeros(bins),
        float("inf"),
        layout.matrix(cells),
        layout.measured,
        max(deviation, 1e-3),
    )


def dependent(n: int, rng: np.random.Generator) -> Int:
    """The second copies the first's parity, the third its value, four times in five."""
    first = rng.integers(0, 3, n)
    copied = rng.random((2, n)) < 0.8
    second = np.where(copied[0], first % 2, rng.integers(0, 2, n))
    third = np.where(copied[1], first, rng.integers(0, 4, n))
    return np.stack([first, second, third], axis=1)


def pair_error(one: Float, other: Float, cards: tuple[int, ...]) -> float:
    """Mean total variation of 2-way tables of two joint matrices."""
    owner = np.repeat(np.arange(len(cards)), cards)
    apart = owner[:, None] < owner[None]
    return float(0.5 * np.abs((one - other)[apart]).sum() / (len(cards) * (len(cards) - 1) / 2))


def test_tables_by_hand() -> None:
    bins = np.array([[1.0, 0.0, 0.5, 0.5], [0.2, 0.8, 0.0, 1.0]])
    mixture = Mixture(np.array([0.25, 0.75]), bins, (2, 2))
    np.testing.assert_allclose(mixture.shares, [0.4, 0.6, 0.125, 0.875])
    # P(first = 0, second = 1) = .25 * 1 * .5 + .75 * .2 * 1
    assert mixture.joint[0, 3] == pytest.approx(0.275)
    assert mixture.joint[2, 0] == pytest.approx(0.125)
    assert starts_of((2, 2)).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("weights", "bins"),
    [
        ([0.5, 0.6], [[0.5, 0.5], [0.5, 0.5]]),
        ([1.0], [[0.5, 0.6]]),
        ([1.0], [[1.5, -0.5]]),
        ([1.0], [[1.0]]),
        ([1.0], [[np.nan, 1.0]]),
    ],
)
def test_what_is_no_distribution_is_refused(weights: list[float], bins: list[list[float]]) -> None:
    with pytest.raises(ShouldFixArgument):
        Mixture(np.array(weights), np.array(bins), (2,))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 400))
def test_draws_follow_the_mixture(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    bins = np.concatenate([rng.dirichlet(np.ones(c), 3) for c in CARDS], axis=1)
    mixture = Mixture(rng.dirichlet(np.ones(3)), bins, CARDS)
    drawn = mixture.draw(count, rng)
    assert drawn.shape == (count, 3)
    for v, (start, card) in enumerate(zip(starts_of(CARDS), CARDS, strict=True)):
        assert ((drawn[:, v] >= 0) & (drawn[:, v] < card)).all()
        counts = np.bincount(drawn[:, v], minlength=card)
        # systematic: each component's bins are off by less than 2 rows, the components by 1
        assert np.abs(counts - count * mixture.shares[start : start + card]).max() <= 9.0


def test_draws_have_the_joint_tables() -> None:
    rng = np.random.default_rng(3)
    bins = np.concatenate([rng.dirichlet(np.full(c, 0.4), 4) for c in CARDS], axis=1)
    mixture = Mixture(rng.dirichlet(np.ones(4)), bins, CARDS)
    drawn = noisy(mixture.draw(40_000, rng), CARDS, 0.0)
    assert pair_error(drawn.joint, mixture.joint, CARDS) < 0.01


def test_the_gradient_is_the_objectives() -> None:
    rng = np.random.default_rng(4)
    tables = noisy(dependent(300, rng), CARDS, 0.01)
    group = np.array([0, 1, 1, 2, 3, 4, 4, 5, 6])
    fold = np.zeros((9, 7))
    fold[np.arange(9), group] = 1.0
    coarse = dataclasses.replace(
        tables,
        group=group,
        shares=rng.dirichlet(np.ones(9)),
        deviation=0.1,
        joint=fold.T @ tables.joint @ fold,
    )
    misfit = Misfit(coarse, 3, 50.0)
    point = rng.normal(size=3 + 3 * 9)
    _, gradient = misfit(point)
    found = approx_fprime(point, lambda x: misfit(x)[0], 1e-6)
    np.testing.assert_allclose(gradient, found, atol=1e-4 * np.abs(gradient).max())


def test_a_fit_finds_what_depends_on_what() -> None:
    codes = dependent(5_000, np.random.default_rng(5))
    truth = noisy(codes, CARDS, 0.0)
    fitted = fit_mixture(noisy(codes, CARDS, 0.004), components=8, members=3)
    alone = independent(projected_shares(truth), CARDS)
    assert pair_error(alone.joint, truth.joint, CARDS) > 0.15
    assert pair_error(fitted.joint, truth.joint, CARDS) < 0.02


def test_a_fit_is_the_same_again() -> None:
    tables = noisy(dependent(500, np.random.default_rng(6)), CARDS, 0.02)
    one, other = (fit_mixture(tables, 4, 2, 50) for _ in range(2))
    assert np.array_equal(one.bins, other.bins)
    assert np.array_equal(one.weights, other.weights)


@pytest.mark.parametrize("deviation", [0.01, 0.05])
@pytest.mark.parametrize("seed", [1, 2])
def test_noise_alone_is_not_worse_than_independence(deviation: float, seed: int) -> None:
    cards = (4, 4, 4, 4)
    codes = np.random.default_rng(seed).integers(0, 4, (2_000, 4))
    truth = noisy(codes, cards, 0.0)
    fitted = fit_mixture(noisy(codes, cards, deviation, seed), components=8, members=4)
    alone = independent(projected_shares(noisy(codes, cards, deviation, seed)), cards)
    found, base = (pair_error(m.joint, truth.joint, cards) for m in (fitted, alone))
    assert found <= base + 0.02


def test_tables_that_do_not_fit_are_refused() -> None:
    tables = noisy(dependent(50, np.random.default_rng(7)), CARDS, 0.01)
    for change in (
        {"group": np.arange(8)},
        {"shares": np.full(9, np.nan)},
        {"joint": np.full((9, 9), np.inf)},
        {"joint_deviation": 0.0},
        {"measured": np.zeros((2, 2), dtype=np.bool_)},
    ):
        with pytest.raises(ShouldFixArgument):
            dataclasses.replace(tables, **change)  # type: ignore[arg-type]


def test_no_pair_gives_independent_variables() -> None:
    tables = noisy(dependent(50, np.random.default_rng(8)), CARDS, 0.01)
    none = dataclasses.replace(
        tables,
        shares=np.array([0.5, 0.6, -0.1, 1.0, 0.0, 0.25, 0.25, 0.25, 0.25]),
        deviation=0.1,
        measured=np.zeros((3, 3), dtype=np.bool_),
    )
    mixture = fit_mixture(none)
    assert len(mixture.weights) == 1
    np.testing.assert_allclose(mixture.shares[:3], [0.45, 0.55, 0.0])


# Pair tables.


def test_pair_counts_by_hand() -> None:
    layout = PairLayout((2, 3), ((0, 1),))
    codes = np.array([[0, 2], [1, 0], [1, 0]])
    counts = pair_counts(layout, codes, np.array([0, 0, 1]), np.array([0.5, 0.5, 1.0]), 2)
    assert counts.tolist() == [[0, 0, 0.5, 0.5, 0, 0], [0, 0, 0, 1.0, 0, 0]]
    (table,) = layout.tables(counts.sum(axis=0))
    assert table.tolist() == [[0, 0, 0.5], [1.5, 0, 0]]
    joint = layout.matrix(counts.sum(axis=0))
    assert joint[1, 2] == joint[2, 1] == 1.5
    assert joint[:2, :2].sum() == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_persons_tables_have_norm_at_most_one_each(seed: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    layout = PairLayout(CARDS, every_pair(3))
    codes = np.stack([rng.integers(0, c, each) for c in CARDS], axis=1)
    counts = pair_counts(layout, codes, np.zeros(each, dtype=np.int64), np.full(each, 1 / each), 1)
    for table in layout.tables(counts[0]):
        assert table.sum() == pytest.approx(1.0)
        assert (table**2).sum() <= 1.0 + 1e-12


@pytest.mark.parametrize("pairs", [((0, 0),), ((1, 0),), ((0, 3),), ((0, 1), (0, 1))])
def test_what_is_no_pair_is_refused(pairs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ShouldFixArgument):
        PairLayout(CARDS, pairs)
