"""``DeploymentStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.ports import Clock
from everloop.contracts.rollouts import (
    Deployment,
    EventKind,
    Head,
    RolloutEvent,
    RolloutRecord,
    SafetyBreaker,
    alias_of,
)
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.aliases import require_checkpoint_of
from everloop.storage.sql.deployment_rows import (
    change_deployment,
    deployment_row,
    deployments_of,
    record_deployment,
    written_estimate,
)
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.head_changes import change_head
from everloop.storage.sql.head_rows import (
    loops_with_a_head,
    raise_revision,
    read_head,
    require_revision,
)
from everloop.storage.sql.rollout_events import append_event, events_after, newest_event

LARGEST_PAGE = 1000


class SqlDeploymentStore:
    """Deployments of one workspace.

    Writers exclude each other, so what a transaction compares is true until it commits.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the events and the deployment log.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def record(self, deployment: Deployment) -> Deployment:
        """See ``DeploymentStore``; a judgement that the stored one lacks is added to it."""
        with writing(self._engine) as connection:
            return record_deployment(connection, deployment)

    def deployment(self, deployment_id: str, tenant: str = "default") -> Deployment:
        """See ``DeploymentStore``."""
        with reading(self._engine) as connection:
            return deployment_row(connection, deployment_id, tenant)

    def deployments(
        self, loop: str, limit: int = 100, tenant: str = "default"
    ) -> tuple[Deployment, ...]:
        """See ``DeploymentStore``; ``ShouldFixArgument`` unless 1 ≤ ``limit`` ≤ 1000."""
        with reading(self._engine) as connection:
            return deployments_of(connection, loop, _page(limit), tenant)

    def measured(
        self,
        deployment_id: str,
        measured: Estimate | None,
        outcome: str,
        tenant: str = "default",
    ) -> Deployment:
        """See ``DeploymentStore``; ``ShouldFixArgument`` for an empty outcome."""
        if not outcome:
            raise ShouldFixArgument(
                f"Deployment {deployment_id}: outcome={outcome!r} is empty.", "Say how it ended."
            )
        with writing(self._engine) as connection:
            stored = deployment_row(connection, deployment_id, tenant)
            if stored.outcome:
                return stored
            values = {"measured": written_estimate(measured), "outcome": outcome}
            change_deployment(connection, deployment_id, tenant, values)
            return replace(stored, measured=measured, outcome=outcome)

    def head(self, loop: str, tenant: str = "default") -> Head:
        """See ``DeploymentStore``."""
        with reading(self._engine) as connection:
            return read_head(connection, loop, tenant)

    def heads(self) -> tuple[Head, ...]:
        """See ``DeploymentStore``; by tenant, then loop."""
        with reading(self._engine) as connection:
            return tuple(
                read_head(connection, loop, tenant)
                for tenant, loop in loops_with_a_head(connection)
            )

    def swap(
        self,
        deployment: Deployment,
        expected_revision: int,
        kind: EventKind,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
        rollout: RolloutRecord | None = None,
        withdrawn: str = "",
    ) -> Head:
        """See ``DeploymentStore``.

        Raises:
            ShouldResolveConflict: what serves has another revision, or the rollout another generation.
            ShouldRestoreArtefact: a part is no checkpoint of the loop, or of another checksum.
            ShouldNameKnownId: there is no such rollout.
            ShouldFixArgument: the rollout belongs to another loop or tenant, the manifest's id is not
                the one of its parts, or no reason is given.
        """
        loop, tenant = deployment.loop, deployment.tenant
        _require_own(rollout, loop, tenant)
        _require_reason(deployment.deployment_id, reason)
        with writing(self._engine) as connection:
            head = require_revision(connection, loop, tenant, expected_revision)
            deployment = record_deployment(connection, deployment)
            moves = _moves(connection, deployment, head)
            told = self._event(
                *(loop, kind, reason, actor, deployment.deployment_id, tenant), evidence, withdrawn
            )
            return change_head(connection, head, moves, told, rollout)

    def withdraw(
        self,
        loop: str,
        withdrawn: str,
        expected_revision: int,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
        rollout: RolloutRecord | None = None,
        tenant: str = "default",
    ) -> Head:
        """See ``DeploymentStore``; raises as ``swap``."""
        _require_own(rollout, loop, tenant)
        _require_reason(withdrawn, reason)
        with writing(self._engine) as connection:
            head = require_revision(connection, loop, tenant, expected_revision)
            moves: dict[str, str | None] = {
                alias_of(role): None
                for role, serves in head.serves.items()
                if serves.checkpoint_id is not None
            }
            told = self._event(loop, "rolled_back", reason, actor, "", tenant, evidence, withdrawn)
            return change_head(connection, head, moves, told, rollout)

    def set_breaker(
        self, loop: str, breaker: SafetyBreaker, expected_revision: int, actor: str, tenant: str
    ) -> Head:
        """See ``DeploymentStore``; one that is as it is asked to be stays, without an event."""
        with writing(self._engine) as connection:
            head = require_revision(connection, loop, tenant, expected_revision)
            if head.breaker == breaker:
                return head
            raise_revision(connection, loop, tenant, breaker=breaker)
            append_event(
                connection,
                RolloutEvent(
                    loop=loop,
                    kind="breaker_opened" if breaker.open else "breaker_closed",
                    at=self._clock.now(),
                    actor=actor,
                    reason=breaker.reason,
                    deployment_id=head.deployment_id,
                    tenant=tenant,
                ),
            )
            return read_head(connection, loop, tenant)

    def events(
        self, loop: str, after: int = 0, limit: int = 200, tenant: str = "default"
    ) -> tuple[RolloutEvent, ...]:
        """See ``DeploymentStore``; ``ShouldFixArgument`` unless 1 ≤ ``limit`` ≤ 1000."""
        with reading(self._engine) as connection:
            return events_after(connection, loop, after, _page(limit), tenant)

    def last_event(
        self, rollout_id: str, kinds: Sequence[EventKind] = (), tenant: str = "default"
    ) -> RolloutEvent | None:
        """See ``DeploymentStore``."""
        with reading(self._engine) as connection:
            return newest_event(connection, rollout_id, kinds, tenant)

    def _event(
        self,
        loop: str,
        kind: EventKind,
        reason: str,
        actor: str,
        deployment_id: str,
        tenant: str,
        evidence: Mapping[str, Json] | None,
        withdrawn: str,
    ) -> RolloutEvent:
        taken = {"withdrawn": withdrawn} if withdrawn else {}
        return RolloutEvent(
            loop=loop,
            kind=kind,
            at=self._clock.now(),
            actor=actor,
            reason=reason,
            deployment_id=deployment_id,
            evidence={**(evidence or {}), **taken},
            tenant=tenant,
        )


