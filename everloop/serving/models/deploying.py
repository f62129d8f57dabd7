"""Deploying a model: the registry's guards, the audit, and the end of its trial."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.loading import active_alias
from everloop.registry.promotion import promote
from everloop.rollout.end import end_trial_of
from everloop.serving.models.finding import checkpoint_of, version_of
from everloop.wiring import Workspace


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves from now on.

    Attributes:
        generation: the alias's, 1 for a loop's first deployment.
        previous: the checkpoint that served before this one.
        model_type: its kind; it serves under the alias of its kind.
        ended_rollout: the trial of this model, which ended because it serves everybody.
    """

    checkpoint_id: str
    loop: str
    version: str
    generation: int
    previous: str | None
    ended_rollout: RolloutRecord | None
    model_type: ModelType = ModelType.INTERVENTION


def deploy(
    workspace: Workspace,
    checkpoint_id: str,
    tenant: str,
    reason: str,
    actor: str,
    expected_generation: int | None = None,
) -> Deployment:
    """Make a tenant's checkpoint what serves its loop among its kind; where it does, nothing is written.

    Raises:
        ShouldNameKnownId, ShouldAskForScope: as ``checkpoint_of``.
        ShouldFixArgument, ShouldRestoreArtefact, ShouldResolveConflict: as ``promote``.
    """
    checkpoint = checkpoint_of(workspace, checkpoint_id, tenant)
    generation = promote(
        checkpoint.checkpoint_id,
        workspace.registry,
        workspace.blobs,
        workspace.deployments,
        reason,
        expected_generation=expected_generation,
        actor=actor,
    )
    ended = end_trial_of(
        checkpoint.checkpoint_id,
        checkpoint.loop,
        tenant,
        workspace.registry,
        workspace.rollouts,
    )
    return Deployment(
        checkpoint_id=checkpoint.checkpoint_id,
        loop=checkpoint.loop,
        version=version_of(checkpoint),
        generation=generation,
        previous=_previous(workspace, checkpoint, generation),
        ended_rollout=ended,
        model_type=checkpoint.model_type,
    )


def _previous(workspace: Workspace, checkpoint: ModelCheckpoint, generation: int) -> str | None:
    moved = (active_alias(checkpoint.model_type), generation)
    for entry in workspace.registry.deployment_log(checkpoint.loop, checkpoint.tenant):
        if (entry["alias"], entry["generation"]) == moved:
            previous = entry["previous_checkpoint_id"]
            return None if previous is None else str(previous)
    return None
