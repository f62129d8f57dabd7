"""What a candidate would serve with, and what serves, as manifests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import BlobStore, Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Artefact, Deployment, Head, deployment_id_of
from everloop.registry.manifest import (
    artefact_of,
    candidate_of,
    heads_of,
    manifest_of,
    manifest_of_head,
    role_of_kind,
)
from everloop.registry.promotion import adopted, promote
from everloop.registry.registration import REQUIRED_LINEAGE, register
from tests.log_records import NOON

POLICY, PAIRING, EMOTION = ModelType.INTERVENTION, ModelType.PAIRING, ModelType.EMOTION


@pytest.fixture
def make(make_candidate: Any, registry: Registry, blobs: BlobStore) -> Any:
    def made(kind: ModelType, night: str = "one", **changes: Any) -> ModelCheckpoint:
        lineage = dict.fromkeys(REQUIRED_LINEAGE, night) | {
            "logical_date": night,
            "encoder": changes.pop("encoder", "e1"),
            "version": f"{kind}-{night}",
        }
        return register(
            make_candidate(model_type=kind, lineage=lineage, **changes), registry, blobs
        )

    return made


def roles(made: Deployment) -> dict[str, str]:
    return {part.role: part.artefact_id for part in made.artefacts}


def test_kinds_serve_in_roles() -> None:
    assert [role_of_kind(kind) for kind in (POLICY, PAIRING, EMOTION)] == [
        "policy",
        "pairing",
        "emotion",
    ]


def test_a_part_says_what_is_loaded_and_what_it_reads(make: Any) -> None:
    row = make(PAIRING)
    part = artefact_of(row)
    assert part == Artefact(
        "pairing", row.checkpoint_id, "pairing-one", row.weights_sha256, encoder="e1"
    )
    assert artefact_of(row, "adapter").role == "adapter"


def test_the_same_parts_are_the_same_deployment_in_any_order(make: Any) -> None:
    policy, pairing = make(POLICY), make(PAIRING)
    one, two = manifest_of((policy, pairing), NOON), manifest_of((pairing, policy), NOON)
    assert one == two
    assert one.deployment_id == deployment_id_of("walk", "default", one.artefacts)
    assert manifest_of((policy,), NOON).deployment_id != one.deployment_id


def test_parts_of_several_loops_or_in_one_role_make_no_deployment(make: Any) -> None:
    policy = make(POLICY)
    for others in ((make(PAIRING, loop="run"),), (make(POLICY, "two"),)):
        with pytest.raises(ShouldFixArgument):
            manifest_of((policy, *others), NOON)
    with pytest.raises(ShouldFixArgument, match="one or more"):
        manifest_of((), NOON)


def test_roles_that_are_not_ours_are_kept_beside_a_new_policy(make: Any) -> None:
    old, new = make(POLICY), make(POLICY, "two")
    adapter = Artefact("adapter", "a1", "a-1", "0" * 64)
    prompt = Artefact("prompt", "p1", "p-1", "1" * 64)
    serving = manifest_of((old,), NOON, (adapter, prompt))
    assert roles(serving) == {"policy": old.checkpoint_id, "adapter": "a1", "prompt": "p1"}
    after = manifest_of((new,), NOON, serving.artefacts)
    assert roles(after) == {"policy": new.checkpoint_id, "adapter": "a1", "prompt": "p1"}


def test_a_candidate_takes_the_heads_of_its_own_night(make: Any, registry: Registry) -> None:
    policy, pairing, emotion = make(POLICY), make(PAIRING), make(EMOTION)
    make(PAIRING, "two")
    make(EMOTION, "two")
    made = candidate_of(policy, registry, None, NOON, run_id="r1")
    assert roles(made) == {
        "policy": policy.checkpoint_id,
        "pairing": pairing.checkpoint_id,
        "emotion": emotion.checkpoint_id,
    }
    assert made.run_id == "r1"


@pytest.mark.parametrize(
    "change", [{"verdict": "hold"}, {"provenance": Provenance.RAW_LOG}, {"tenant": "other"}]
)
def test_a_head_that_may_not_serve_leaves_the_one_that_serves(
    make: Any, registry: Registry, change: dict[str, Any]
) -> None:
    policy, serves = make(POLICY), make(PAIRING, "zero")
    make(PAIRING, **change)
    assert heads_of(policy, registry) == ()
    serving = manifest_of((make(POLICY, "zero"), serves), NOON)
    made = candidate_of(policy, registry, serving, NOON)
    assert roles(made) == {"policy": policy.checkpoint_id, "pairing": serves.checkpoint_id}


def test_of_a_night_that_was_judged_twice_the_newest_judgement_counts(
    make: Any, registry: Registry
) -> None:
    policy = make(POLICY)
    first = datetime(2026, 3, 10, 4, tzinfo=UTC)
    let_through = make(PAIRING, training_date=first)
    assert heads_of(policy, registry) == (let_through,)
    make(PAIRING, verdict="hold", training_date=first + timedelta(hours=1))
    assert heads_of(policy, registry) == ()
    figures = {"pairing_accuracy": 0.9}
    again = make(PAIRING, performance_metrics=figures, training_date=first + timedelta(hours=2))
    assert heads_of(policy, registry) == (again,)


def test_what_reads_other_states_does_not_serve_with_a_candidate(
    make: Any, registry: Registry
) -> None:
    policy = make(POLICY)
    other = make(PAIRING, "zero", encoder="e0")
    prompt = Artefact("prompt", "p1", "p-1", "1" * 64)
    serving = manifest_of((other,), NOON, (prompt,))
    made = candidate_of(policy, registry, serving, NOON)
    assert roles(made) == {"policy": policy.checkpoint_id, "prompt": "p1"}


def test_what_serves_is_a_manifest(
    make: Any, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    assert manifest_of_head(Head("walk"), registry, NOON) is None
    policy, pairing = make(POLICY), make(PAIRING)
    for row in (policy, pairing):
        promote(row.checkpoint_id, registry, blobs, deployments, "better")
    head = deployments.head("walk")
    found = manifest_of_head(head, registry, NOON)
    assert found == manifest_of((policy, pairing), NOON)
    assert head.deployment_id == found.deployment_id


def test_a_new_part_serves_beside_what_serves(
    make: Any, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    policy, pairing, better = make(POLICY), make(PAIRING), make(POLICY, "two")
    for row in (policy, pairing):
        promote(row.checkpoint_id, registry, blobs, deployments, "better")
    assert promote(better.checkpoint_id, registry, blobs, deployments, "better still") == 2
    head = deployments.head("walk")
    assert head.deployment_id == manifest_of((better, pairing), NOON).deployment_id
    assert head.serves["pairing"].generation == 1
    assert len(deployments.deployments("walk")) == 3


def test_parts_moved_by_hand_are_kept_as_one_before_they_are_replaced(
    make: Any, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    policy, better = make(POLICY), make(POLICY, "two")
    registry.set_alias("walk", "active", policy.checkpoint_id, 0, "by hand")
    promote(better.checkpoint_id, registry, blobs, deployments, "better", expected_generation=1)
    before, after = (manifest_of((row,), NOON).deployment_id for row in (policy, better))
    events = [event.deployment_id for event in deployments.events("walk")]
    assert events == ["", before, after]


def test_adopting_what_serves_moves_nothing_and_is_done_once(
    make: Any, registry: Registry, deployments: DeploymentStore
) -> None:
    assert adopted("walk", "default", registry, deployments) == (Head("walk"), None)
    registry.set_alias("walk", "active", make(POLICY).checkpoint_id, 0, "by hand")
    log = registry.deployment_log("walk")
    head, found = adopted("walk", "default", registry, deployments)
    assert found is not None
    assert (head.revision, head.deployment_id) == (2, found.deployment_id)
    assert registry.deployment_log("walk") == log
    assert adopted("walk", "default", registry, deployments) == (head, found)


def test_a_trial_that_moves_the_head_does_not_stop_a_deployment(
    make: Any, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    """The head's revision changes between its reading and the swap, once."""

    class Busy:
        moved = False

        def __getattr__(self, name: str) -> Any:
            return getattr(deployments, name)

        def swap(self, *arguments: Any) -> Head:
            if not self.moved:
                self.moved = True
                breaker = replace(deployments.head("walk").breaker, open=True, reason="harm")
                seen = deployments.head("walk").revision
                deployments.set_breaker("walk", breaker, seen, "cli:test", "default")
            return deployments.swap(*arguments)

    busy: Any = Busy()
    assert promote(make(POLICY).checkpoint_id, registry, blobs, busy, "better") == 1
    assert busy.moved
    assert deployments.head("walk").breaker.open
