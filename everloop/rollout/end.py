"""The end of a trial whose candidate became what serves."""

from __future__ import annotations

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import RolloutStore
from everloop.contracts.rollouts import OVER, RolloutRecord

ACTIVE, CANDIDATE = "active", "candidate"
DEPLOYED = "The candidate was deployed: it serves everybody."


def end_trial(started: RolloutRecord, registry: Registry, store: RolloutStore) -> RolloutRecord:
    """End a trial because its candidate was deployed, and clear the alias ``candidate``.

    Safe to repeat; an alias that points elsewhere by now is left alone.
    """
    ended = store.end(started.rollout_id, DEPLOYED, started.tenant)
    current, generation = registry.alias(started.loop, CANDIDATE, started.tenant)
    if current == started.candidate:
        try:
            registry.set_alias(
                started.loop,
                CANDIDATE,
                None,
                generation,
                f"rollout {started.rollout_id} ended: {DEPLOYED}",
                started.tenant,
            )
        except ShouldResolveConflict:
            return ended  # whoever moved it meanwhile decided later than we did
    return ended


def end_trial_of(
    checkpoint_id: str, loop: str, tenant: str, registry: Registry, store: RolloutStore
) -> RolloutRecord | None:
    """End the trial of a checkpoint that was deployed; ``None`` where it was on none."""
    for record in store.rollouts(loop, tenant):
        if record.candidate == checkpoint_id and record.state not in OVER:
            return end_trial(record, registry, store)
    return None
