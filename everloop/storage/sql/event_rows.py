"""Event records as rows of their tables, and back.

Rows that are written in bulk hold what the SQLite driver stores as it is: the column types convert
the same values, at twice the time of an append.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from everloop.contracts.episodes import (
    Arm,
    Consent,
    Dispute,
    Episode,
    Outcome,
    RewardSignal,
    canonical_json,
)
from everloop.storage.column_types import microseconds


def episode_row(episode: Episode, seq: int, ingested_at: datetime, sha256: bytes) -> dict[str, Any]:
    """A row of ``training_episodes``; ``sha256`` is the payload's."""
    return {
        "tenant": episode.tenant,
        "episode_id": episode.episode_id,
        "seq": seq,
        "loop": episode.loop,
        "user_id": episode.user_id,
        "timestamp": microseconds(episode.timestamp),
        "action_taken": episode.action_taken,
        "propensity": episode.propensity,
        "arm": str(episode.arm),
        "model_version": episode.model_version,
        "outcome": None if episode.outcome is None else str(episode.outcome),
        "reward_score": episode.reward_score,
        "schema_version": episode.schema_version,
        "ingested_at": microseconds(ingested_at),
        "payload_sha256": sha256,
        "valid_actions": canonical_json(episode.valid_actions),
        "action_arguments": canonical_json(episode.action_arguments),
        "context_snapshot": canonical_json(episode.context_snapshot),
    }


def signal_row(
    signal: RewardSignal, seq: int, ingested_at: datetime, sha256: bytes
) -> dict[str, Any]:
    """A row of ``reward_signals``; ``sha256`` is the payload's."""
    return {
        "tenant": signal.tenant,
        "signal_id": signal.signal_id,
        "seq": seq,
        "episode_id": signal.episode_id,
        "signal_type": signal.signal_type,
        "value": signal.value,
        "latency": signal.latency,
        "confidence": signal.confidence,
        "schema_version": signal.schema_version,
        "ingested_at": microseconds(ingested_at),
        "payload_sha256": sha256,
    }


def episode_of(row: RowMapping) -> Episode:
    """The record that ``episode_row`` stored."""
    return Episode(
        episode_id=row["episode_id"],
        user_id=row["user_id"],
        loop=row["loop"],
        context_snapshot=row["context_snapshot"],
        action_taken=row["action_taken"],
        timestamp=row["timestamp"],
        model_version=row["model_version"],
        propensity=row["propensity"],
        valid_actions=tuple(row["valid_actions"]),
        action_arguments=row["action_arguments"],
        arm=Arm(row["arm"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        reward_score=row["reward_score"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
    )


def signal_of(row: RowMapping) -> RewardSignal:
    """The record that ``signal_row`` stored."""
    return RewardSignal(
        signal_id=row["signal_id"],
        episode_id=row["episode_id"],
        signal_type=row["signal_type"],
        value=row["value"],
        latency=row["latency"],
        confidence=row["confidence"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
    )


def consent_of(row: RowMapping) -> Consent:
    """The record of a row of ``consents``."""
    return Consent(
        user_id=row["user_id"],
        purpose=row["purpose"],
        granted=row["granted"],
        recorded_at=row["recorded_at"],
        tenant=row["tenant"],
    )


def dispute_of(row: RowMapping) -> Dispute:
    """The record of a row of ``disputes``."""
    return Dispute(
        signal_id=row["signal_id"],
        reason=row["reason"],
        recorded_at=row["recorded_at"],
        status=row["status"],
        tenant=row["tenant"],
    )
