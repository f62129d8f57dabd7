"""Decisions as rows of their table, and back.

Rows that are written in bulk hold what the SQLite driver stores as it is, like those of
``event_rows``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from everloop.contracts.episodes import Arm, canonical_json
from everloop.contracts.serving import Decision
from everloop.storage.column_types import microseconds


def decision_row(
    record: Decision, seq: int, ingested_at: datetime, sha256: bytes
) -> dict[str, Any]:
    """A row of ``decisions``; ``sha256`` is ``bytes.fromhex(record.request_sha256)``."""
    return {
        "tenant": record.tenant,
        "decision_id": record.decision_id,
        "seq": seq,
        "loop": record.loop,
        "user_id": record.user_id,
        "timestamp": microseconds(record.timestamp),
        "action_taken": record.action_taken,
        "propensity": record.propensity,
        "arm": str(record.arm),
        "model_version": record.model_version,
        "epsilon": record.epsilon,
        "fallback": record.fallback,
        "schema_version": record.schema_version,
        "ingested_at": microseconds(ingested_at),
        "payload_sha256": sha256,
        "valid_actions": canonical_json(record.valid_actions),
        "action_arguments": canonical_json(dict(record.action_arguments)),
        "context_snapshot": canonical_json(dict(record.context_snapshot)),
    }


def decision_of(row: RowMapping) -> Decision:
    """The record that ``decision_row`` stored."""
    return Decision(
        decision_id=row["decision_id"],
        user_id=row["user_id"],
        loop=row["loop"],
        context_snapshot=row["context_snapshot"],
        action_taken=row["action_taken"],
        propensity=row["propensity"],
        valid_actions=tuple(row["valid_actions"]),
        timestamp=row["timestamp"],
        model_version=row["model_version"],
        arm=Arm(row["arm"]),
        epsilon=row["epsilon"],
        request_sha256=bytes(row["payload_sha256"]).hex(),
        action_arguments=row["action_arguments"],
        fallback=row["fallback"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
    )
