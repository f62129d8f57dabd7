"""The start of a trial, or the honest refusal of one."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.evaluation import Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import RolloutStore
from everloop.contracts.rollouts import RolloutRecord, RolloutState
from everloop.rollout.end import ACTIVE, CANDIDATE, end_trial

RAMP = (1, 5, 25, 50, 100)
"""Percent of people who meet the candidate, step by step."""
_NAMESPACE = uuid.UUID("6e1c3a52-6d3f-5a0b-9d43-0b6c8f1f7a11")
_ATTEMPTS = 5


def start_rollout(
    spec: LoopSpec,
    verdict: Verdict,
    checkpoint_id: str,
    registry: Registry,
    store: RolloutStore,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Act on a verdict: start the candidate's trial at the first ramp step, queue it, or refuse it.

    One candidate is on trial at a time; later ones wait. A trial of what serves by now is over. The same
    checkpoint is tried once, however often this is called, and the same refusal is recorded once. A
    started trial owns the alias ``candidate``; where a run died between record and alias, the next call
    sets it.

    Raises:
        ShouldRestoreArtefact: there is no such checkpoint.
        ShouldFixArgument: the checkpoint belongs to another loop or tenant, or ``now`` has no time
            zone.
        ShouldResolveConflict: the alias keeps changing under this call.
    """
    checkpoint = registry.checkpoint(checkpoint_id)
    if (checkpoint.loop, checkpoint.tenant) != (spec.name, tenant):
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint_id} belongs to loop {checkpoint.loop!r} of tenant "
            f"{checkpoint.tenant!r}, not to {spec.name!r} of {tenant!r}.",
            "Name a checkpoint of this loop.",
        )
    if now.tzinfo is None:
        raise ShouldFixArgument(f"now={now.isoformat()} has no time zone.", "Give it in UTC.")
    active, _ = registry.alias(spec.name, ACTIVE, tenant)
    known = {record.rollout_id: record for record in store.rollouts(spec.name, tenant)}
    trial = rollout_id_of(spec.name, tenant, checkpoint_id)
    refusals = _refusals(verdict, checkpoint.provenance)
    if not refusals and trial not in known and active == checkpoint_id:
        refusals = ("This checkpoint is serving already.",)
    rollout_id, reasons = trial, verdict.reasons
    state: RolloutState = "started"
    on_trial = next((r for r in known.values() if r.state == "started"), None)
    if on_trial is not None and on_trial.candidate == active != checkpoint_id:
        end_trial(on_trial, registry, store)
        on_trial = None
    if refusals:
        digest = hashlib.sha256("\0".join(refusals).encode()).hexdigest()
        rollout_id = rollout_id_of(spec.name, tenant, checkpoint_id, f"refused {digest}")
        state, reasons = "refused", refusals
    elif on_trial is not None:
        waits = f"Candidate {on_trial.candidate} is on trial; this one waits until it ends."
        state, reasons = "waiting", (waits, *verdict.reasons)
    found = known.get(rollout_id) or store.start(
        RolloutRecord(
            rollout_id=rollout_id,
            loop=spec.name,
            candidate=checkpoint_id,
            active=active,
            state=state,
            traffic_percent=float(RAMP[0]) if state == "started" else 0.0,
            reasons=reasons,
            recorded_at=now.astimezone(UTC),
            tenant=tenant,
        )
    )
    if found.state == "started":
        _point_candidate_at(registry, found)
    return found


def rollout_id_of(loop: str, tenant: str, checkpoint_id: str, key: str = "trial") -> str:
    """UUID of the one trial (or of one refusal) of a checkpoint."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join((loop, tenant, checkpoint_id, key))))


def _refusals(verdict: Verdict, provenance: Provenance) -> tuple[str, ...]:
    found: list[str] = []
    if verdict.decision is not Decision.CONTINUE:
        found.extend(verdict.reasons or ("The gate made no check.",))
    if provenance is not Provenance.PRIVATE_RELEASE:
        found.append("The checkpoint was made from the raw log and must not leave the boundary.")
    return tuple(found)


def _point_candidate_at(registry: Registry, started: RolloutRecord) -> None:
    """Set the alias once in a trial's life: an operator who cleared it is not overruled."""
    loop, tenant, checkpoint_id = started.loop, started.tenant, started.candidate
    for _ in range(_ATTEMPTS):
        current, generation = registry.alias(loop, CANDIDATE, tenant)
        if current == checkpoint_id or _was_set(registry, loop, checkpoint_id, tenant):
            return
        try:
            registry.set_alias(
                loop,
                CANDIDATE,
                checkpoint_id,
                generation,
                f"rollout {started.rollout_id} started at {started.traffic_percent:g} %",
                tenant,
            )
        except ShouldResolveConflict:
            continue
        return
    raise ShouldResolveConflict(
        f"The alias {CANDIDATE!r} of loop {loop!r} changed {_ATTEMPTS} times while a trial started.",
        "Find out what else moves it, then rerun.",
    )


def _was_set(registry: Registry, loop: str, checkpoint_id: str, tenant: str) -> bool:
    return any(
        CANDIDATE in entry.values() and checkpoint_id in entry.values()
        for entry in registry.deployment_log(loop, tenant)
    )
