"""Answers about synthetic people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class SyntheticParameters:
    """What was asked for; fields of the other kind of job are ``None``."""

    seed: int
    n: int | None = None
    edge_share: float | None = None
    variance: float | None = None
    days: int | None = None
    format: str | None = None
    start: date | None = None
    per_person: int | None = None
    logical_date: date | None = None


@dataclass(frozen=True, slots=True)
class SyntheticRelease:
    """A private release that people are drawn from."""

    stage: str
    release_id: str
    logical_date: date


@dataclass(frozen=True, slots=True)
class SyntheticFile:
    """A finished file; ``sha256`` is what a download is checked against."""

    name: str
    rows: int
    size: int
    sha256: str
    href: str


@dataclass(frozen=True, slots=True)
class SyntheticJob:
    """A request for synthetic people.

    Attributes:
        kind: ``generate`` or ``augment``.
        state: ``queued``, ``running``, ``succeeded`` or ``failed``.
        done, total: profiles; ``total`` is 0 while it is not known. ``None`` for an augmentation, whose
            profiles count real people.
        files: of a generation that has succeeded; an augmentation stays inside the service.
        error: why the last attempt failed; empty when none did.
        note: what whoever asked should know.
    """

    job_id: str
    kind: str
    loop: str
    state: str
    requested_by: str
    parameters: SyntheticParameters
    releases: tuple[SyntheticRelease, ...]
    done: int | None
    total: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    attempts: int
    files: tuple[SyntheticFile, ...]
    error: str
    note: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in {"succeeded", "failed"}


@dataclass(frozen=True, slots=True)
class SyntheticJobs:
    """Jobs, newest first."""

    jobs: tuple[SyntheticJob, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class SyntheticCount:
    """Stored profiles of one source from one release."""

    source: str
    release_id: str
    profiles: int


@dataclass(frozen=True, slots=True)
class SyntheticBudget:
    """Privacy loss of somebody who took part in every release of the period."""

    epsilon_budget: float
    delta: float
    period_days: int
    epsilon_spent: float
    epsilon_left: float
    nights: int


@dataclass(frozen=True, slots=True)
class SyntheticFigure:
    """A published quality figure; ``None`` where noise hides it."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class SyntheticPattern:
    """A group that is large enough to be told; ``people`` is noisy, with ``deviation``."""

    fields: tuple[str, ...]
    values: tuple[str, ...]
    people: float
    deviation: float
    share: float


@dataclass(frozen=True, slots=True)
class SyntheticStats:
    """What there is of synthetic people.

    Attributes:
        profiles: by source; ``None`` for augmented and real ones, whose number would count real people.
        by_release: of generated ones.
    """

    loop: str
    profiles: Mapping[str, int | None]
    by_release: tuple[SyntheticCount, ...]
    releases: tuple[SyntheticRelease, ...]
    budget: SyntheticBudget
    quality: tuple[SyntheticFigure, ...]
    quality_release: str
    patterns: tuple[SyntheticPattern, ...] = ()
    notes: tuple[str, ...] = ()
