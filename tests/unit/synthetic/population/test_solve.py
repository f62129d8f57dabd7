"""Exact values against decision processes small enough to solve by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.solve import DecisionProcess


def process(reward, ends, kernels, law=(1.0,), start=None, valid=None):
    reward = np.array(reward, dtype=float)
    carried = len(reward)
    return DecisionProcess(
        reward=reward,
        ends=np.broadcast_to(np.array(ends, dtype=float), reward.shape).copy(),
        valid=np.ones(reward.shape, dtype=bool) if valid is None else np.array(valid),
        kernels=np.array(kernels, dtype=float),
        law=np.array(law, dtype=float),
        start=np.eye(carried)[0] if start is None else np.array(start, dtype=float),
    )


def test_one_state_earns_a_geometric_sum() -> None:
    one = process([[[2.0]]], 0.25, [[[1.0]]])
    always = np.ones((1, 1, 1))
    # 2 / (1 - 0.9 * 0.75) and, undiscounted, 4 decisions of 2
    assert one.journey_value(always, 0.9) == pytest.approx(2 / 0.325, abs=1e-12)
    assert one.journey_total(always) == pytest.approx((8.0, 4.0), abs=1e-12)


def chain() -> DecisionProcess:
    """State 0: action 0 earns 1 and stays, action 1 earns 0 and leads to 1, where action 0 earns 3 and
    leads back. Journeys end with .1."""
    stay_or_back = [[1.0, 0.0], [1.0, 0.0]]
    lead = [[0.0, 1.0], [0.0, 1.0]]
    return process([[[1.0, 0.0]], [[3.0, 0.0]]], 0.1, [stay_or_back, lead])


def test_the_best_policy_waits_for_what_comes_later() -> None:
    best = chain().best_policy(0.9)
    np.testing.assert_array_equal(best[:, 0].argmax(axis=1), [1, 0])
    # W0 = .81 W1, W1 = 3 + .81 W0  =>  W0 = 2.43 / (1 - .6561); staying earns 1 / .19
    assert chain().journey_value(best, 0.9) == pytest.approx(2.43 / (1 - 0.6561), abs=1e-12)
    assert 2.43 / (1 - 0.6561) > 1 / 0.19


def test_a_heavy_discount_takes_what_is_there() -> None:
    best = chain().best_policy(0.1)
    assert best[0, 0].argmax() == 0
    assert chain().journey_value(best, 0.1) == pytest.approx(1 / (1 - 0.09), abs=1e-12)


def test_visits_of_a_mixed_policy() -> None:
    mixed = np.array([[[0.5, 0.5]], [[1.0, 0.0]]])
    # n0 = 1 + .9 (.5 n0 + n1), n1 = .45 n0
    n0 = 1 / (1 - 0.45 - 0.405)
    np.testing.assert_allclose(chain().visits(mixed), [n0, 0.45 * n0], atol=1e-12)
    total, decisions = chain().journey_total(mixed)
    assert total == pytest.approx(0.5 * n0 + 3 * 0.45 * n0, abs=1e-12)
    assert decisions == pytest.approx(10.0, abs=1e-9)


def test_circumstances_are_drawn_anew_and_seen_before_choosing() -> None:
    # Under c = 0 action 0 earns 1, under c = 1 action 1 does; c = 1 comes with .3.
    two = process([[[1.0, 0.0], [0.0, 1.0]]], 0.5, [[[1.0]], [[1.0]]], law=(0.7, 0.3))
    best = two.best_policy(0.8)
    np.testing.assert_array_equal(best[0].argmax(axis=1), [0, 1])
    assert two.journey_value(best, 0.8) == pytest.approx(1 / 0.6, abs=1e-12)
    first = np.broadcast_to([1.0, 0.0], (1, 2, 2))
    assert two.journey_value(first, 0.8) == pytest.approx(0.7 / 0.6, abs=1e-12)


def test_an_invalid_action_is_never_best_and_never_accepted() -> None:
    barred = process([[[1.0, 5.0]]], 0.5, [[[1.0]], [[1.0]]], valid=[[[True, False]]])
    assert barred.best_policy(0.9)[0, 0].argmax() == 0
    with pytest.raises(ShouldFixArgument, match="invalid action"):
        barred.value(np.array([[[0.0, 1.0]]]), 0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends": 1.5}, "end chance"),
        ({"kernels": [[[0.5]]]}, "no distribution"),
        ({"kernels": [[[1.0]], [[1.0]]]}, "shape"),
        ({"valid": [[[False]]]}, "no valid action"),
        ({"law": (0.4,)}, "no distribution"),
    ],
)
def test_a_process_that_is_none_is_refused(change, message) -> None:
    with pytest.raises(ShouldFixArgument, match=message):
        process(**({"reward": [[[1.0]]], "ends": 0.5, "kernels": [[[1.0]]]} | change))


def test_journeys_that_never_end_have_no_undiscounted_value() -> None:
    endless = process([[[1.0]]], 0.0, [[[1.0]]])
    with pytest.raises(ShouldFixArgument, match="never end"):
        endless.value(np.ones((1, 1, 1)), 1.0)
    assert endless.journey_value(np.ones((1, 1, 1)), 0.5) == pytest.approx(2.0)


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="shape"):
        chain().value(np.ones((2, 2)), 0.9)
    with pytest.raises(ShouldFixArgument, match="sum to 1"):
        chain().value(np.full((2, 1, 2), 0.7), 0.9)


@st.composite
def processes(draw) -> DecisionProcess:
    carried, circumstances, actions = (draw(st.integers(1, 4)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (carried, circumstances, actions)
    valid = rng.random(shape) < 0.7
    valid[..., 0] = True
    return DecisionProcess(
        reward=rng.uniform(-1, 1, shape),
        ends=rng.uniform(0.05, 1, shape),
        valid=valid,
        kernels=rng.dirichlet(np.ones(carried), (actions, carried)),
        law=rng.dirichlet(np.ones(circumstances)),
        start=rng.dirichlet(np.ones(carried)),
    )


@settings(max_examples=60, deadline=None)
@given(processes(), st.floats(0, 1))
def test_the_best_policy_satisfies_bellmans_equation(made, discount) -> None:
    best = made.best_policy(discount)
    carried = made.value(best, discount)
    values = np.where(made.valid, made.action_values(carried, discount), -np.inf)
    np.testing.assert_allclose((values.max(axis=2) * made.law).sum(axis=1), carried, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(processes(), st.floats(0, 0.99))
def test_values_agree_with_iterating_them(made, discount) -> None:
    policy = made.valid / made.valid.sum(axis=2, keepdims=True)
    carried = np.zeros(len(made.start))
    for _ in range(2_000):
        each = policy * made.action_values(carried, discount)
        carried = (each.sum(axis=2) * made.law).sum(axis=1)
    np.testing.assert_allclose(made.value(policy, discount), carried, atol=1e-8)
