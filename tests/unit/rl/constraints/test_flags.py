"""States that exclude actions: encoded and raw contexts agree, and the bound fails closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everloop.contracts.datasets import Float32
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints import Constraints
from rl.encoders import encode_context
from rl.encoders.context import encoder_of
from tests.unit.rl.constraints.worlds import constrained, raw_flagged

RESOLUTION = 140.0 * 2.0**-23
"""More than the distance of two pulses that float32 cannot tell apart once encoded."""


def flagged(spec: LoopSpec, *contexts: dict[str, Any]) -> list[set[str]]:
    excluded = Constraints(spec).flagged(encode_context(spec, contexts))
    return [{spec.action_ids[i] for i in np.flatnonzero(row)} for row in excluded]


def test_numbers_at_the_bound_and_beyond_are_flagged() -> None:
    spec = constrained(flags=[{"field": "pulse", "never": ["cheer"], "at_least": 150}])
    pulses = (40, 149.99, 150, 150.01, 180)
    found = flagged(spec, *({"pulse": pulse} for pulse in pulses))
    assert found == [set(), set(), {"cheer"}, {"cheer"}, {"cheer"}]


def test_either_bound_of_a_number_flags() -> None:
    spec = constrained(
        flags=[{"field": "pulse", "never": ["cheer", "walk"], "at_least": 150, "at_most": 50}]
    )
    found = flagged(spec, *({"pulse": pulse} for pulse in (50, 50.01, 149.99, 150)))
    assert found == [{"cheer", "walk"}, set(), set(), {"cheer", "walk"}]


def test_a_category_flags_by_its_choices() -> None:
    spec = constrained(
        flags=[{"field": "mood", "never": ["calm"], "choices": ["low", "even"]}],
    )
    found = flagged(spec, {"mood": "low"}, {"mood": "high"}, {"mood": "even"})
    assert found == [{"calm"}, set(), {"calm"}]


@pytest.mark.parametrize("when_missing", [True, False])
def test_a_missing_field_is_flagged_unless_declared_otherwise(when_missing: bool) -> None:
    expected = {"cheer"} if when_missing else set()
    for field, bound in (("pulse", {"at_least": 100}), ("mood", {"choices": ["low"]})):
        declared = {"field": field, "never": ["cheer"], "when_missing": when_missing, **bound}
        spec = constrained(flags=[declared])
        assert flagged(spec, {field: None}, {}) == [expected, expected]
        if field == "mood":
            assert flagged(spec, {"mood": "unheard of"}) == [expected]


def test_flags_add_up() -> None:
    spec = constrained(
        flags=[
            {"field": "pulse", "never": ["cheer"], "at_least": 150},
            {"field": "mood", "never": ["walk", "cheer"], "choices": ["low"]},
        ]
    )
    found = flagged(
        spec,
        {"pulse": 160, "mood": "high"},
        {"pulse": 60, "mood": "low"},
        {"pulse": 160, "mood": "low"},
        {"pulse": 60, "mood": "high"},
    )
    assert found == [{"cheer"}, {"cheer", "walk"}, {"cheer", "walk"}, set()]


@pytest.mark.parametrize("bound", [{"at_least": 100}, {"at_most": 100}])
def test_a_context_that_is_not_a_number_is_flagged(bound: dict[str, float]) -> None:
    spec = constrained(flags=[{"field": "pulse", "never": ["cheer"], **bound}])
    context = np.full((1, 6), np.nan, dtype=np.float32)
    assert Constraints(spec).flagged(context)[0, spec.action_index["cheer"]]


def test_a_bound_beyond_the_range_flags_nobody_or_everybody() -> None:
    everybody = constrained(flags=[{"field": "pulse", "never": ["cheer"], "at_least": 0}])
    nobody = constrained(flags=[{"field": "pulse", "never": ["cheer"], "at_least": 200}])
    assert flagged(everybody, {"pulse": 40}) == [{"cheer"}]
    assert flagged(nobody, {"pulse": 180}) == [set()]


@given(
    pulse=st.one_of(st.none(), st.floats(40, 180)),
    mood=st.sampled_from([None, "low", "even", "high", "unheard of"]),
    at_least=st.one_of(st.none(), st.floats(30, 190)),
    at_most=st.floats(30, 190),
    near=st.integers(-3, 3),
    missing=st.booleans(),
)
def test_encoded_and_raw_contexts_agree_within_float32(
    pulse: float | None,
    mood: str | None,
    at_least: float | None,
    at_most: float,
    near: int,
    missing: bool,
) -> None:
    spec = constrained(
        flags=[
            {
                "field": "pulse",
                "never": ["cheer"],
                "at_least": at_least,
                "at_most": at_most,
                "when_missing": missing,
            },
            {"field": "mood", "never": ["walk"], "choices": ["low"], "when_missing": missing},
        ]
    )
    if pulse is not None and near and 40 < at_most < 180:  # a few steps of float64 beside the bound
        pulse = at_most
        for _ in range(abs(near)):
            pulse = float(np.nextafter(pulse, np.inf if near > 0 else -np.inf))
    context = {"pulse": pulse, "mood": mood}
    encoded, raw = flagged(spec, context)[0], raw_flagged(spec, context)
    assert raw <= encoded, "never laxer than the raw rule"
    if encoded != raw:
        assert pulse is not None
        bounds = [bound for bound in (at_least, at_most) if bound is not None]
        assert min(abs(pulse - bound) for bound in bounds) < RESOLUTION
    one = Constraints(spec).flagged(encoder_of(spec).encode_one(context))
    assert {spec.action_ids[i] for i in np.flatnonzero(one[0])} == encoded
    assert flagged(spec, context, context) == [encoded, encoded]


@given(
    context=arrays(np.float32, (3, 6), elements=st.floats(-2, 2, width=32) | st.just(np.nan)),
    at_least=st.sampled_from([None, 100, 110]),
    missing=st.booleans(),
)
def test_one_state_is_flagged_as_it_is_among_others(
    context: Float32, at_least: float | None, missing: bool
) -> None:
    number = {"field": "pulse", "never": ["cheer"], "at_least": at_least, "at_most": 60}
    category = {"field": "mood", "never": ["walk"], "choices": ["low", "high"]}
    spec = constrained(flags=[{**flag, "when_missing": missing} for flag in (number, category)])
    rules = Constraints(spec)
    alone = [rules.flagged(context[row : row + 1]) for row in range(3)]
    np.testing.assert_array_equal(np.concatenate(alone), rules.flagged(context))
