"""Bins of contexts and the divergence between their histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.profiles.marginals import (
    bins_of,
    counts_by_owner,
    mean_divergence,
    total_bins,
    variables,
)
from tests.unit.synthetic.world import LAYOUT, contexts


def test_variables_are_numbers_cycles_and_categories() -> None:
    found = [(v.block.field, v.bins, v.start) for v in variables(LAYOUT)]
    assert found == [
        ("mood", 11, 0),
        ("mood", 11, 11),
        ("mood", 11, 22),
        ("pulse", 11, 33),
        ("hour", 9, 44),
        ("group", 4, 53),
    ]
    assert total_bins(LAYOUT) == 57


def test_bins_by_hand() -> None:
    context = np.zeros((2, 13), np.float32)
    context[0, [0, 1, 2]] = [-1.0, 1.0, -0.05]
    context[0, 4] = 0.39
    context[0, [6, 7]] = [1.0, 0.0]  # a quarter turn
    context[0, 11] = 1.0
    context[1, [3, 5, 8, 12]] = 1.0  # everything is missing
    expected = [[0, 11 + 9, 22 + 4, 33 + 6, 44 + 2, 53 + 2], [10, 21, 32, 43, 52, 56]]
    assert bins_of(LAYOUT, context).tolist() == expected


@given(st.integers(0, 1_000))
def test_every_context_counts_once_per_variable(seed: int) -> None:
    context = contexts(30, np.random.default_rng(seed))
    counts = counts_by_owner(LAYOUT, context, np.arange(30) % 5, np.full(30, 0.5), 5)
    for variable in variables(LAYOUT):
        np.testing.assert_allclose(counts[:, variable.part].sum(axis=1), 3.0)


def test_divergence_by_hand() -> None:
    real, synthetic = np.zeros((1, 57)), np.zeros(57)
    for variable in variables(LAYOUT):
        real[0, variable.start] = 10.0
        synthetic[variable.start] = 10.0
    assert mean_divergence(LAYOUT, real, synthetic) == pytest.approx(0.0, abs=1e-12)
    synthetic[53], synthetic[54] = 0.0, 10.0  # the group is another one
    p = np.array([10.5, 0.5, 0.5, 0.5]) / 12
    q = np.array([0.5, 10.5, 0.5, 0.5]) / 12
    expected = (p * np.log(p / q)).sum() / 6
    assert mean_divergence(LAYOUT, real, synthetic) == pytest.approx(expected)
