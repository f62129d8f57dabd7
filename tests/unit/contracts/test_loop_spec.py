"""A loop specification as a value."""

from __future__ import annotations

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
