"""What a workspace's trials have to tell, read from their events.

Every change of a trial is an event in the same transaction, whoever made it, so that nothing that
happened goes untold because a process died before it could tell.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from everloop.contracts.notifications import Notice
from everloop.contracts.rollout_ports import DeploymentStore, RolloutStore
from everloop.notifications.words import of_event, of_waiting

NEWS = timedelta(days=1)
"""What is older is no news: a channel that is configured today is not sent a year of events."""
_PAGE = 200


def news(
    deployments: DeploymentStore,
    rollouts: RolloutStore,
    loop: str,
    now: datetime,
    after: int = 0,
    tenant: str = "default",
) -> tuple[tuple[Notice, ...], int]:
    """(notices of a loop's events above ``after`` and of candidates that wait for a person, the last
    event's sequence)."""
    told: list[Notice] = []
    while page := deployments.events(loop, after, _PAGE, tenant):
        after = page[-1].sequence
        fresh = (event for event in page if now - event.at <= NEWS)
        told.extend(notice for event in fresh if (notice := of_event(event)) is not None)
    for record in rollouts.rollouts(loop, tenant):
        notice = of_waiting(record)
        if notice is not None and now - notice.at <= NEWS:
            told.append(notice)
    return tuple(told), after
