"""Every model of a tenant, with what points at it and whose erasure touched it."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.contracts.models import ModelType
from everloop.registry.loading import active_alias
from everloop.rollout.end import CANDIDATE
from everloop.serving.models import shown
from everloop.wiring import Workspace


def models_of(
    workspace: Workspace, loops: Iterable[str], tenant: str, kind: ModelType | None = None
) -> list[shown.Model]:
    """The registered checkpoints of some loops, newest first within each; of one kind, if it is given."""
    marks: dict[str, list[str]] = {}
    for mark in workspace.people.marks(tenant):
        marks.setdefault(mark.artefact_id, []).append(mark.erasure_id)
    found = []
    for loop in loops:
        names = (*map(active_alias, ModelType), CANDIDATE)
        aliases = {name: workspace.registry.alias(loop, name, tenant)[0] for name in names}
        for checkpoint in workspace.registry.checkpoints(loop, tenant):
            if kind not in (None, checkpoint.model_type):
                continue
            pointing = [name for name, at in aliases.items() if at == checkpoint.checkpoint_id]
            fed = (checkpoint.checkpoint_id, checkpoint.lineage.get("dataset", ""))
            erasures = dict.fromkeys(erasure for name in fed for erasure in marks.get(name, ()))
            found.append(shown.model(checkpoint, pointing, list(erasures)))
    return found
