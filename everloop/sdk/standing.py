"""What the gate's answer depends on beside the artifacts of its run, as one token for the graph's cache.

A rerun of a date finds every stage done, the gate too. Where a loop asks for regular reviews, what people
have said since, what serves by now and the day itself may have changed the answer; so may a check that
another distribution installed. A loop without either keeps the answer that it had.
"""

from __future__ import annotations

import hashlib
from datetime import date

from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import OversightKind
from everloop.contracts.rollouts import POLICY, alias_of
from everloop.gates.plugins import fingerprint
from everloop.wiring import Workspace


def standing(workspace: Workspace, spec: LoopSpec, tenant: str, today: date) -> str:
    """SHA-256 of it; "" where the gate's answer rests on the run alone."""
    asked = spec.rollout.oversight
    regular = {
        OversightKind.REVIEW: asked.weekly_review_days,
        OversightKind.ADVERSARIAL_TEST: asked.adversarial_test_days,
    }
    duties = [kind for kind, days in regular.items() if days is not None]
    checks = fingerprint()
    if not duties and not checks:
        return ""
    parts: dict[str, str | None] = {"checks": checks}
    if duties:
        parts["today"] = today.isoformat()
        parts["active"] = workspace.registry.alias(spec.name, alias_of(POLICY), tenant)[0]
    for kind in duties:
        word = workspace.oversights.latest(spec.name, kind, tenant=tenant)
        parts[kind.value] = word.sha256 if word else None
    return hashlib.sha256(canonical_bytes(parts)).hexdigest()
