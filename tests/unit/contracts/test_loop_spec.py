"""A loop specification as a value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load


def test_a_copy_has_the_checksum_and_the_names_of_its_own_values() -> None:
    spec = load("companion")
    assert spec.checksum == load("companion").checksum
    assert spec.action_ids[0] == "no_action"
    copied = spec.model_copy(update={"name": "other", "actions": spec.actions[1:]})
    assert copied.checksum != spec.checksum
    assert copied.action_ids == spec.action_ids[1:]
    assert spec.action_ids[0] == "no_action"


def test_parameters_grow_with_the_population_unless_they_are_given() -> None:
    privacy = load("companion").privacy
    limits = {
        people: privacy.model_copy(update={"people_expected": people}).parameter_limit
        for people in (1, 10_000, 20_000, 50_000)
    }
    assert limits == {1: 300, 10_000: 300, 20_000: 600, 50_000: 1500}
    assert privacy.model_copy(update={"max_parameters": 40}).parameter_limit == 40


def constrained(**constraints: list[dict[str, Any]]) -> LoopSpec:
    document = load("companion").model_dump(mode="json")
    return LoopSpec.model_validate(document | {"constraints": constraints})


EVERY = load("companion").action_ids
OTHER_KINDS = ("suggest_pairing", "recommend_hive", "intervention")


@pytest.mark.parametrize(
    ("constraints", "named"),
    [
        # each of them leaves something, and together they leave nothing
        (
            {
                "limits": [{"kinds": list(OTHER_KINDS), "per_day": 1}],
                "flags": [{"field": "heart_rate", "at_least": 150, "never": ["no_action"]}],
            },
            r"'no_action' \(flag on 'heart_rate'\).*limit on suggest_pairing",
        ),
        (
            {
                "flags": [
                    {"field": "heart_rate", "at_least": 150, "never": list(EVERY[:3])},
                    {"field": "pulse_variability", "at_most": 20, "never": list(EVERY[3:])},
                ]
            },
            r"flag on 'heart_rate'.*flag on 'pulse_variability'",
        ),
        (
            {"flags": [{"field": "heart_rate", "at_least": 150, "never": list(EVERY)}]},
            "flag on 'heart_rate'",
        ),
    ],
)
def test_constraints_that_may_leave_nothing_are_refused(
    constraints: dict[str, list[dict[str, Any]]], named: str
) -> None:
    with pytest.raises(ValidationError, match=named + ".*take one action out"):
        constrained(**constraints)


def test_one_action_that_no_constraint_names_is_enough() -> None:
    spec = constrained(
        limits=[{"kinds": list(OTHER_KINDS), "per_day": 1}],
        flags=[{"field": "heart_rate", "at_least": 150, "never": list(EVERY[1:])}],
    )
    assert len(spec.constraints.flags[0].never) == len(EVERY) - 1
