"""Small logged records for tests of storage: valid by default, each field easy to change."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from everloop.contracts.episodes import Consent, Dispute, Episode, RewardSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Extraction

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = NOON.date()
ANN, BEN = "a" * 64, "b" * 64
TYPES = ("engagement", "resonance")
CLOSES_AFTER = 3600


@dataclass
class SetClock:
    """A clock that stands where a test sets it."""

    moment: datetime = NOON + timedelta(days=30)

    def now(self) -> datetime:
        return self.moment


def uuid_of(number: int, kind: str = "episode") -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def episode(number: int = 1, at: datetime = NOON, **changes: Any) -> Episode:
    values: dict[str, Any] = {
        "episode_id": uuid_of(number),
        "user_id": ANN,
        "loop": "walk",
        "context_snapshot": {"mood": "calm", "hour": 12.5},
        "action_taken": "left",
        "timestamp": at,
        "model_version": "v1",
        "propensity": 0.25,
        "valid_actions": ("left", "right"),
    }
    return Episode(**(values | changes))


def signal(number: int = 1, of: int = 1, **changes: Any) -> RewardSignal:
    values: dict[str, Any] = {
        "signal_id": uuid_of(number, "signal"),
        "episode_id": uuid_of(of),
        "signal_type": TYPES[0],
        "value": 0.5,
        "latency": 60,
        "confidence": 0.75,
    }
    return RewardSignal(**(values | changes))


def refusal(user_id: str = ANN, at: datetime = NOON, granted: bool = False) -> Consent:
    return Consent(user_id=user_id, purpose="train", granted=granted, recorded_at=at)


def dispute(number: int = 1, status: str = "open", at: datetime = NOON) -> Dispute:
    return Dispute(
        signal_id=uuid_of(number, "signal"), reason="not me", recorded_at=at, status=status
    )


def loop_spec(closes_after: int = CLOSES_AFTER, name: str = "walk") -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": name,
            "version": 1,
            "context": ({"name": "hour", "kind": "cycle"},),
            "actions": (
                {"id": "left", "kind": "recommend_hive", "event_id": "l"},
                {"id": "right", "kind": "recommend_hive", "event_id": "r"},
            ),
            "signals": tuple(
                {"name": kind, "low": -1.0, "high": 1.0, "weight": 0.5, "silence": "zero"}
                for kind in TYPES
            ),
            "reward": {
                "attainable_low": -1.0,
                "attainable_high": 1.0,
                "half_life_seconds": 600.0,
                "closes_after_seconds": closes_after,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
        }
    )


def extraction(
    on: date = DAY, window_days: int = 3, spec: LoopSpec | None = None, **changes: Any
) -> Extraction:
    return Extraction(spec=spec or loop_spec(), logical_date=on, window_days=window_days, **changes)
