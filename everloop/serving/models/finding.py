"""Finding a tenant's checkpoints and deployments, by id or by the version that decisions carry."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldAskForScope, ShouldNameKnownId
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import Deployment
from everloop.registry.loading import active_alias
from everloop.wiring import Workspace


def version_of(checkpoint: ModelCheckpoint) -> str:
    """What decisions of this model carry as ``model_version``; several checkpoints may share it."""
    return checkpoint.lineage.get("version", "")


def is_active(workspace: Workspace, checkpoint: ModelCheckpoint) -> bool:
    """Whether it serves its loop, under the alias of its kind."""
    alias, tenant = active_alias(checkpoint.model_type), checkpoint.tenant
    return workspace.registry.alias(checkpoint.loop, alias, tenant)[0] == checkpoint.checkpoint_id


def checkpoint_of(workspace: Workspace, checkpoint_id: str, tenant: str) -> ModelCheckpoint:
    """A tenant's checkpoint by id.

    Raises:
        ShouldNameKnownId: there is none.
        ShouldAskForScope: it is another tenant's.
    """
    owner = workspace.tenancy.owner("checkpoint", checkpoint_id)
    if owner is None:
        raise ShouldNameKnownId(
            f"There is no checkpoint {checkpoint_id[:80]!r}.", "GET /api/ml/models lists them."
        )
    if owner != tenant:
        raise ShouldAskForScope(
            f"Checkpoint {checkpoint_id} is another tenant's.", "Use a credential of that tenant."
        )
    return workspace.registry.checkpoint(canonical_uuid(checkpoint_id))


def model_of(
    workspace: Workspace, model_id: str, tenant: str, loops: Iterable[str]
) -> ModelCheckpoint:
    """A tenant's checkpoint by id, or by served version: then the active one, else the newest.

    Raises:
        ShouldNameKnownId: nothing is called that.
        ShouldAskForScope: it is another tenant's.
    """
    try:
        canonical_uuid(model_id)
    except ValueError:
        pass
    else:
        return checkpoint_of(workspace, model_id, tenant)
    found = [
        checkpoint
        for loop in loops
        for checkpoint in workspace.registry.checkpoints(loop, tenant)
        if version_of(checkpoint) == model_id != ""
    ]
    if not found:
        raise ShouldNameKnownId(
            f"There is no model {model_id[:80]!r}.",
            "Give a checkpoint id or a version that GET /api/ml/models lists.",
        )
    return next((made for made in found if is_active(workspace, made)), found[0])


def deployment_of(workspace: Workspace, deployment_id: str, tenant: str) -> Deployment:
    """A tenant's deployment by id.

    Raises:
        ShouldNameKnownId: there is none.
        ShouldAskForScope: it is another tenant's.
    """
    try:
        return workspace.deployments.deployment(deployment_id, tenant)
    except ShouldNameKnownId:
        refuse_foreign(workspace, "deployment", deployment_id, tenant)
        raise


def refuse_foreign(workspace: Workspace, kind: str, row_id: str, tenant: str) -> None:
    """``ShouldAskForScope`` where a row of a kind (see ``Tenancy``) is another tenant's."""
    if workspace.tenancy.owner(kind, row_id) not in (None, tenant):
        raise ShouldAskForScope(
            f"{kind.capitalize()} {row_id[:80]} is another tenant's.",
            "Use that tenant's credential.",
        ) from None
