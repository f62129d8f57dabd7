"""Deploying a model and going back: the registry's guards, the audit, and the end of its trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.loading import active_alias, load
from everloop.registry.promotion import promote, require_promotable
from everloop.registry.rollback import rollback_target
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


@dataclass(frozen=True, slots=True)
class GoneBack:
    """What serves again.

    Attributes:
        deployment_id: the deployment.
        withdrawn: the one that served until now; empty where parts had been moved one by one.
        serves: role -> checkpoint; ``None`` where nothing serves any more.
    """

    loop: str
    deployment_id: str
    withdrawn: str
    serves: Mapping[str, str | None]


def go_back(workspace: Workspace, loop: str, tenant: str, reason: str, actor: str) -> GoneBack:
    """Make the deployment that served before the present one serve again, every part at once.

    What was withdrawn earlier is passed over, and the present one is withdrawn.

    Raises:
        ShouldNameKnownId: nothing that may serve again served before.
        ShouldFixArgument: no reason is given, or one of its parts may not serve any more.
        ShouldRestoreArtefact: a file of one of its parts is damaged.
        ShouldResolveConflict: what serves changed meanwhile.
    """
    head = workspace.deployments.head(loop, tenant)
    target = rollback_target(workspace.deployments, loop, tenant)
    for part in target.artefacts:
        found = load(part.artefact_id, workspace.registry, workspace.blobs)
        require_promotable(found.checkpoint, gated=False)
    after = workspace.deployments.swap(
        *(target, head.revision, "rolled_back", reason, actor), withdrawn=head.deployment_id
    )
    serves = {role: found.checkpoint_id for role, found in after.serves.items()}
    return GoneBack(loop, target.deployment_id, head.deployment_id, serves)


def _previous(workspace: Workspace, checkpoint: ModelCheckpoint, generation: int) -> str | None:
    moved = (active_alias(checkpoint.model_type), generation)
    for entry in workspace.registry.deployment_log(checkpoint.loop, checkpoint.tenant):
        if (entry["alias"], entry["generation"]) == moved:
            previous = entry["previous_checkpoint_id"]
            return None if previous is None else str(previous)
    return None
