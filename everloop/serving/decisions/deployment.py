"""What the head of a loop and the registry say shall serve, and what may stand in for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import POLICY, Artefact, Head, RolloutRecord, Serves
from everloop.registry.loading import ACTIVE
from everloop.rollout.end import CANDIDATE

_NOTHING = Serves(None, 0)
_PAIRING = "pairing"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What shall serve a loop of a tenant.

    Attributes:
        active: checkpoint that the alias ``active`` points at.
        generation: the alias's; 0 before the first deployment.
        predecessors: checkpoints that served before it and were never withdrawn, newest first.
        rollout: the live trial of a candidate, the shadow included.
        pairing: checkpoint that the alias ``active-pairing`` points at, for loops with candidates.
        pairing_generation: the alias's.
        head: what all of this was read from; ``None`` before it was.
        trial_artefacts: the manifest on trial; empty for a trial of a policy alone.
    """

    active: str | None = None
    generation: int = 0
    predecessors: tuple[str, ...] = ()
    rollout: RolloutRecord | None = None
    pairing: str | None = None
    pairing_generation: int = 0
    head: Head | None = None
    trial_artefacts: tuple[Artefact, ...] = ()

    @property
    def trial_policy(self) -> str | None:
        """The checkpoint that decides for the candidate's people; ``None`` without a trial, and for a
        voice's, whose people are decided for by what serves everybody."""
        if self.rollout is None or self.rollout.is_of_voice:
            return None
        return self.rollout.candidate

    @property
    def trial_pairing(self) -> str | None:
        """The pairing model that the candidate's people get: that of its manifest, if it has one; without
        a manifest, and while a voice is tried, the one that serves everybody."""
        if not self.trial_artefacts or (self.rollout is not None and self.rollout.is_of_voice):
            return self.pairing if self.rollout is not None else None
        found = (a.artefact_id for a in self.trial_artefacts if a.role == _PAIRING)
        return next(found, None)


def read_deployed(
    loop: str,
    tenant: str,
    registry: Registry,
    deployments: DeploymentStore,
    known: Deployed,
    pairs: bool = False,
) -> Deployed:
    """Read the head, and the rest only where that moved since ``known`` was read.

    What is read after the head may be newer; then the head has moved by the time a decision is stored,
    and the decision is made anew.

    ``pairs``: whether the loop declares candidates, so that a pairing model may score them.
    """
    head = deployments.head(loop, tenant)
    if known.head == head:
        return known
    active = head.serves.get(POLICY, _NOTHING)
    if (active.checkpoint_id, active.generation) == (known.active, known.generation):
        before = known.predecessors
    else:
        before = predecessors(registry.deployment_log(loop, tenant), active.generation)
    trial = _trial(head, registry)
    parts: tuple[Artefact, ...] = ()
    if trial is not None and trial.deployment_id:
        parts = deployments.deployment(trial.deployment_id, tenant).artefacts
    pairing = head.serves.get(_PAIRING, _NOTHING) if pairs else _NOTHING
    return Deployed(
        active=active.checkpoint_id,
        generation=active.generation,
        predecessors=before,
        rollout=trial,
        pairing=pairing.checkpoint_id,
        pairing_generation=pairing.generation,
        head=head,
        trial_artefacts=parts,
    )


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


def _trial(head: Head, registry: Registry) -> RolloutRecord | None:
    """The live rollout that the alias ``candidate`` points at: clearing the alias ends a trial."""
    trial = head.trial
    if trial is None or trial.candidate == head.serves.get(trial.subject, _NOTHING).checkpoint_id:
        return None
    candidate, _ = registry.alias(head.loop, CANDIDATE, head.tenant)
    return trial if candidate == trial.candidate else None
