"""The start of a trial, or the honest refusal of one."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import OversightKind
from everloop.contracts.rollouts import (
    POLICY,
    PROMPT,
    VOICE_ROLES,
    Artefact,
    Deployment,
    Head,
    RolloutRecord,
    RolloutState,
    Stay,
    may_serve,
)
from everloop.rollout.end import end_trial
from everloop.rollout.places import TrialPlaces
from everloop.rollout.retried import asks_a_person, tried_before
from everloop.rollout.subject import served_by, subject_of

_NAMESPACE = uuid.UUID("6e1c3a52-6d3f-5a0b-9d43-0b6c8f1f7a11")
_NO_CHECK = Verdict(Decision.HOLD, ())


def start_rollout(
    spec: LoopSpec,
    deployment: Deployment,
    places: TrialPlaces,
    now: datetime,
    serving: Deployment | None = None,
) -> RolloutRecord:
    """Act on a deployment's verdict: begin its trial, queue it, let it wait for a person, or refuse it.

    What is tried is the policy, or the voice where the policy serves already. A policy's trial begins in
    shadow, or at the first step of the ramp where the loop has no shadow; a voice would have to speak to be
    tried, so that its trial begins with people. One candidate is on trial at a time; later ones wait. A
    trial of what serves by now is over. The same checkpoint is tried once, however often this is called,
    and the same refusal is recorded once. The same policy or voice under another checkpoint, rolled back or
    withdrawn before, waits for a person. The deployment is recorded with its verdict whatever the answer;
    an approval that a named person gave since counts.

    Args:
        deployment: the candidate's manifest, with the gate's verdict, what evaluation predicted, the run.
        serving: the manifest of what serves, which a rollback returns to; None where nothing does.

    Raises:
        ShouldRestoreArtefact: there is no such checkpoint.
        ShouldFixArgument: the deployment has neither policy nor voice, a checkpoint belongs to another loop
            or tenant, or ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ShouldFixArgument(f"now={now.isoformat()} has no time zone.", "Give it in UTC.")
    loop, tenant = spec.name, deployment.tenant
    tried = subject_of(deployment, places.deployments.head(loop, tenant))
    checkpoint_id, subject = tried.artefact_id, tried.role
    unfit = _unfit(places, loop, tenant, deployment, tried)
    verdict = with_approval(places, deployment)
    places.deployments.record(deployment)
    if serving is not None:
        places.deployments.record(serving)
    head = _without_a_finished_trial(places, loop, tenant, checkpoint_id)
    active = served_by(head, subject)
    trial = rollout_id_of(loop, tenant, checkpoint_id, _key(deployment, subject))
    known = {record.rollout_id: record for record in places.rollouts.rollouts(loop, tenant)}
    refusals = (*_refusals(verdict), *unfit)
    awaits = verdict.awaits_person and len(refusals) == len(verdict.reasons)
    if not refusals and trial not in known and active == checkpoint_id:
        refusals = ("This checkpoint is serving already.",)
    rollout_id, reasons = trial, verdict.reasons
    state, traffic = first_stay(spec, subject)
    if awaits:
        state, traffic, reasons = "awaiting_approval", 0.0, refusals
    elif refusals:
        digest = hashlib.sha256("\0".join(refusals).encode()).hexdigest()
        rollout_id = rollout_id_of(loop, tenant, checkpoint_id, f"refused {digest}")
        state, traffic, reasons = "refused", 0.0, refusals
    elif head.trial is not None and head.trial.rollout_id != trial:
        waits = f"Candidate {head.trial.candidate} is on trial; this one waits until it ends."
        state, traffic, reasons = "waiting", 0.0, (waits, *verdict.reasons)
    moment = now.astimezone(UTC)
    return known.get(rollout_id) or places.rollouts.start(
        RolloutRecord(
            rollout_id=rollout_id,
            loop=loop,
            candidate=checkpoint_id,
            active=active,
            state=state,
            traffic_percent=traffic,
            reasons=reasons,
            recorded_at=moment,
            tenant=tenant,
            deployment_id=deployment.deployment_id,
            previous_deployment="" if serving is None else serving.deployment_id,
            holdout_percent=spec.rollout.holdout_percent,
            history=(Stay(state, traffic, moment),),
            subject=subject,
        )
    )


