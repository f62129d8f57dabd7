"""What a loop goes back to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.models import ModelType
from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import RolloutEvent
from everloop.registry import rollback
from everloop.registry.rollback import previous_deployment, rollback_target
from tests.deployment_records import deployment, fill, part
from tests.log_records import NOON


def event(kind: Any, deployment_id: str, rollout_id: str = "") -> RolloutEvent:
    return RolloutEvent(
        loop="walk",
        kind=kind,
        at=NOON,
        actor="cli:test",
        reason="because",
        deployment_id=deployment_id,
        rollout_id=rollout_id,
    )


def deployed(*names: str) -> list[RolloutEvent]:
    return [event("deployed", name) for name in names]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("", None),
        ("a", None),
        ("ab", "a"),
        ("abc", "b"),
        ("aba", None),  # b was rolled back
        ("abac", "a"),
        ("abcb", "a"),
        ("abb", "a"),
        ("a-", "a"),  # parts were moved one by one
        ("a-b", "a"),
        ("-", None),
        ("--a", None),
        ("ab-a", None),
        ("ab-b", "a"),
    ],
)
def test_by_hand(names: str, found: str | None) -> None:
    assert previous_deployment(deployed(*(n.replace("-", "") for n in names))) == found


def test_a_trial_that_is_rolled_back_leaves_what_serves() -> None:
    events = [
        *deployed("a", "b"),
        event("shadow", "c", "r1"),
        event("step", "c", "r1"),
        event("rolled_back", "c", "r1"),
    ]
    assert previous_deployment(events) == "a"


def test_a_trial_of_what_served_before_does_not_go_back_to_it() -> None:
    events = [
        *deployed("a", "b", "c"),
        event("shadow", "a", "r1"),
        event("rolled_back", "a", "r1"),
    ]
    assert previous_deployment(events) == "b"


def test_a_promoted_candidate_serves_and_is_withdrawn_by_a_rollback() -> None:
    promoted = [*deployed("a"), event("shadow", "b", "r1"), event("promoted", "b", "r1")]
    assert previous_deployment(promoted) == "a"
    assert previous_deployment([*promoted, event("rolled_back", "a")]) is None
    again = [*promoted, event("rolled_back", "a"), event("deployed", "c")]
    assert previous_deployment(again) == "a", "the withdrawn one came back"


def test_a_rollback_from_a_candidate_that_serves_already_goes_back() -> None:
    events = [
        *deployed("a"),
        event("step", "b", "r1"),
        *deployed("b"),
        event("rolled_back", "a", "r1"),
        *deployed("c"),
    ]
    assert previous_deployment(events) == "a"


def test_who_was_withdrawn_never_comes_back_by_itself() -> None:
    first = [event("shadow", "b", "r1"), event("promoted", "b", "r1")]
    out = replace(event("rolled_back", "", "r1"), evidence={"withdrawn": "b"})
    assert previous_deployment([*first, out]) is None
    assert previous_deployment([*first, *deployed("d"), out]) is None, "what served beside it too"
    assert previous_deployment([*first, out, *deployed("c")]) is None
    assert previous_deployment([*deployed("a"), *first, out]) == "a"
    assert previous_deployment([*first, out, *deployed("b", "c")]) == "b", "deployed again by hand"


@given(st.lists(st.sampled_from("abcd-"), max_size=12))
def test_nobody_goes_back_to_what_serves_or_what_never_served(names: list[str]) -> None:
    found = previous_deployment(deployed(*(n.replace("-", "") for n in names)))
    assert found is None or found in names[:-1]
    assert found is None or found != names[-1]


@pytest.fixture
def places(registry: Registry, deployments: DeploymentStore) -> DeploymentStore:
    fill(registry)
    return deployments


def test_the_target_is_read_page_by_page(
    places: DeploymentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ShouldNameKnownId, match="walk"):
        rollback_target(places, "walk")
    made = [deployment(part(number)) for number in (1, 2, 3)]
    for number, one in enumerate(made):
        places.swap(one, number, "deployed", "better", "cli:test")
    for page in (1, 2, 3, 1000):
        monkeypatch.setattr(rollback, "_PAGE", page)
        assert rollback_target(places, "walk") == made[1]
    places.swap(made[0], 3, "rolled_back", "worse", "cli:test")
    with pytest.raises(ShouldNameKnownId):
        rollback_target(places, "walk")
    with pytest.raises(ShouldNameKnownId):
        rollback_target(places, "walk", "other")


def test_going_back_after_the_first_was_withdrawn_is_refused(places: DeploymentStore) -> None:
    first = deployment(part(1))
    places.swap(first, 0, "promoted", "better", "cli:test")
    places.withdraw("walk", first.deployment_id, 1, "complaints", "cli:test")
    with pytest.raises(ShouldNameKnownId, match="Nothing that may serve again"):
        rollback_target(places, "walk")


def test_a_rollback_brings_back_every_part(places: DeploymentStore, registry: Registry) -> None:
    one = deployment(part(1), part(1, ModelType.PAIRING))
    two = deployment(part(2), part(2, ModelType.PAIRING), part(2, ModelType.EMOTION))
    before = places.swap(one, 0, "deployed", "first", "cli:test")
    places.swap(two, 1, "promoted", "better", "cli:test")
    after = places.swap(rollback_target(places, "walk"), 2, "rolled_back", "worse", "cli:test")
    serving = {role: found.checkpoint_id for role, found in after.serves.items()}
    assert serving == {role: s.checkpoint_id for role, s in before.serves.items()} | {
        "emotion": None
    }
    assert replace(after, serves={}, revision=0) == replace(before, serves={}, revision=0)
    assert registry.checkpoint(part(1).artefact_id).active
