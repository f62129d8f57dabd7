"""A candidate whose rival stopped serving while it waited: judged anew, its trial begins or not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from everloop.contracts.documents import to_json
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.evaluation import Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord
from everloop.rollout.decide import moved
from everloop.rollout.places import TrialPlaces
from everloop.rollout.settle import begin, settle


def reconsidered(
    spec: LoopSpec,
    places: TrialPlaces,
    record: RolloutRecord,
    verdict: Verdict,
    now: datetime,
    actor: str,
) -> RolloutRecord:
    """Act on the verdict of a candidate against what serves by now: its trial begins, or it is refused.

    One that somebody changed meanwhile stays as it is; older ones end when it begins, and the next newest
    is looked at when it is refused.
    """
    try:
        if verdict.decision is Decision.CONTINUE:
            head = places.deployments.head(spec.name, record.tenant)
            begin(spec, places, record, head, verdict.reasons, now, actor)
        else:
            reasons = verdict.reasons or ("The gate made no check.",)
            refused = moved(record, "refused", 0.0, now.astimezone(UTC), reasons)
            evidence = json.loads(to_json(verdict))
            places.rollouts.advance(refused, "refused", reasons[0], actor, evidence)
    except ShouldResolveConflict:
        return places.rollouts.rollout(record.rollout_id, record.tenant)
    settle(spec, places, now, actor, record.tenant)
    return places.rollouts.rollout(record.rollout_id, record.tenant)
