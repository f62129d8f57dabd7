"""A policy that was taken away from people before, under another checkpoint's name.

Learners repeat themselves: run again on the same releases, one registers another checkpoint with the same
weights. A trial of them against what serves would be the same trial, so a named person decides whether it
is held once more.
"""

from __future__ import annotations

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.rollouts import POLICY, Artefact, Deployment, RolloutRecord
from everloop.rollout.places import TrialPlaces

TRIED_BEFORE = "tried_before"


def tried_before(places: TrialPlaces, deployment: Deployment) -> RolloutRecord | None:
    """The newest rollout of the same policy that ended badly against what serves now; None without one.

    The same policy: another checkpoint whose version or file is the same. Badly: rolled back, or promoted
    over what serves again by now.
    """
    policy = deployment.artefact(POLICY)
    if policy is None:
        return None
    loop, tenant = deployment.loop, deployment.tenant
    serves = places.deployments.head(loop, tenant).serves.get(POLICY)
    active = None if serves is None else serves.checkpoint_id
    for record in places.rollouts.rollouts(loop, tenant):
        over = record.state in ("rolled_back", "promoted") and record.active == active
        if not over or not record.deployment_id or record.candidate == policy.artefact_id:
            continue
        earlier = places.deployments.deployment(record.deployment_id, tenant).artefact(POLICY)
        if earlier is not None and _same(earlier, policy):
            return record
    return None


def asks_a_person(earlier: RolloutRecord) -> Check:
    """The check that holds a policy which was tried before, until a person lets it pass."""
    what = "was rolled back" if earlier.state == "rolled_back" else "was promoted and withdrawn"
    why = f": {earlier.reasons[0]}" if earlier.reasons else ""
    reason = (
        f"The same policy {what} against what serves now, as checkpoint {earlier.candidate} in rollout "
        f"{earlier.rollout_id}{why} A named person may try it anyway: everloop rollout approve."
    )
    return Check(TRIED_BEFORE, CheckStatus.INSUFFICIENT, reason, person_decides=True)


def _same(one: Artefact, other: Artefact) -> bool:
    return one.version == other.version or one.sha256 == other.sha256