def _require_own(rollout: RolloutRecord | None, loop: str, tenant: str) -> None:
    if rollout is not None and (rollout.loop, rollout.tenant) != (loop, tenant):
        raise ShouldFixArgument(
            f"Rollout {rollout.rollout_id} belongs to loop {rollout.loop!r} of tenant "
            f"{rollout.tenant!r}, not to {loop!r} of {tenant!r}.",
            "Swap a deployment of the rollout's loop.",
        )


def _require_reason(deployment_id: str, reason: str) -> None:
    if not reason.strip():
        raise ShouldFixArgument(
            f"Deployment {deployment_id}: reason={reason!r} is empty.", "Say why."
        )


def _moves(connection: Connection, deployment: Deployment, head: Head) -> dict[str, str | None]:
    """Alias -> checkpoint of every role that has to change, the roles that are cleared included."""
    moves: dict[str, str | None] = {}
    for artefact in deployment.artefacts:
        row = require_checkpoint_of(
            connection, artefact.artefact_id, deployment.loop, deployment.tenant
        )
        if row["weights_sha256"] != artefact.sha256:
            raise ShouldRestoreArtefact(
                f"Checkpoint {artefact.artefact_id} has checksum {row['weights_sha256']}, and "
                f"deployment {deployment.deployment_id} wants {artefact.sha256}.",
                "Make the manifest from what the registry holds.",
            )
        serves = head.serves.get(artefact.role)
        if serves is None or serves.checkpoint_id != artefact.artefact_id:
            moves[alias_of(artefact.role)] = artefact.artefact_id
    for role, serves in head.serves.items():
        if deployment.artefact(role) is None and serves.checkpoint_id is not None:
            moves[alias_of(role)] = None
    return moves


def _page(limit: int) -> int:
    if not 1 <= limit <= LARGEST_PAGE:
        raise ShouldFixArgument(
            f"limit={limit} is not within 1 to {LARGEST_PAGE}.", "Read page by page."
        )
    return limit
