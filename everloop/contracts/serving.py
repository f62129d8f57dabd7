"""What the service writes down: decisions, ingest submissions and training jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from everloop.contracts.episodes import (
    SCHEMA_VERSION,
    Arm,
    Episode,
    Json,
    RewardSignal,
    canonical_json,
)
from everloop.contracts.feedback import FeedbackInstance, Interaction

_EVERYTHING = "all"
"""Stands for an absent ``valid_actions`` in the checksum: looking for NaN begins at a null."""


def question_sha256(
    person: str,
    loop: str,
    context: Mapping[str, Json],
    valid_actions: Sequence[str] | None,
    about: Mapping[str, Json],
    candidates: Sequence[Json] | None = None,
) -> str:
    """Checksum of a question in its stored form, which tells a repeated question from another one.

    Args:
        person: pseudonym.
        context: as it is stored, health fields sealed.
        valid_actions: as asked, in that order; ``None``: the whole catalogue.
        about: the action's arguments, people in them by pseudonym.
        candidates: pairs of pseudonym and descriptors, as asked; ``None``: none were named.

    Raises:
        ValueError, TypeError: something is no finite JSON.
    """
    valid = _EVERYTHING if valid_actions is None else list(valid_actions)
    named = [] if candidates is None else [list(candidates)]
    asked = canonical_json([person, loop, dict(context), valid, dict(about), *named])
    return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of ``decide``, written before it leaves.

    Becomes an episode when the product confirms that it acted on it; an unconfirmed decision is never
    learned from.

    Attributes:
        decision_id: UUID, by the client or by us; the id of the episode that confirms it.
        request_sha256: checksum of what was asked; the same id with another question is a conflict.
        arm: which policy decided.
        fallback: why neither assigned model decided; empty when it did.
        epsilon: exploration share that the propensity holds.
    """

    decision_id: str
    user_id: str
    loop: str
    context_snapshot: Mapping[str, Json]
    action_taken: str
    propensity: float
    valid_actions: tuple[str, ...]
    timestamp: datetime
    model_version: str
    arm: Arm
    epsilon: float
    request_sha256: str
    action_arguments: Mapping[str, Json] = field(default_factory=dict)
    fallback: str = ""
    tenant: str = "default"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class RecentDecision:
    """What a person met, whether the product confirmed it or not."""

    decision_id: str
    timestamp: datetime
    action: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request wants stored: all of it, or none.

    ``actor`` goes into the audit log with the ranges of ingest numbers that the records got.
    ``decided_under``: loop -> revision of the head under which the decisions of the loop were made. One
    that is another by now refuses the submission with ``ShouldDecideAgain``, where it holds decisions of
    the loop that weren't stored before; loops that are left out are not compared.
    """

    tenant: str
    actor: str
    episodes: tuple[Episode, ...] = ()
    signals: tuple[RewardSignal, ...] = ()
    decisions: tuple[Decision, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    feedback: tuple[FeedbackInstance, ...] = ()
    decided_under: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return (
            len(self.episodes)
            + len(self.signals)
            + len(self.decisions)
            + len(self.interactions)
            + len(self.feedback)
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission: ``new`` rows were stored now, ``replayed`` ones before.

    ``decisions``: the stored decision for each one submitted, the first one's where it is a replay.
    """

    new: int
    replayed: int
    decisions: tuple[Decision, ...] = ()


EARLIEST_DAY = date(2000, 1, 1)
"""No run learns for an earlier day."""


class JobCause(StrEnum):
    EPISODES = "episodes"
    DAY = "day"
    MANUAL = "manual"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One start of the daily graph by the service.

    ``watermark``: largest episode number when it was asked for; the next thousand count from there.
    ``heartbeat_at``: a running job whose heart stopped is taken over.
    """

    job_id: str
    tenant: str
    loop: str
    logical_date: date
    cause: JobCause
    state: JobState
    requested_by: str
    watermark: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    attempts: int = 0
    run_id: str = ""
    error: str = ""
