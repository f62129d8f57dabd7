"""Jobs that make synthetic people: what was asked for, how far it is, and where the result lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.serving import JobState

MOST_PROFILES = 1_000_000
"""Profiles of one job."""
MOST_COPIES = 100
"""Augmented profiles that one consenting person's data may be turned into."""
MOST_OPEN_JOBS = 20
"""Jobs of one tenant that may be queued or running."""
MOST_JOURNEY_DAYS = 366
EARLIEST_DAY, LATEST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""Days that synthetic people may live on, with room for calendar arithmetic at both ends."""
LARGEST_VARIANCE = 4.0
LARGEST_SEED = 2**53 - 1
"""The largest whole number that every JSON reader keeps."""


class SyntheticKind(StrEnum):
    """``generate``: people who do not exist, from private releases, for export. ``augment``: consented
    people's own data and variations of it, which stay inside the trust boundary."""

    GENERATE = "generate"
    AUGMENT = "augment"


class FileFormat(StrEnum):
    PARQUET = "parquet"
    JSON = "json"
    """JSON lines."""


@dataclass(frozen=True, slots=True)
class GenerateParameters:
    """What generated profiles are to be.

    Attributes:
        n: how many, 1..``MOST_PROFILES``.
        seed: of everything that is drawn; it spends no privacy.
        edge_share: share of profiles made as marked edge cases, in [0, 1].
        variance: spread around the released distribution, in (0, ``LARGEST_VARIANCE``]; 1: as released.
        days: of simulated interactions, 1..``MOST_JOURNEY_DAYS``.
        format: of the file.
        start: day 0 of the interactions, which end by ``LATEST_DAY``.
    """

    n: int
    seed: int
    edge_share: float
    variance: float
    days: int
    format: FileFormat
    start: date

    def __post_init__(self) -> None:
        _require_whole("n", self.n, 1, MOST_PROFILES)
        _require_whole("seed", self.seed, 0, LARGEST_SEED)
        _require_within("edge_share", self.edge_share, 0.0, 1.0)
        _require_within("variance", self.variance, 0.0, LARGEST_VARIANCE)
        if not self.variance > 0.0:
            raise ShouldFixArgument("variance=0 would make everybody alike.", "Give more than 0.")
        _require_whole("days", self.days, 1, MOST_JOURNEY_DAYS)
        _require_day("start", self.start)
        if (LATEST_DAY - self.start).days < self.days:
            raise ShouldFixArgument(
                f"start={self.start} with days={self.days} ends after {LATEST_DAY}.",
                "Choose an earlier start or fewer days.",
            )


@dataclass(frozen=True, slots=True)
class AugmentParameters:
    """What consented people's data are to become.

    Attributes:
        per_person: variations of each person, 1..``MOST_COPIES``.
        seed: of the variations.
        logical_date: the day whose dataset version is read, ``EARLIEST_DAY``..``LATEST_DAY``; people who
            opted out are not in it.
    """

    per_person: int
    seed: int
    logical_date: date

    def __post_init__(self) -> None:
        _require_whole("per_person", self.per_person, 1, MOST_COPIES)
        _require_whole("seed", self.seed, 0, LARGEST_SEED)
        _require_day("logical_date", self.logical_date)


def _require_day(name: str, day: date) -> None:
    if not EARLIEST_DAY <= day <= LATEST_DAY:
        raise ShouldFixArgument(
            f"{name}={day} is not within {EARLIEST_DAY}..{LATEST_DAY}.", f"Choose another {name}."
        )


def _require_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ShouldFixArgument(f"{name}={value!r} is no whole number.", f"Choose another {name}.")
    _require_within(name, value, low, high)


def _require_within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ShouldFixArgument(
            f"{name}={value} is not within {low:,}..{high:,}.", f"Choose another {name}."
        )


Parameters = GenerateParameters | AugmentParameters


@dataclass(frozen=True, slots=True)
class UsedRelease:
    """A private release that a job reads, the same whenever the job is continued."""

    stage: str
    release_id: str
    logical_date: date


@dataclass(frozen=True, slots=True)
class JobOutput:
    """A finished job's file; ``url`` is an address in the workspace's blob store."""

    name: str
    url: str
    sha256: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class SyntheticJob:
    """One request for synthetic people.

    Attributes:
        job_id: UUID, the idempotency key: asked for again with the same parameters it is the same job.
        spec_sha256: the loop specification that it was asked under; another one can't continue it.
        releases: what it is made from; none for an augmentation.
        done, total: profiles; ``total`` is 0 until it is known.
        outputs: the files of a finished generation; an augmentation has none, it stays inside.
        heartbeat_at: a running job whose heart stopped is taken over and continued.
        attempts: how often a worker took it.
        error: why the last attempt failed.
    """

    job_id: str
    tenant: str
    loop: str
    state: JobState
    requested_by: str
    parameters: Parameters
    spec_sha256: str
    created_at: datetime
    releases: tuple[UsedRelease, ...] = ()
    done: int = 0
    total: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    attempts: int = 0
    outputs: tuple[JobOutput, ...] = ()
    error: str = ""

    def __post_init__(self) -> None:
        if self.kind is SyntheticKind.AUGMENT and self.outputs:
            raise ShouldFixArgument(
                f"Augmentation {self.job_id} names files, but real people's data stays inside.",
                "Keep its profiles in the workspace's table alone.",
            )

    @property
    def kind(self) -> SyntheticKind:
        """As its parameters say."""
        generates = isinstance(self.parameters, GenerateParameters)
        return SyntheticKind.GENERATE if generates else SyntheticKind.AUGMENT

    @property
    def open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (JobState.QUEUED, JobState.RUNNING)

    def asks_for(self, other: SyntheticJob) -> bool:
        """Whether both ask for the same: loop, parameters, specification and releases."""
        return (self.loop, self.parameters, self.spec_sha256, self.releases) == (
            other.loop,
            other.parameters,
            other.spec_sha256,
            other.releases,
        )


class SyntheticJobStore(Protocol):
    """Jobs of a workspace, worked on oldest first; conformance suite as for ``service_ports``."""

    def request(self, job: SyntheticJob) -> SyntheticJob:
        """Store a queued job, or answer the one that it repeats.

        A stored job of the same id, or an open one that asks for the same, is returned instead.
        Constraints: atomic; audited. ``ShouldResolveConflict`` for a stored id that asked for something
        else, ``ShouldSlowDown`` beyond ``MOST_OPEN_JOBS``.
        """

    def claim(
        self,
        worker: str,
        now: datetime,
        stale_after_s: float,
        loops: Sequence[str] | None = None,
        job_id: str | None = None,
    ) -> SyntheticJob | None:
        """Take a queued job (of some loops, or the one of that id), or a running one whose heart
        stopped, oldest first.

        Constraints: exactly one worker gets it; every claim counts an attempt.
        """

    def heartbeat(self, job_id: str, worker: str, now: datetime) -> bool:
        """False when the job is no longer this worker's."""

    def progress(self, job_id: str, worker: str, done: int, total: int, now: datetime) -> bool:
        """Store how far it is, which is a heartbeat too; False when it is no longer this worker's."""

    def finish(self, job: SyntheticJob, worker: str) -> bool:
        """Store how a worker left a job: its end, or ``queued`` to give it back.

        False, with nothing stored, when it is no longer this worker's. Constraints: an end is audited.
        """

    def job(self, job_id: str, tenant: str = "default") -> SyntheticJob:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def jobs(
        self, loop: str | None = None, limit: int = 50, tenant: str = "default"
    ) -> tuple[SyntheticJob, ...]:
        """Newest first."""
