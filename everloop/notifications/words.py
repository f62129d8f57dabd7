"""What is told of a run, a candidate, a trial and a budget, and what the same thing is told once by."""

from __future__ import annotations

import hashlib
from datetime import date, datetime

from everloop.contracts.evaluation import CheckStatus, Decision
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollouts import RolloutRecord, TrialVerdict

BUDGET_SHARES = (0.8, 0.95, 1.0)
"""Shares of a period's epsilon at which the person who has spent most is told of."""
_TITLE = 120


def of_failure(
    run_id: str, loop: str, stage: str, problem: str, at: datetime, tenant: str = "default"
) -> Notice:
    """A run that failed, once per run, stage and problem."""
    digest = hashlib.sha256(problem.encode()).hexdigest()[:16]
    return Notice(
        key=f"failure/{run_id}/{stage}/{digest}",
        kind=NoticeKind.FAILURE,
        loop=loop,
        title=_line(f"Run {run_id} failed at {stage or 'its start'}"),
        body=f"{problem}\nRun the same command again to continue; everloop runs show {run_id}.",
        at=at,
        facts={"run_id": run_id, "stage": stage},
        tenant=tenant,
    )


def of_candidate(record: RolloutRecord, at: datetime) -> Notice | None:
    """A candidate that the gate held, or that waits for a person; ``None`` for one that goes on."""
    if record.state == "refused":
        kind, said = NoticeKind.HOLD, "The gate holds a candidate"
        remedy = f"everloop models list --loop {record.loop} shows its verdict."
    elif record.state == "awaiting_approval":
        kind, said = NoticeKind.AWAITING_APPROVAL, "A candidate waits for approval"
        remedy = f"everloop rollout approve {record.rollout_id} --by NAME --reason TEXT"
    else:
        return None
    return Notice(
        key=f"{kind.value}/{record.rollout_id}",
        kind=kind,
        loop=record.loop,
        title=_line(f"{said} of {record.loop}"),
        body="\n".join((*record.reasons, remedy)),
        at=at,
        facts={"rollout_id": record.rollout_id, "candidate": record.candidate},
        tenant=record.tenant,
    )


def of_trial(verdict: TrialVerdict, loop: str, tenant: str = "default") -> Notice | None:
    """A trial that was rolled back, promoted, or is held by more than time and numbers.

    A hold is told once for each set of checks that failed; one that only waits for people or hours isn't.
    """
    failed = sorted(c.name for c in verdict.checks if c.status is CheckStatus.FAILED)
    if verdict.decision is Decision.ROLLBACK:
        kind, said, which = NoticeKind.ROLLBACK, "A candidate was rolled back", ""
    elif verdict.decision is Decision.PROMOTE and not verdict.awaits_person:
        kind, said, which = NoticeKind.PROMOTION, "A candidate was promoted", ""
    elif verdict.awaits_person:
        kind, said, which = NoticeKind.AWAITING_APPROVAL, "A trial waits for approval", "trial"
    elif verdict.decision is Decision.HOLD and failed:
        kind, said, which = NoticeKind.HOLD, "A trial is held", "+".join(failed)
    else:
        return None
    return Notice(
        key="/".join(filter(None, (kind.value, verdict.rollout_id, which))),
        kind=kind,
        loop=loop,
        title=_line(f"{said}: {loop}"),
        body="\n".join((*verdict.reasons, *verdict.alerts)),
        at=verdict.at,
        facts={
            "rollout_id": verdict.rollout_id,
            "deployment_id": verdict.deployment_id,
            "decided_by": list(verdict.decided_by),
        },
        tenant=tenant,
    )


def of_budget(
    status: BudgetStatus, loop: str, on: date, at: datetime, tenant: str = "default"
) -> Notice | None:
    """A budget that is nearly spent, once a month for each of ``BUDGET_SHARES``; else ``None``."""
    share = status.epsilon_period / status.epsilon_budget
    passed = [limit for limit in BUDGET_SHARES if share >= limit - 1e-9]
    if not passed:
        return None
    return Notice(
        key=f"budget/{loop}/{passed[-1]:g}/{on:%Y-%m}",
        kind=NoticeKind.BUDGET,
        loop=loop,
        title=_line(f"{share:.0%} of the privacy budget of {loop} is spent"),
        body=(
            f"The person who has spent most is at epsilon {status.epsilon_period:.3g} of "
            f"{status.epsilon_budget:g} over {status.period_days} days (delta {status.delta:g}); "
            f"{status.nights_left} more nights are covered, {status.people_retired} people are left "
            f"out already. everloop privacy status --loop {loop} shows the plan."
        ),
        at=at,
        facts={"share": round(share, 4), "nights_left": status.nights_left},
        tenant=tenant,
    )


def _line(text: str) -> str:
    """A title: one line of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _TITLE else flat[: _TITLE - 1] + "…"
