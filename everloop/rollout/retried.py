"""What was taken away from people before, under another checkpoint's name: a policy, or a voice.

Learners repeat themselves: run again on the same releases, one registers another checkpoint with the same
weights. A trial of them against what serves would be the same trial, so a named person decides whether it
is held once more.
"""

from __future__ import annotations

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.rollouts import (
    POLICY,
    VOICE_ROLES,
    Artefact,
    Deployment,
    RolloutRecord,
)
from everloop.rollout.places import TrialPlaces
from everloop.rollout.subject import own_parts, served_by, subject_of

TRIED_BEFORE = "tried_before"


def tried_before(places: TrialPlaces, deployment: Deployment) -> RolloutRecord | None:
    """The newest rollout of the same policy or voice that ended badly against what serves now; None without
    one.

    The same: another checkpoint whose version or file is the same; of a voice, every part. Badly: rolled
    back, or promoted over what serves again by now.
    """
    loop, tenant = deployment.loop, deployment.tenant
    head, records = places.deployments.head(loop, tenant), places.rollouts.rollouts(loop, tenant)
    own = (r.subject for r in records if r.deployment_id == deployment.deployment_id)
    subject = next(own, None) or subject_of(deployment, head).role
    tried, active = deployment.artefact(subject), served_by(head, subject)
    if tried is None:
        return None
    for record in records:
        over = record.state in ("rolled_back", "promoted") and record.active == active
        if not over or not record.deployment_id or record.candidate == tried.artefact_id:
            continue
        earlier = places.deployments.deployment(record.deployment_id, tenant)
        if record.subject == subject and _alike(earlier, deployment, subject):
            return record
    return None


def asks_a_person(earlier: RolloutRecord) -> Check:
    """The check that holds what was tried before, until a person lets it pass."""
    what = "was rolled back" if earlier.state == "rolled_back" else "was promoted and withdrawn"
    why = f": {earlier.reasons[0]}" if earlier.reasons else ""
    kind = "voice" if earlier.is_of_voice else "policy"
    reason = (
        f"The same {kind} {what} against what serves now, as checkpoint {earlier.candidate} in rollout "
        f"{earlier.rollout_id}{why} A named person may try it anyway: everloop rollout approve."
    )
    return Check(TRIED_BEFORE, CheckStatus.INSUFFICIENT, reason, person_decides=True)


def _alike(one: Deployment, other: Deployment, subject: str) -> bool:
    """Of a policy its heads may differ; a voice is all of its parts."""
    if subject not in VOICE_ROLES:
        return _same(one.artefact(POLICY), other.artefact(POLICY))
    roles = {p.role for each in (one, other) for p in own_parts(each.artefacts, subject)}
    return all(_same(one.artefact(role), other.artefact(role)) for role in roles)


def _same(one: Artefact | None, other: Artefact | None) -> bool:
    if one is None or other is None:
        return False
    versioned = bool(one.version) and one.version == other.version
    return versioned or one.sha256 == other.sha256
