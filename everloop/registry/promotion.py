"""Making a checkpoint what serves, when that is allowed."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.ports import BlobStore, Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Deployment, Head, Serves, alias_of, may_serve
from everloop.registry.loading import active_alias, load
from everloop.registry.manifest import manifest_of, manifest_of_head, role_of_kind

_ATTEMPTS = 5
_ADOPTED = "what serves is kept as one deployment"


def promote(
    checkpoint_id: str,
    registry: Registry,
    blobs: BlobStore,
    deployments: DeploymentStore,
    reason: str,
    alias: str | None = None,
    expected_generation: int | None = None,
    actor: str = "",
) -> int:
    """Make a checkpoint whose files verify what serves in the role of its kind, beside everything else that
    serves, as one deployment; returns the alias's generation.

    Nothing is written where it serves already, for a request that is repeated, too.

    Args:
        checkpoint_id: the checkpoint; its loop and tenant say whose alias moves.
        reason: goes into the deployment log and the event.
        alias: another one, under which nothing serves, to point at it; ``None``: the one of its kind.
        expected_generation: the alias's generation that the decision was made at; ``None`` reads it now.
        actor: who asked for it, for the audit log; empty where nobody did.

    Raises:
        ShouldFixArgument: the checkpoint was trained on the raw log, the gate held it back, the alias
            is where models of another kind serve, or no reason is given.
        ShouldRestoreArtefact: there is no such checkpoint, or one of its files is damaged.
        ShouldResolveConflict: the alias moved meanwhile.
    """
    if not reason.strip():
        raise ShouldFixArgument(
            f"Promotion of {checkpoint_id}: reason={reason!r} is empty.", "Say why."
        )
    checkpoint = registry.checkpoint(checkpoint_id)
    own = active_alias(checkpoint.model_type)
    alias = own if alias is None else alias
    if alias != own and alias in map(active_alias, ModelType):
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint_id} is of kind {checkpoint.model_type.value!r}: it cannot serve "
            f"under alias {alias!r}.",
            f"Promote it under {own!r}.",
        )
    require_promotable(checkpoint)
    load(checkpoint_id, registry, blobs)
    if alias == own:
        return _deployed(checkpoint, registry, deployments, reason, expected_generation, actor)
    pointed_at, generation = registry.alias(checkpoint.loop, alias, checkpoint.tenant)
    if _is_done(checkpoint_id, Serves(pointed_at, generation), expected_generation):
        return generation
    expected = generation if expected_generation is None else expected_generation
    return registry.set_alias(
        checkpoint.loop, alias, checkpoint_id, expected, reason, checkpoint.tenant, actor
    )


def require_promotable(checkpoint: ModelCheckpoint, gated: bool = True) -> None:
    """``ShouldFixArgument`` for a checkpoint that may not serve as its kind, or that the gate held.

    ``gated``: whether the gate is asked; what served before may serve again without.
    """
    if not may_serve(checkpoint.provenance, role_of_kind(checkpoint.model_type)):
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint.checkpoint_id} has provenance {checkpoint.provenance.value!r}: it "
            "may not leave the trust boundary.",
            "Promote one that private releases alone made, or a voice made of consented text.",
        )
    if gated and checkpoint.verdict == "hold":
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint.checkpoint_id} was held by the gate.",
            "Promote one whose verdict is continue.",
        )


def adopted(
    loop: str, tenant: str, registry: Registry, deployments: DeploymentStore, actor: str = ""
) -> tuple[Head, Deployment | None]:
    """What serves, on record as one deployment, so that it can be gone back to; and the head it has then.

    Parts that were moved one by one become a deployment, which moves nothing; ``None`` where nothing
    serves.

    Raises:
        ShouldResolveConflict: what serves keeps changing.
        ShouldRestoreArtefact: a part that serves is not in the registry.
    """
    for _ in range(_ATTEMPTS):
        head = deployments.head(loop, tenant)
        if head.deployment_id:
            return head, deployments.deployment(head.deployment_id, tenant)
        found = manifest_of_head(head, registry, datetime.now(UTC))
        if found is None:
            return head, None
        try:
            head = deployments.swap(found, head.revision, "deployed", _ADOPTED, actor)
        except ShouldResolveConflict:
            continue
        return head, deployments.deployment(head.deployment_id, tenant)
    raise _restless(loop)


def _deployed(
    checkpoint: ModelCheckpoint,
    registry: Registry,
    deployments: DeploymentStore,
    reason: str,
    expected_generation: int | None,
    actor: str,
) -> int:
    loop, tenant = checkpoint.loop, checkpoint.tenant
    role = role_of_kind(checkpoint.model_type)
    for _ in range(_ATTEMPTS):
        serves = deployments.head(loop, tenant).serves.get(role, Serves(None, 0))
        if _is_done(checkpoint.checkpoint_id, serves, expected_generation):
            return serves.generation
        if expected_generation not in (None, serves.generation):
            raise ShouldResolveConflict(
                f"Alias {alias_of(role)!r} of {loop} is at generation {serves.generation}, not "
                f"{expected_generation}: it was changed meanwhile.",
                "Read the alias again and decide anew.",
            )
        head, before = adopted(loop, tenant, registry, deployments, actor)
        if head.serves.get(role, Serves(None, 0)) != serves:
            continue
        kept = () if before is None else before.artefacts
        manifest = manifest_of((checkpoint,), datetime.now(UTC), kept)
        try:
            after = deployments.swap(manifest, head.revision, "deployed", reason, actor)
        except ShouldResolveConflict:
            continue
        return after.serves[role].generation
    raise _restless(loop)


def _is_done(checkpoint_id: str, serves: Serves, expected: int | None) -> bool:
    """Whether it serves, and nobody but the caller, who may be repeating itself, can have seen to it."""
    return serves.checkpoint_id == checkpoint_id and expected in (
        None,
        serves.generation - 1,
        serves.generation,
    )


def _restless(loop: str) -> ShouldResolveConflict:
    return ShouldResolveConflict(
        f"What loop {loop!r} serves changed {_ATTEMPTS} times while it was to be replaced.",
        "Find out what else changes it, then try again.",
    )
