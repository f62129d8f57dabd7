"""Answers about decisions, their episodes, and the jobs that learn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Slate:
    """Whom a pairing suggests, drawn from the question's candidates.

    Attributes:
        user_ids: as the question named them, in order; "erased" for whoever was forgotten since.
        slate_propensity: probability of these people in this order, given the action.
        whole_propensity: probability of the action and these people.
        candidates: how many could be suggested; whoever withdrew is passed over.
        model_version: what scored them; empty where everybody scored alike.
        fallback: why everybody scored alike; empty where a model scored them.
    """

    user_ids: tuple[str, ...]
    slate_propensity: float
    whole_propensity: float
    candidates: int
    model_version: str
    fallback: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and how it was chosen.

    Attributes:
        decision_id: confirm what was done under this id; empty when ``offline``.
        action: id of an action in the loop's catalogue; the caller's own default when ``offline``.
        kind, people, event_id, tone, message: what the catalogue says of the action.
        propensity: probability with which it was chosen, exploration included, in (0, 1]; ``None`` when
            ``offline``.
        epsilon: exploration share that the propensity holds, in [0, 1].
        fallback: why neither assigned model decided; empty when one did.
        offline: the service could not be asked; nothing of this is stored anywhere.
        slate: whom a pairing suggests, where the question named candidates.
    """

    decision_id: str
    loop: str
    action: str
    kind: str | None
    arguments: Mapping[str, Any]
    propensity: float | None
    valid_actions: tuple[str, ...]
    model_version: str
    arm: str
    epsilon: float
    fallback: str
    people: int | None = None
    event_id: str | None = None
    tone: str | None = None
    message: str | None = None
    offline: bool = False
    slate: Slate | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """One decision per question, in order."""

    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Records that are safe: on the service's disk, or ``buffered`` on this machine's.

    Attributes:
        ids: of the records, in order; the same ids sent again are stored once.
    """

    ids: tuple[str, ...]
    buffered: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """Reward evidence; ``latency`` in seconds after the decision, ``confidence`` in [0, 1]."""

    signal_id: str
    signal_type: str
    value: float
    latency: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ListedEpisode:
    """A stored decision with its evidence; ``user_id`` is the pseudonym, never the product's id."""

    episode_id: str
    user_id: str
    loop: str
    context_snapshot: Mapping[str, Any]
    action_taken: str
    action_arguments: Mapping[str, Any]
    valid_actions: tuple[str, ...]
    timestamp: datetime
    model_version: str
    propensity: float | None
    arm: str
    outcome: str | None
    reward_score: float | None
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class EpisodePage:
    """Episodes, oldest first; ``next_offset`` is ``None`` on the last page."""

    episodes: tuple[ListedEpisode, ...]
    next_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One start of the daily graph.

    Attributes:
        run_id: of the run; empty until it has ended.
        error: why the last attempt failed; empty if it went well.
        verdict: what the run ended in: ``continue: …`` or ``hold: …`` with the first reason.
        note: what whoever asked should know, such as that the service trains nothing itself.
    """

    job_id: str
    loop: str
    logical_date: date
    cause: str
    state: str
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    attempts: int
    run_id: str
    error: str
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Training jobs, newest first."""

    jobs: tuple[Job, ...] = field(default_factory=tuple)
