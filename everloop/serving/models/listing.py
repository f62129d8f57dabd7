"""Every model of a tenant, with what points at it and whose erasure touched it."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.registry.loading import ACTIVE
from everloop.rollout.end import CANDIDATE
from everloop.serving.models import shown
from everloop.wiring import Workspace


def models_of(workspace: Workspace, loops: Iterable[str], tenant: str) -> list[shown.Model]:
    """The registered checkpoints of some loops, newest first within each."""
    found = []
    for loop in loops:
        aliases = {
            name: workspace.registry.alias(loop, name, tenant)[0] for name in (ACTIVE, CANDIDATE)
        }
        for checkpoint in workspace.registry.checkpoints(loop, tenant):
            pointing = [name for name, at in aliases.items() if at == checkpoint.checkpoint_id]
            found.append(shown.model(checkpoint, pointing, []))
    return found
