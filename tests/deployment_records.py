"""Checkpoints, manifests and trials for the tests of what serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import Registry
from everloop.contracts.rollouts import (
    Artefact,
    Deployment,
    RolloutRecord,
    Stay,
    deployment_id_of,
)
from tests.log_records import NOON, uuid_of

LOOP = "walk"
ROLES = {
    ModelType.INTERVENTION: "policy",
    ModelType.PAIRING: "pairing",
    ModelType.EMOTION: "emotion",
}


def registered(
    number: int,
    kind: ModelType = ModelType.INTERVENTION,
    tenant: str = "default",
    loop: str = LOOP,
) -> ModelCheckpoint:
    """A checkpoint as the registry keeps it; its number is in its id and its checksum."""
    sha256 = f"{number:064x}"
    return ModelCheckpoint(
        checkpoint_id=uuid_of(number, f"{tenant}/{loop}/{kind}"),
        model_type=kind,
        loop=loop,
        weights_url=f"blob:sha256/{sha256}",
        weights_sha256=sha256,
        performance_metrics={},
        training_date=datetime(2026, 3, 10, 4, tzinfo=UTC),
        provenance=Provenance.PRIVATE_RELEASE,
        lineage={"version": f"v{number}", "encoder": "e1"},
        verdict="continue",
        tenant=tenant,
    )


def part(
    number: int, kind: ModelType = ModelType.INTERVENTION, tenant: str = "default"
) -> Artefact:
    made = registered(number, kind, tenant)
    return Artefact(ROLES[kind], made.checkpoint_id, f"v{number}", made.weights_sha256, "e1")


def deployment(*artefacts: Artefact, tenant: str = "default", **more: Any) -> Deployment:
    return Deployment(
        deployment_id=deployment_id_of(LOOP, tenant, artefacts),
        loop=LOOP,
        artefacts=artefacts,
        made_at=more.pop("made_at", NOON),
        tenant=tenant,
        **more,
    )


def rollout(number: int = 1, **changes: Any) -> RolloutRecord:
    """A trial of policy ``number``, whose one stay is its present one."""
    values: dict[str, Any] = {
        "rollout_id": uuid_of(number, "rollout"),
        "loop": LOOP,
        "candidate": registered(number).checkpoint_id,
        "active": None,
        "state": "started",
        "traffic_percent": 1.0,
        "reasons": ("the lower bound is above the margin",),
        "recorded_at": NOON,
        **changes,
    }
    begun = Stay(values["state"], values["traffic_percent"], values["recorded_at"])
    return RolloutRecord(**({"history": (begun,)} | values))


def fill(registry: Registry, numbers: range = range(1, 5), tenant: str = "default") -> None:
    """Register some checkpoints of every kind."""
    for number in numbers:
        for kind in ModelType:
            registry.register(registered(number, kind, tenant))
