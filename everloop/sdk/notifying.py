"""Telling people what a run or a trial came to, through the channels that the environment names."""

from __future__ import annotations

from datetime import UTC, date, datetime

from everloop import settings
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import RunRecord
from everloop.contracts.notifications import Notice, NoticeChannel, QueuedNotice
from everloop.notifications.channels import channels_of
from everloop.notifications.noticing import news
from everloop.notifications.outbox import Delivered, deliver
from everloop.notifications.words import of_budget, of_failure
from everloop.wiring import Workspace


def configured() -> tuple[NoticeChannel, ...]:
    """The channels that the environment names; none where it names nothing.

    Raises:
        ShouldFixArgument, ShouldProvideKey: as ``settings.notifications``.
    """
    return channels_of(settings.notifications())


def queue(workspace: Workspace, *notices: Notice | None) -> int:
    """Put notices in the outbox; how many are new. A running service sends them.

    ``None`` is nothing to tell. Without any channel nothing is queued: it would wait for ever, and all be
    told on the day when one is named.
    """
    names = [channel.name for channel in configured()]
    return sum(
        workspace.notices.queue(notice, names) for notice in notices if notice is not None and names
    )


def tell(workspace: Workspace, *notices: Notice | None) -> Delivered:
    """Put notices in the outbox and send what is due; what can't be sent now stays in it."""
    queue(workspace, *notices)
    return deliver_due(workspace)


def tell_of_run(workspace: Workspace, record: RunRecord) -> Delivered:
    """Tell of a finished run: its failure, and what became of the loop's trials in the last day."""
    if not configured():
        return Delivered()
    now = datetime.now(UTC)
    failure = None
    if record.status == "failed":
        stage = next((s.stage for s in record.stages if s.outcome == "failed"), "")
        failure = of_failure(record.run_id, record.loop, stage, record.verdict, now, record.tenant)
    told, _ = news(
        workspace.deployments, workspace.rollouts, record.loop, now, tenant=record.tenant
    )
    return tell(workspace, failure, *told)


def budget_notice(
    workspace: Workspace, spec: LoopSpec, on: date, tenant: str = "default"
) -> Notice | None:
    """That the privacy budget is nearly spent; None where it isn't, or where nobody would be told."""
    if not configured():
        return None
    status = workspace.ledger.status(spec, on)
    return of_budget(status, spec.name, on, datetime.now(UTC), tenant)


def deliver_due(workspace: Workspace, limit: int = 20) -> Delivered:
    """Send what is due. Who has no channel leaves it to the process that has one."""
    channels = configured()
    return (
        deliver(workspace.notices, channels, datetime.now(UTC), limit) if channels else Delivered()
    )


def outbox(
    workspace: Workspace, limit: int = 50, tenant: str = "default"
) -> tuple[QueuedNotice, ...]:
    """What was queued, newest first, and what became of it."""
    return workspace.notices.queued(limit, tenant)
