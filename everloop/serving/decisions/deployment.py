"""What the registry and the rollouts say shall serve, and what may stand in for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import RolloutStore
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.loading import ACTIVE, ACTIVE_PAIRING
from everloop.rollout.end import CANDIDATE


@dataclass(frozen=True, slots=True)
class Deployed:
    """What shall serve a loop of a tenant.

    Attributes:
        active: checkpoint that the alias ``active`` points at.
        generation: the alias's; 0 before the first deployment.
        predecessors: checkpoints that served before it and were never withdrawn, newest first.
        rollout: the trial of a candidate.
        pairing: checkpoint that the alias ``active-pairing`` points at, for loops with candidates.
        pairing_generation: the alias's.
    """

    active: str | None = None
    generation: int = 0
    predecessors: tuple[str, ...] = ()
    rollout: RolloutRecord | None = None
    pairing: str | None = None
    pairing_generation: int = 0


def read_deployed(
    loop: str,
    tenant: str,
    registry: Registry,
    rollouts: RolloutStore,
    known: Deployed,
    pairs: bool = False,
) -> Deployed:
    """Read it; the deployment log only where the alias moved since ``known`` was read.

    ``pairs``: whether the loop declares candidates, so that a pairing model may score them.
    """
    active, generation = registry.alias(loop, ACTIVE, tenant)
    if (active, generation) == (known.active, known.generation):
        before = known.predecessors
    else:
        before = predecessors(registry.deployment_log(loop, tenant), generation)
    trial = _trial(loop, tenant, registry, rollouts, active)
    pairing = registry.alias(loop, ACTIVE_PAIRING, tenant) if pairs else (None, 0)
    return Deployed(active, generation, before, trial, *pairing)


def predecessors(
    entries: Iterable[Mapping[str, str | int | None]], generation: int
) -> tuple[str, ...]:
    """Checkpoints below the one that is active at ``generation``, newest first.

    Going back to an earlier checkpoint withdraws everything deployed after it, and clearing the alias
    withdraws everything: a model that an operator took away never comes back by itself.
    """
    moves = sorted(
        (int(entry["generation"] or 0), entry["checkpoint_id"])
        for entry in entries
        if entry["alias"] == ACTIVE
    )
    standing: list[str] = []
    for number, checkpoint_id in moves:
        if number > generation:
            break
        if checkpoint_id is None:
            standing.clear()
        elif checkpoint_id in standing:
            del standing[standing.index(str(checkpoint_id)) + 1 :]
        else:
            standing.append(str(checkpoint_id))
    return tuple(reversed(standing[:-1]))


def _trial(
    loop: str, tenant: str, registry: Registry, rollouts: RolloutStore, active: str | None
) -> RolloutRecord | None:
    """The started rollout that the alias ``candidate`` points at: clearing the alias ends a trial."""
    candidate, _ = registry.alias(loop, CANDIDATE, tenant)
    if candidate is None or candidate == active:
        return None
    return next(
        (
            record
            for record in rollouts.rollouts(loop, tenant)
            if record.state == "started" and record.candidate == candidate
        ),
        None,
    )
