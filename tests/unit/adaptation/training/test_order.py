"""The order of a phase, drawn before it begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.training.order import (
    draw_replay,
    phase_order,
    replayed_of,
    steps_of,
    warmup_of,
)


@pytest.mark.parametrize(
    ("rows", "epochs", "max_steps", "steps"),
    [(64, 1.0, None, 2), (65, 1.0, None, 3), (30, 3.0, None, 3), (30, 0.5, None, 1), (30, 1, 7, 7)],
)
def test_steps_are_what_the_epochs_take(rows, epochs, max_steps, steps):
    assert steps_of(rows, epochs, max_steps, 32) == steps


@pytest.mark.parametrize(
    ("steps", "ratio", "warm"),
    [(1, 0.03, 0), (2, 0.03, 1), (2, 0.9, 1), (34, 0.03, 2), (100, 0.03, 3), (5, 0.0, 0)],
)
def test_the_last_step_is_never_of_the_warm_up(steps, ratio, warm):
    assert warmup_of(steps, ratio) == warm


@pytest.mark.parametrize(
    ("own", "share", "count"), [(90, 0.1, 10), (9, 0.1, 1), (10, 0.5, 10), (5, 0.0, 0)]
)
def test_replay_is_a_share_of_all(own, share, count):
    assert replayed_of(own, share) == count


def test_replay_takes_no_more_than_there_is():
    drawn = draw_replay(np.array([4, 9]), 90, 0.1, np.random.default_rng(1))

    assert drawn.tolist() == [4, 9]


@given(
    count=st.integers(1, 50),
    epochs=st.integers(1, 3),
    batch=st.integers(1, 16),
    seed=st.integers(0, 9),
)
def test_every_row_is_seen_in_every_epoch(count, epochs, batch, seed):
    rows = np.arange(3, 3 + count)
    lengths = np.arange(3 + count) % 7

    order = phase_order(rows, lengths, epochs, None, batch, np.random.default_rng(seed))

    assert np.array_equal(np.bincount(order, minlength=3 + count)[3:], np.full(count, epochs))
    for start in range(0, len(order), batch):
        part = lengths[order[start : start + batch]]
        assert np.array_equal(part, np.sort(part)[::-1])
    again = phase_order(rows, lengths, epochs, None, batch, np.random.default_rng(seed))
    assert np.array_equal(order, again)


def test_a_given_number_of_steps_is_filled():
    order = phase_order(np.arange(5), np.ones(5, int), 1.0, 4, 8, np.random.default_rng(0))

    assert len(order) == 32
    assert set(np.bincount(order)) <= {6, 7}


def test_a_share_of_an_epoch_is_a_share_of_the_rows():
    order = phase_order(np.arange(40), np.ones(40, int), 0.5, None, 8, np.random.default_rng(0))

    assert len(set(order.tolist())) == len(order) == 20
