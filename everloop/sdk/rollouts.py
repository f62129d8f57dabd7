"""Trials from Python: what is on trial, its verdict, and what a person may do about it.

>>> from everloop import sdk
>>> sdk.watch("companion").outcome.sentence                            # doctest: +SKIP
>>> sdk.rollback("companion", by="ann", reason="complaints")           # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import Head, RolloutEvent, RolloutRecord
from everloop.loops import load
from everloop.rollout import by_hand
from everloop.rollout.standing import StandingVerdict, standing_verdict
from everloop.rollout.subject import served_by
from everloop.sdk.voice_head import follow_voice
from everloop.wiring import Workspace, open_workspace

Action = Callable[[LoopSpec, Workspace, str, str, str, datetime, str], RolloutRecord]


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """Where a loop stands: its head, the trial's verdict, and who waits, the next one first."""

    head: Head
    verdict: StandingVerdict | None
    waiting: tuple[RolloutRecord, ...]


def rollout_status(
    loop: str, *, tenant: str = "default", home: Path | str | None = None
) -> RolloutStatus:
    """What serves, what is on trial, what its verdict is, and what waits for its turn or for a person."""
    workspace, spec = open_workspace(home), load(loop)
    head = workspace.deployments.head(spec.name, tenant)
    verdict = None
    if head.trial is not None and head.trial.deployment_id:
        verdict = standing_verdict(
            spec, workspace, head.trial.deployment_id, datetime.now(UTC), tenant
        )
    waiting = [
        record
        for record in workspace.rollouts.rollouts(spec.name, tenant)
        if record.state in ("waiting", "awaiting_approval")
    ]
    return RolloutStatus(
        head, verdict, tuple(sorted(waiting, key=lambda r: r.entered_at, reverse=True))
    )


def list_rollouts(
    loop: str, *, tenant: str = "default", home: Path | str | None = None
) -> tuple[RolloutRecord, ...]:
    """A loop's trials and refusals, newest first."""
    return open_workspace(home).rollouts.rollouts(load(loop).name, tenant)


def rollout_events(
    loop: str,
    after: int = 0,
    limit: int = 200,
    *,
    tenant: str = "default",
    home: Path | str | None = None,
) -> tuple[RolloutEvent, ...]:
    """What happened to what serves and to trials, oldest first, after an event's number."""
    return open_workspace(home).deployments.events(load(loop).name, after, limit, tenant)


def verdict_of(
    deployment_id: str, loop: str, *, tenant: str = "default", home: Path | str | None = None
) -> StandingVerdict:
    """The verdict on a deployment as it stands."""
    now = datetime.now(UTC)
    return standing_verdict(load(loop), open_workspace(home), deployment_id, now, tenant)


def approve(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """Agree to a start or a promotion that waits for a person.

    Args:
        rollout_id: which one; by default the one that awaits approval, else the one on trial.
        by: the name of who agrees.

    Raises:
        ShouldNameKnownId: there is none. ShouldFixArgument, ShouldResolveConflict: it can't be done.
    """
    return _done(by_hand.approve, loop, rollout_id, by, reason, tenant, home, _awaiting)


def pause(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """Keep the trial at the traffic it has. As ``approve``."""
    return _done(by_hand.pause, loop, rollout_id, by, reason, tenant, home, _live)


def resume(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """Let a paused trial go on. As ``approve``."""
    return _done(by_hand.resume, loop, rollout_id, by, reason, tenant, home, _live)


def promote(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """Make the candidate on trial what serves, whatever its figures say. As ``approve``."""
    return _done(by_hand.promote, loop, rollout_id, by, reason, tenant, home, _live)


def rollback(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """Take the candidate off its trial; with none on trial, what was promoted last out of service.

    As ``approve``.
    """
    return _done(by_hand.rollback, loop, rollout_id, by, reason, tenant, home, _live_or_serving)


def end(
    loop: str,
    rollout_id: str = "",
    *,
    by: str,
    reason: str,
    tenant: str = "default",
    home: Path | str | None = None,
) -> RolloutRecord:
    """End a trial, or the wait for one, without a winner. As ``approve``."""
    return _done(by_hand.end, loop, rollout_id, by, reason, tenant, home, _live)


def _done(
    action: Action,
    loop: str,
    rollout_id: str,
    by: str,
    reason: str,
    tenant: str,
    home: Path | str | None,
    default: Callable[[Workspace, str, str], RolloutRecord | None],
) -> RolloutRecord:
    workspace, spec = open_workspace(home), load(loop)
    if not rollout_id:
        found = default(workspace, spec.name, tenant)
        if found is None:
            raise ShouldNameKnownId(
                f"Loop {spec.name!r} has nothing on trial that this could be about.",
                "See everloop rollout list, and name one.",
            )
        rollout_id = found.rollout_id
    done = action(spec, workspace, rollout_id, by, reason, datetime.now(UTC), tenant)
    head = workspace.deployments.head(spec.name, tenant)
    follow_voice(workspace, spec, head, workspace.rollouts.rollouts(spec.name, tenant))
    return done


def _live(workspace: Workspace, loop: str, tenant: str) -> RolloutRecord | None:
    return workspace.deployments.head(loop, tenant).trial


def _awaiting(workspace: Workspace, loop: str, tenant: str) -> RolloutRecord | None:
    known = workspace.rollouts.rollouts(loop, tenant)
    found = next((record for record in known if record.state == "awaiting_approval"), None)
    return found or _live(workspace, loop, tenant)


def _live_or_serving(workspace: Workspace, loop: str, tenant: str) -> RolloutRecord | None:
    head = workspace.deployments.head(loop, tenant)
    if head.trial is not None:
        return head.trial
    return next(
        (
            record
            for record in workspace.rollouts.rollouts(loop, tenant)
            if record.state == "promoted" and record.candidate == served_by(head, record.subject)
        ),
        None,
    )
