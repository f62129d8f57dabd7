"""Whether a promoted deployment was taken out of service again."""

from __future__ import annotations

from collections.abc import Iterator

from everloop.contracts.rollouts import RolloutEvent, RolloutRecord
from everloop.rollout.places import TrialPlaces
from everloop.rollout.subject import served_by

_PAGE = 1000


def taken_back(places: TrialPlaces, record: RolloutRecord) -> RolloutEvent | None:
    """The event that took a promoted deployment out of service; None where none did.

    Another deployment that was promoted or deployed after it replaced it and took nothing back. What
    leaves nothing serving did: a policy whose alias was cleared by hand is named by the event of that.
    """
    serves, back, last = True, None, None
    for event in _since_promotion(places, record):
        if event.kind == "rolled_back" and event.evidence.get("withdrawn") == record.deployment_id:
            serves, back = False, event
        elif _changed_what_serves(event):
            if event.deployment_id == record.deployment_id:
                serves, back = True, None
            elif serves and event.kind == "rolled_back":
                serves, back = False, event
            elif event.deployment_id:
                serves = False
            last = event
    if back is None and serves and last is not None and not last.deployment_id:
        head = places.deployments.head(record.loop, record.tenant)
        emptied = served_by(head, record.subject) is None
        return last if emptied else None
    return back


def _since_promotion(places: TrialPlaces, record: RolloutRecord) -> Iterator[RolloutEvent]:
    promoted = places.deployments.last_event(record.rollout_id, ("promoted",), record.tenant)
    after = 0 if promoted is None else promoted.sequence
    while page := places.deployments.events(record.loop, after, _PAGE, record.tenant):
        yield from page
        after = page[-1].sequence


def _changed_what_serves(event: RolloutEvent) -> bool:
    """A trial that is rolled back leaves what serves as it is, unless its event says what it withdrew."""
    if event.kind == "rolled_back":
        return "withdrawn" in event.evidence or not event.rollout_id
    return event.kind in ("deployed", "promoted")
