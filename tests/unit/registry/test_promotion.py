"""Moving an alias, and loading what it points at."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import BlobStore, Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.registry.loading import active_alias, load, load_alias, verified
from everloop.registry.promotion import promote, require_promotable
from everloop.registry.registration import Candidate, register


@pytest.fixture
def stored(candidate: Candidate, registry: Registry, blobs: BlobStore) -> ModelCheckpoint:
    return register(candidate, registry, blobs)


def damage(tmp_path: Path, sha256: str) -> None:
    path = tmp_path / "blobs" / sha256[:2] / sha256
    path.chmod(0o644)
    path.write_bytes(b"other")


def test_every_file_is_loaded_by_its_checksum(
    stored: ModelCheckpoint, registry: Registry, blobs: BlobStore
) -> None:
    model = load(stored.checkpoint_id, registry, blobs)
    assert model.checkpoint == stored
    assert model.weights.read_bytes() == model.file("policy.onnx").read_bytes() == b"onnx"
    assert model.file("policy.json").read_bytes() == b"{}"
    with pytest.raises(ShouldFixArgument, match=r"policy\.pt"):
        model.file("policy.pt")


@pytest.mark.parametrize("name", ["policy.onnx", "policy.json"])
def test_nothing_of_a_damaged_checkpoint_is_loaded(
    stored: ModelCheckpoint,
    registry: Registry,
    blobs: BlobStore,
    deployments: DeploymentStore,
    tmp_path: Path,
    name: str,
) -> None:
    damage(tmp_path, stored.files[name])
    with pytest.raises(ShouldRestoreArtefact, match=stored.files[name]):
        load(stored.checkpoint_id, registry, blobs)
    with pytest.raises(ShouldRestoreArtefact):
        promote(stored.checkpoint_id, registry, blobs, deployments, "better")
    assert registry.alias("walk", "active") == (None, 0)


def test_an_address_without_a_checksum_is_refused(
    stored: ModelCheckpoint, blobs: BlobStore
) -> None:
    class Anywhere:
        def put(self, path: Path) -> tuple[str, str]:
            return blobs.put(path)

        def fetch(self, url: str, sha256: str) -> Path:
            return blobs.fetch(f"blob:sha256/{sha256}", sha256)

    elsewhere = dataclasses.replace(stored, weights_url="s3://bucket/latest.onnx")
    with pytest.raises(ShouldRestoreArtefact, match="latest"):
        verified(elsewhere, Anywhere())


def test_an_alias_without_a_model_loads_nothing(registry: Registry, blobs: BlobStore) -> None:
    assert load_alias("walk", registry, blobs) is None


def test_a_promoted_checkpoint_is_what_the_alias_loads(
    stored: ModelCheckpoint, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    assert (
        promote(stored.checkpoint_id, registry, blobs, deployments, "the online test was won") == 1
    )
    model = load_alias("walk", registry, blobs)
    assert model is not None
    assert model.checkpoint == dataclasses.replace(stored, active=True)
    assert load_alias("walk", registry, blobs, alias="candidate") is None
    assert [row["reason"] for row in registry.deployment_log("walk")] == ["the online test was won"]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"provenance": Provenance.RAW_LOG}, "raw_log"), ({"verdict": "hold"}, "held by the gate")],
    ids=["raw log", "held"],
)
def test_what_may_not_serve_is_refused(
    make_candidate: Any,
    registry: Registry,
    blobs: BlobStore,
    deployments: DeploymentStore,
    change: dict[str, Any],
    named: str,
) -> None:
    refused = register(make_candidate(**change), registry, blobs)
    with pytest.raises(ShouldFixArgument, match=named):
        promote(refused.checkpoint_id, registry, blobs, deployments, "why not")
    assert registry.alias("walk", "active") == (None, 0)
    assert registry.deployment_log("walk") == ()


def test_a_reason_is_required(
    stored: ModelCheckpoint, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    with pytest.raises(ShouldFixArgument, match="reason"):
        promote(stored.checkpoint_id, registry, blobs, deployments, " ")


def test_a_decision_made_at_another_generation_is_refused(
    stored: ModelCheckpoint,
    candidate: Candidate,
    registry: Registry,
    blobs: BlobStore,
    deployments: DeploymentStore,
) -> None:
    lineage = dict(candidate.lineage) | {"version": "another"}
    other = register(dataclasses.replace(candidate, lineage=lineage), registry, blobs)
    assert other.checkpoint_id != stored.checkpoint_id
    promote(stored.checkpoint_id, registry, blobs, deployments, "first", expected_generation=0)
    with pytest.raises(ShouldResolveConflict):
        promote(other.checkpoint_id, registry, blobs, deployments, "late", expected_generation=0)
    assert promote(other.checkpoint_id, registry, blobs, deployments, "again") == 2


def test_what_is_pointed_at_already_is_not_deployed_again(
    stored: ModelCheckpoint, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    assert promote(stored.checkpoint_id, registry, blobs, deployments, "first") == 1
    log = registry.deployment_log("walk")
    for expected in (None, 0, 1):
        again = promote(
            stored.checkpoint_id,
            registry,
            blobs,
            deployments,
            "again",
            expected_generation=expected,
        )
        assert again == 1
    with pytest.raises(ShouldResolveConflict):
        promote(stored.checkpoint_id, registry, blobs, deployments, "again", expected_generation=7)
    assert registry.deployment_log("walk") == log


def test_models_of_each_kind_serve_under_an_alias_of_their_own(
    make_candidate: Any, registry: Registry, blobs: BlobStore, deployments: DeploymentStore
) -> None:
    made = {
        kind: register(make_candidate(model_type=kind), registry, blobs).checkpoint_id
        for kind in ModelType
    }
    for kind, checkpoint_id in made.items():
        assert promote(checkpoint_id, registry, blobs, deployments, "better") == 1
        assert registry.alias("walk", active_alias(kind)) == (checkpoint_id, 1)
    assert {active_alias(kind) for kind in ModelType} == {
        "active",
        "active-pairing",
        "active-emotion",
        "active-adapter",
        "active-prompt",
    }
    with pytest.raises(ShouldFixArgument, match="cannot serve under alias 'active'"):
        promote(made[ModelType.PAIRING], registry, blobs, deployments, "a slip", alias="active")
    with pytest.raises(ShouldFixArgument, match="Promote it under 'active'"):
        promote(
            made[ModelType.INTERVENTION],
            registry,
            blobs,
            deployments,
            "a slip",
            alias="active-pairing",
        )
    assert registry.alias("walk", "active") == (made[ModelType.INTERVENTION], 1)
    assert (
        promote(made[ModelType.PAIRING], registry, blobs, deployments, "kept", alias="shadow") == 1
    )


def test_what_served_before_is_asked_where_it_was_made_alone(stored: ModelCheckpoint) -> None:
    held = dataclasses.replace(stored, verdict="hold")
    require_promotable(held, gated=False)
    with pytest.raises(ShouldFixArgument, match="held"):
        require_promotable(held)
    with pytest.raises(ShouldFixArgument, match="raw_log"):
        require_promotable(dataclasses.replace(stored, provenance=Provenance.RAW_LOG), gated=False)
