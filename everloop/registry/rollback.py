"""Which deployment served before the one that serves, and may serve again."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Deployment, RolloutEvent

_PAGE = 1000


def previous_deployment(events: Iterable[RolloutEvent]) -> str | None:
    """The deployment to go back to; ``None`` where there is none.

    Going back to an earlier one withdraws everything that served after it, and a deployment that is taken
    out of service is withdrawn with everything that served after it, so that one which was taken away
    never comes back by itself. What parts that were moved one by one left serving is no
    deployment: nobody goes back to it, and it makes nothing withdrawn.

    Args:
        events: of one loop and tenant, oldest first.
    """
    standing: list[str] = []
    tried: dict[str, str] = {}
    for event in events:
        candidate = tried.setdefault(event.rollout_id, event.deployment_id)
        if not _made_serve(event, candidate):
            continue
        withdrawn = event.evidence.get("withdrawn")
        if withdrawn in standing:
            del standing[standing.index(str(withdrawn)) :]
        if event.deployment_id and event.deployment_id in standing:
            del standing[standing.index(event.deployment_id) + 1 :]
        else:
            standing.append(event.deployment_id)
    return next((name for name in reversed(standing[:-1]) if name), None)


def rollback_target(deployments: DeploymentStore, loop: str, tenant: str = "default") -> Deployment:
    """The deployment that a loop goes back to by hand.

    Raises:
        ShouldNameKnownId: nothing served before what serves.
    """
    events: list[RolloutEvent] = []
    while True:
        page = deployments.events(loop, events[-1].sequence if events else 0, _PAGE, tenant)
        events.extend(page)
        if len(page) < _PAGE:
            break
    found = previous_deployment(events)
    if found is None:
        raise ShouldNameKnownId(
            f"Nothing that may serve again served loop {loop!r} before.",
            "Deploy a checkpoint that everloop models list shows.",
        )
    return deployments.deployment(found, tenant)


def _made_serve(event: RolloutEvent, candidate: str) -> bool:
    """Whether the deployment of an event served from then on.

    A trial that is rolled back tells of its candidate, and leaves what serves as it is; or of what serves
    in the candidate's place.
    """
    if event.kind == "rolled_back" and event.rollout_id:
        return event.deployment_id != candidate
    return event.kind in ("deployed", "promoted", "rolled_back")
