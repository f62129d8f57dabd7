"""Constraints as a whole: they only take away, name what they leave empty, and follow the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everloop.contracts.datasets import Bool, Float32
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints import Constraints, Recent, constraints_of
from rl.encoders import encode_context
from tests.unit.rl.constraints.test_limits import NOON, limits_of, lives
from tests.unit.rl.constraints.worlds import KINDS, constrained, limit

flags_of = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "field": st.just("pulse"),
                "never": st.sets(st.sampled_from(list(KINDS)[1:]), min_size=1).map(sorted),
                "at_least": st.floats(40, 180),
            }
        ),
        st.fixed_dictionaries(
            {
                "field": st.just("mood"),
                "never": st.sets(st.sampled_from(list(KINDS)[1:]), min_size=1).map(sorted),
                "choices": st.just(["low"]),
                "when_missing": st.booleans(),
            }
        ),
    ),
    max_size=3,
)
states = st.fixed_dictionaries(
    {
        "pulse": st.one_of(st.none(), st.integers(40, 180)),
        "mood": st.sampled_from([None, "low", "even", "high"]),
    }
)
valid_of = arrays(np.bool_, (6,))


def left(spec: LoopSpec, valid: Bool, context: Float32, made: list[list[tuple[int, str]]]) -> Bool:
    rules = Constraints(spec)
    clock = np.full(len(made), NOON)
    index = spec.action_index
    recent = Recent.of([[(at, index[name]) for at, name in life] for life in made])
    return rules.allowed(valid, context, rules.limits.used(recent, clock), clock)


@given(limits=limits_of, flags=flags_of, valid=valid_of, state=states, made=lives)
def test_a_constraint_more_never_adds_an_action(
    limits: list[dict[str, Any]],
    flags: list[dict[str, Any]],
    valid: Bool,
    state: dict[str, Any],
    made: list[list[tuple[int, str]]],
) -> None:
    life = made[:1]
    context = encode_context(constrained(), [state])
    before = valid[None, :]
    for count in range(len(limits) + 1):
        now = left(constrained(limits[:count]), before, context, life)
        assert not (now & ~before).any()
        before = now
    for count in range(len(flags) + 1):
        now = left(constrained(limits, flags[:count]), before, context, life)
        assert not (now & ~before).any()
        before = now
    assert before[0, 0] == valid[0], "no_action is named by none of them and stays as it was"


@given(
    limits=limits_of,
    flags=flags_of,
    valid=valid_of,
    state=states,
    made=lives,
    order=st.permutations(range(6)),
)
def test_another_order_of_the_catalogue_is_another_order_of_the_mask(
    limits: list[dict[str, Any]],
    flags: list[dict[str, Any]],
    valid: Bool,
    state: dict[str, Any],
    made: list[list[tuple[int, str]]],
    order: list[int],
) -> None:
    life = made[:1]
    plain, shuffled = constrained(limits, flags), constrained(limits, flags, order)
    context = encode_context(plain, [state])
    straight = left(plain, valid[None, :], context, life)
    turned = left(shuffled, valid[None, order], context, life)
    np.testing.assert_array_equal(straight[:, order], turned)


def test_without_constraints_everything_valid_is_left() -> None:
    rules = constraints_of(constrained())
    assert not rules.any
    assert not rules.remembers
    valid = np.eye(6, dtype=np.bool_)
    np.testing.assert_array_equal(rules.allowed(valid, np.zeros((6, 6), np.float32)), valid)
    assert constraints_of(constrained()) is rules


def test_a_state_without_any_action_is_named() -> None:
    spec = constrained([limit("intervention", per_day=0)])
    valid = np.array([name in ("cheer", "calm") for name in spec.action_ids])
    problem = Constraints(spec).nothing_left("Profile 3", valid)
    assert isinstance(problem, ShouldFixArgument)
    assert "Profile 3 has no valid action" in problem.message
    assert "'guarded' take away all of cheer, calm" in problem.message
    assert "no_action" in problem.remedy
