"""What a trial is about: the policy of a manifest, or its voice. The other's parts go on serving.

A voice is an adapter and a prompt. Its trial leaves alone what decides, and a policy's leaves alone what
speaks, so that neither takes back what the other won while it waited or after it was promoted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import (
    POLICY,
    VOICE_ROLES,
    Artefact,
    Deployment,
    Head,
    RolloutRecord,
    deployment_id_of,
    part_of,
)
from everloop.rollout.places import TrialPlaces

_SUBJECTS = (POLICY, *VOICE_ROLES)


def subject_of(deployment: Deployment, head: Head) -> Artefact:
    """The part that a manifest's trial is about: the first of policy, adapter and prompt that does not
    serve already; where all do, the first that there is.

    Raises:
        ShouldFixArgument: the manifest has none of them.
    """
    found = [part for role in _SUBJECTS if (part := deployment.artefact(role)) is not None]
    if not found:
        raise ShouldFixArgument(
            f"Deployment {deployment.deployment_id} has no {POLICY} and no voice.",
            "Name what is to be tried.",
        )
    new = (part for part in found if part.artefact_id != served_by(head, part.role))
    return next(new, found[0])


def served_by(head: Head, role: str = POLICY) -> str | None:
    """Checkpoint that serves in a role; None where none does."""
    serves = head.serves.get(role)
    return None if serves is None else serves.checkpoint_id


def own_parts(parts: tuple[Artefact, ...], subject: str) -> tuple[Artefact, ...]:
    """The parts that a trial of a subject brings: those of the voice, or all others."""
    of_voice = subject in VOICE_ROLES
    return tuple(part for part in parts if (part.role in VOICE_ROLES) == of_voice)


def beside(
    places: TrialPlaces, deployment: Deployment, subject: str, head: Head
) -> tuple[Artefact, ...]:
    """A manifest's own parts and whatever serves beside them now, by role."""
    own = own_parts(deployment.artefacts, subject)
    return _joined(own, _others(places, head, subject))


def returning(
    places: TrialPlaces, record: RolloutRecord, head: Head, now: datetime
) -> Deployment | None:
    """What serves where a promoted candidate is taken back: the parts of its subject that served before it,
    and the others as they serve now; recorded. None where nothing is left.

    Raises:
        ShouldNameKnownId: what served before is not on record.
    """
    before, parts = None, tuple[Artefact, ...]()
    if record.previous_deployment:
        before = places.deployments.deployment(record.previous_deployment, record.tenant)
        parts = own_parts(before.artefacts, record.subject)
    artefacts = _joined(parts, _others(places, head, record.subject))
    if not artefacts:
        return None
    made = deployment_id_of(record.loop, record.tenant, artefacts)
    if before is not None and made == before.deployment_id:
        return before
    return places.deployments.record(
        Deployment(made, record.loop, artefacts, now.astimezone(UTC), record.tenant)
    )


def rebased(places: TrialPlaces, deployment: Deployment, subject: str, head: Head) -> Deployment:
    """A candidate's manifest on what serves beside it now; the same one where that did not change."""
    artefacts = beside(places, deployment, subject, head)
    made = deployment_id_of(deployment.loop, deployment.tenant, artefacts)
    if made == deployment.deployment_id:
        return deployment
    return replace(deployment, deployment_id=made, artefacts=artefacts, measured=None, outcome="")


def _others(places: TrialPlaces, head: Head, subject: str) -> tuple[Artefact, ...]:
    """What serves in roles that are not the subject's."""
    if head.deployment_id:
        serving = places.deployments.deployment(head.deployment_id, head.tenant).artefacts
    else:
        serving = tuple(
            part_of(places.registry.checkpoint(serves.checkpoint_id), role)
            for role, serves in head.serves.items()
            if serves.checkpoint_id is not None
        )
    own = own_parts(serving, subject)
    return tuple(part for part in serving if part not in own)


def _joined(*parts: tuple[Artefact, ...]) -> tuple[Artefact, ...]:
    return tuple(sorted((each for some in parts for each in some), key=lambda part: part.role))
