"""Moving an alias to a checkpoint, when that is allowed."""

from __future__ import annotations

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.ports import BlobStore, Registry
from everloop.registry.loading import active_alias, load


def promote(
    checkpoint_id: str,
    registry: Registry,
    blobs: BlobStore,
    reason: str,
    alias: str | None = None,
    expected_generation: int | None = None,
    actor: str = "",
) -> int:
    """Point an alias at a checkpoint whose files verify; returns the alias's generation.

    Nothing is written where it points there already, for a request that is repeated, too.

    Args:
        checkpoint_id: the checkpoint; its loop and tenant say whose alias moves.
        reason: goes into the deployment log.
        alias: ``None``: the one under which models of its kind serve.
        expected_generation: the generation that the decision was made at; ``None`` reads it now.
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
    pointed_at, generation = registry.alias(checkpoint.loop, alias, checkpoint.tenant)
    if checkpoint.provenance is not Provenance.PRIVATE_RELEASE:
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint_id} has provenance {checkpoint.provenance.value!r}: it may not "
            "leave the trust boundary.",
            "Promote one that private releases alone made.",
        )
    if checkpoint.verdict == "hold":
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint_id} was held by the gate.",
            "Promote one whose verdict is continue.",
        )
    load(checkpoint_id, registry, blobs)
    if pointed_at == checkpoint_id and expected_generation in (None, generation - 1, generation):
        return generation
    expected = generation if expected_generation is None else expected_generation
    return registry.set_alias(
        checkpoint.loop, alias, checkpoint_id, expected, reason, checkpoint.tenant, actor
    )
