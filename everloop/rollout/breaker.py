"""The safety breaker of a loop: opened by hand, by a trial's hard failure, or by the active model itself.

``set_breaker(deployments, loop, is_open, reason, actor, now, tenant="default") -> Head``; a ``Workspace``
has the store as ``workspace.deployments``. While it is open no safety-critical action is taken, whoever
decides (``everloop/serving/decisions/answering.py``); a person closes it.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.evaluation import Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Head, SafetyBreaker, TrialVerdict
from everloop.rollout.health import HARD_LIMITS
from everloop.rollout.shares import log_evidence_above

ALARM = 0.001
"""Probability of opening on a model whose share of safety-critical actions is at its limit, for one block
of decisions however often it is looked at."""
_ATTEMPTS = 5


def set_breaker(
    deployments: DeploymentStore,
    loop: str,
    is_open: bool,
    reason: str,
    actor: str,
    now: datetime,
    tenant: str = "default",
) -> Head:
    """Open or close a loop's breaker; what it serves then. Safe to repeat: one that is as wanted stays,
    with its first reason.

    Raises:
        ShouldFixArgument: nobody, no reason, or a time without a zone.
        ShouldResolveConflict: what the loop serves keeps changing under this call.
    """
    if not actor.strip() or not reason.strip():
        raise ShouldFixArgument(
            f"The breaker of {loop!r}: actor={actor!r}, reason={reason!r}.", "Say who and why."
        )
    if now.tzinfo is None:
        raise ShouldFixArgument(f"now={now.isoformat()} has no time zone.", "Give it in UTC.")
    wanted = SafetyBreaker(is_open, reason, now.astimezone(UTC) if is_open else None)
    for _ in range(_ATTEMPTS):
        head = deployments.head(loop, tenant)
        if head.breaker.open == is_open:
            return head
        try:
            return deployments.set_breaker(loop, wanted, head.revision, actor, tenant)
        except ShouldResolveConflict:
            continue
    raise ShouldResolveConflict(
        f"What loop {loop!r} serves changed {_ATTEMPTS} times while its breaker was set.",
        "Find out what else changes it, then try again.",
    )


def failed_hard(verdict: TrialVerdict) -> bool:
    """Whether a trial is rolled back because people met a candidate that broke a hard limit."""
    return verdict.decision is Decision.ROLLBACK and bool(
        set(verdict.decided_by) & set(HARD_LIMITS)
    )


def open_after(
    spec: LoopSpec, deployments: DeploymentStore, verdict: TrialVerdict, actor: str, tenant: str
) -> None:
    """Open the loop's breaker where a trial failed hard and there is something to take away: until somebody
    has looked, nobody trusts the gate that let the candidate through."""
    if failed_hard(verdict) and any(action.safety_critical for action in spec.actions):
        why = f"Trial {verdict.rollout_id}: {verdict.reasons[0]}"
        set_breaker(deployments, spec.name, True, why, actor, verdict.at, tenant)


def too_critical(spec: LoopSpec, taken: int, decisions: int) -> str:
    """Why the breaker opens on an active model's own account; empty where it need not.

    It does where ``shares.log_evidence_above`` puts the share of safety-critical actions above
    ``thresholds.max_safety_critical_share`` at ``ALARM``.

    Args:
        taken: safety-critical actions among ``decisions`` that could have been something else.
    """
    limit = spec.thresholds.max_safety_critical_share
    if log_evidence_above(taken, decisions, limit) < math.log(1.0 / ALARM):
        return ""
    return (
        f"The active model took safety-critical actions in {taken:,} of its last {decisions:,} "
        f"decisions ({taken / decisions:.1%}); at most {limit:.1%} may be."
    )
