"""What is told of a run, a candidate, a trial and a budget, and what the same thing is told once by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime

from everloop.contracts.notifications import Notice, NoticeKind
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollouts import EventKind, RolloutEvent, RolloutRecord

BUDGET_SHARES = (0.8, 0.95, 1.0)
"""Shares of a period's epsilon at which the person who has spent most is told of."""
_TITLE = 120
_APPROVAL = (NoticeKind.AWAITING_APPROVAL, "A promotion waits for approval")
_BACK = (NoticeKind.ROLLBACK, "What served before serves again")
_EMPTY = (NoticeKind.ROLLBACK, "A promoted candidate was rolled back and nothing serves")
_TOLD: Mapping[EventKind, tuple[NoticeKind, str]] = {
    "refused": (NoticeKind.HOLD, "The gate holds a candidate"),
    "hold": (NoticeKind.HOLD, "A trial is held"),
    "rolled_back": (NoticeKind.ROLLBACK, "A candidate was rolled back"),
    "promoted": (NoticeKind.PROMOTION, "A candidate was promoted"),
    "breaker_opened": (NoticeKind.BREAKER, "Safety-critical actions are switched off"),
}


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


def of_waiting(record: RolloutRecord) -> Notice | None:
    """A candidate whose start waits for a person; ``None`` for any other."""
    if record.state != "awaiting_approval":
        return None
    remedy = (
        f"everloop rollout approve {record.rollout_id} --loop {record.loop} --by NAME --reason TEXT"
    )
    return Notice(
        key=f"{NoticeKind.AWAITING_APPROVAL.value}/{record.rollout_id}",
        kind=NoticeKind.AWAITING_APPROVAL,
        loop=record.loop,
        title=_line(f"A candidate waits for approval: {record.loop}"),
        body="\n".join((*record.reasons, remedy)),
        at=record.recorded_at,
        facts={"rollout_id": record.rollout_id, "candidate": record.candidate},
        tenant=record.tenant,
    )


def of_event(event: RolloutEvent) -> Notice | None:
    """What an event of a trial tells people, once for each event; ``None`` for one that needs nobody."""
    awaits = event.kind == "hold" and event.evidence.get("awaits_person") is True
    kind, said = _APPROVAL if awaits else _TOLD.get(event.kind, (None, ""))
    if event.kind == "rolled_back" and ("withdrawn" in event.evidence or not event.rollout_id):
        kind, said = _BACK if event.deployment_id else _EMPTY
    if kind is None:
        return None
    return Notice(
        key=f"{kind.value}/{event.loop}/{event.sequence}",
        kind=kind,
        loop=event.loop,
        title=_line(f"{said}: {event.loop}"),
        body=f"{event.reason}\neverloop rollout status --loop {event.loop}",
        at=event.at,
        facts={
            "rollout_id": event.rollout_id,
            "deployment_id": event.deployment_id,
            "actor": event.actor,
        },
        tenant=event.tenant,
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