def first_stay(spec: LoopSpec, subject: str = POLICY) -> tuple[RolloutState, float]:
    """How a trial of a loop begins: its state, and its share of people in percent."""
    if spec.rollout.shadow.decisions > 0 and subject not in VOICE_ROLES:
        return "shadow", 0.0
    return "started", spec.rollout.ramp[0]


def rollout_id_of(loop: str, tenant: str, checkpoint_id: str, key: str = "trial") -> str:
    """UUID of the one trial (or of one refusal) of a checkpoint."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join((loop, tenant, checkpoint_id, key))))


def with_approval(places: TrialPlaces, deployment: Deployment) -> Verdict:
    """The verdict after the newest word of a person on the deployment, where it asks for one.

    What was tried before asks for one that is newer than the end of its rollout.
    """
    verdict = deployment.verdict or _NO_CHECK
    earlier = tried_before(places, deployment)
    if not verdict.awaits_person and earlier is None:
        return verdict
    said = places.oversights.latest(
        deployment.loop, OversightKind.APPROVAL, deployment.deployment_id, deployment.tenant
    )
    if said is not None and verdict.awaits_person:
        verdict = verdict.decided_by(said)
    if earlier is None:
        return verdict
    held = Verdict(Decision.HOLD, (*verdict.checks, asks_a_person(earlier)), verdict.inputs)
    return held if said is None or said.at < earlier.entered_at else held.decided_by(said)


def _without_a_finished_trial(
    places: TrialPlaces, loop: str, tenant: str, checkpoint_id: str
) -> Head:
    """What serves, after the end of a trial whose candidate serves everybody by now."""
    head = places.deployments.head(loop, tenant)
    if head.trial is None:
        return head
    active = served_by(head, head.trial.subject)
    if head.trial.candidate != active or active == checkpoint_id:
        return head
    end_trial(head.trial, places.registry, places.rollouts)
    return places.deployments.head(loop, tenant)


def _refusals(verdict: Verdict) -> tuple[str, ...]:
    if verdict.decision is Decision.CONTINUE:
        return ()
    return verdict.reasons or ("The gate made no check.",)


def _unfit(
    places: TrialPlaces, loop: str, tenant: str, deployment: Deployment, tried: Artefact
) -> tuple[str, ...]:
    """Which of the parts on trial may not leave the boundary; another loop's is an error."""
    parts = [part for part in deployment.artefacts if part.role in VOICE_ROLES]
    found: list[str] = []
    for part in parts if tried.role in VOICE_ROLES else [tried]:
        checkpoint = places.registry.checkpoint(part.artefact_id)
        if {(checkpoint.loop, checkpoint.tenant), (deployment.loop, tenant)} != {(loop, tenant)}:
            raise ShouldFixArgument(
                f"Checkpoint {part.artefact_id} belongs to loop {checkpoint.loop!r} of tenant "
                f"{checkpoint.tenant!r}, not to {loop!r} of {tenant!r}.",
                "Name a checkpoint of this loop.",
            )
        if not may_serve(checkpoint.provenance, part.role):
            made = checkpoint.provenance.value.replace("_", " ")
            found.append(
                f"The checkpoint of the {part.role} was made from the {made} and must not leave the "
                "boundary."
            )
    return tuple(found)


def _key(deployment: Deployment, subject: str) -> str:
    """A voice is tried once with each prompt, a policy once."""
    prompt = deployment.artefact(PROMPT)
    if subject not in VOICE_ROLES or prompt is None:
        return "trial"
    return f"trial with {prompt.artefact_id}"
