"""``Registry`` in the workspace database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, RowMapping, insert, select

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import Clock
from everloop.contracts.rollouts import RolloutEvent, role_of
from everloop.storage.local.clock import SystemClock
from everloop.storage.payloads import NOT_PAYLOAD, payload_sha256
from everloop.storage.schema import deployment_log, model_checkpoints
from everloop.storage.sql.aliases import (
    CANDIDATE,
    checkpoint_row,
    move_alias,
    read_alias,
    require_checkpoint,
    require_checkpoint_of,
)
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.head_rows import raise_revision
from everloop.storage.sql.rollout_events import append_event

_NOT_PAYLOAD = NOT_PAYLOAD | {"active", "training_date"}
# The same training registered again by a rerun carries another date; the first one stands.


class SqlRegistry:
    """Checkpoints, aliases and the deployment log of one workspace.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the deployment log.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def register(self, checkpoint: ModelCheckpoint) -> ModelCheckpoint:
        """See ``Registry``. Returns what is stored: a new checkpoint is never active."""
        sha256 = payload_sha256(checkpoint, _NOT_PAYLOAD)
        with writing(self._engine) as connection:
            stored = checkpoint_row(connection, checkpoint.checkpoint_id)
            if stored is None:
                connection.execute(insert(model_checkpoints).values(_row(checkpoint, sha256)))
                return replace(checkpoint, active=False)
            if stored["payload_sha256"] != sha256:
                raise ShouldResolveConflict(
                    f"Checkpoint {checkpoint.checkpoint_id} is registered with another payload.",
                    "Derive the id from the files and the lineage, and register each once.",
                )
            return _checkpoint(stored)

    def checkpoint(self, checkpoint_id: str) -> ModelCheckpoint:
        """See ``Registry``."""
        with reading(self._engine) as connection:
            return _checkpoint(require_checkpoint(connection, checkpoint_id))

    def checkpoints(self, loop: str, tenant: str = "default") -> tuple[ModelCheckpoint, ...]:
        """See ``Registry``."""
        table = model_checkpoints.c
        query = (
            select(model_checkpoints)
            .where(table.tenant == tenant, table.loop == loop)
            .order_by(table.training_date.desc(), table.checkpoint_id)
        )
        with reading(self._engine) as connection:
            return tuple(_checkpoint(row) for row in connection.execute(query).mappings())

    def loops(self, tenant: str = "default") -> tuple[str, ...]:
        """See ``Registry``."""
        query = select(model_checkpoints.c.loop).where(model_checkpoints.c.tenant == tenant)
        with reading(self._engine) as connection:
            return tuple(sorted(connection.scalars(query.distinct())))

    def alias(self, loop: str, alias: str, tenant: str = "default") -> tuple[str | None, int]:
        """See ``Registry``."""
        with reading(self._engine) as connection:
            return read_alias(connection, loop, alias, tenant)

    def set_alias(
        self,
        loop: str,
        alias: str,
        checkpoint_id: str | None,
        expected_generation: int,
        reason: str,
        tenant: str = "default",
        actor: str = "",
    ) -> int:
        """See ``Registry``; ``ShouldRestoreArtefact`` when the loop has no such checkpoint.

        A part of what serves that is moved by itself leaves no manifest serving; that is an event.
        """
        with writing(self._engine) as connection:
            previous, generation = read_alias(connection, loop, alias, tenant)
            if generation != expected_generation:
                raise ShouldResolveConflict(
                    f"Alias {alias!r} of {loop} is at generation {generation}, not "
                    f"{expected_generation}: it was changed meanwhile.",
                    "Read the alias again and decide anew.",
                )
            if checkpoint_id is not None:
                require_checkpoint_of(connection, checkpoint_id, loop, tenant)
            now = self._clock.now()
            generation = move_alias(connection, loop, alias, checkpoint_id, reason, tenant, now)
            parts_change = role_of(alias) is not None and checkpoint_id != previous
            if role_of(alias) is not None or alias == CANDIDATE:
                raise_revision(connection, loop, tenant, "" if parts_change else None)
            if parts_change:
                append_event(
                    connection,
                    RolloutEvent(
                        loop=loop,
                        kind="deployed",
                        at=now,
                        actor=actor,
                        reason=f"{alias} is {checkpoint_id or 'nothing'}: {reason}",
                        tenant=tenant,
                    ),
                )
            if actor:
                detail = {
                    "loop": loop,
                    "alias": alias,
                    "generation": generation,
                    "previous": previous,
                    "reason": reason,
                }
                append_audit(
                    *(connection, tenant, actor, "model.deploy", checkpoint_id or "none", 1),
                    detail,
                    now,
                )
            return generation

    def deployment_log(
        self, loop: str, tenant: str = "default"
    ) -> tuple[Mapping[str, str | int | None], ...]:
        """See ``Registry``. Oldest first; keys ``alias``, ``generation``, ``checkpoint_id``,
        ``previous_checkpoint_id``, ``reason`` and ``recorded_at`` (ISO 8601, UTC)."""
        table = deployment_log.c
        query = (
            select(deployment_log)
            .where(table.tenant == tenant, table.loop == loop)
            .order_by(table.recorded_at, table.generation, table.alias)
        )
        with reading(self._engine) as connection:
            return tuple(
                {
                    "alias": row["alias"],
                    "generation": row["generation"],
                    "checkpoint_id": row["checkpoint_id"],
                    "previous_checkpoint_id": row["previous_checkpoint_id"],
                    "reason": row["reason"],
                    "recorded_at": row["recorded_at"].isoformat(),
                }
                for row in connection.execute(query).mappings()
            )


def _row(checkpoint: ModelCheckpoint, sha256: bytes) -> dict[str, Any]:
    return {
        "tenant": checkpoint.tenant,
        "checkpoint_id": checkpoint.checkpoint_id,
        "loop": checkpoint.loop,
        "model_type": str(checkpoint.model_type),
        "weights_url": checkpoint.weights_url,
        "weights_sha256": checkpoint.weights_sha256,
        "performance_metrics": dict(checkpoint.performance_metrics),
        "training_date": checkpoint.training_date,
        "active": False,
        "provenance": str(checkpoint.provenance),
        "lineage": dict(checkpoint.lineage),
        "files": dict(checkpoint.files),
        "verdict": checkpoint.verdict,
        "schema_version": checkpoint.schema_version,
        "payload_sha256": sha256,
    }


def _checkpoint(row: RowMapping) -> ModelCheckpoint:
    return ModelCheckpoint(
        checkpoint_id=row["checkpoint_id"],
        model_type=ModelType(row["model_type"]),
        loop=row["loop"],
        weights_url=row["weights_url"],
        weights_sha256=row["weights_sha256"],
        performance_metrics=row["performance_metrics"],
        training_date=row["training_date"],
        provenance=Provenance(row["provenance"]),
        lineage=row["lineage"],
        verdict=row["verdict"],
        active=row["active"],
        tenant=row["tenant"],
        files=row["files"],
        schema_version=row["schema_version"],
    )
