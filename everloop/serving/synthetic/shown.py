"""Synthetic jobs and statistics as the service shows them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime

from pydantic import BaseModel

from everloop.contracts.models import ProfileSource
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import FileFormat, SyntheticJob, SyntheticKind
from everloop.sdk.synthetic.stats import SyntheticStats

NOT_WORKING = (
    "This service was started with --no-train: the job waits for one that works in this workspace."
)

_TRACEBACK = "Traceback (most recent call last)"
_PLACE = re.compile(r"(?<![\w./])/(?:[^\s/'\":,;]+/)+([^\s/'\":,;]*)")
"""An absolute path; its group is the file's own name."""
_MADE_UP = {ProfileSource.GENERATED.value}
"""Sources whose profiles follow from private releases alone, so that their number tells of nobody."""


class SyntheticParameters(BaseModel):
    """What was asked for; fields of the other kind of job are null."""

    seed: int
    n: int | None = None
    edge_share: float | None = None
    variance: float | None = None
    days: int | None = None
    format: FileFormat | None = None
    start: date | None = None
    per_person: int | None = None
    logical_date: date | None = None


class SyntheticRelease(BaseModel):
    """A private release that people are drawn from."""

    stage: str
    release_id: str
    logical_date: date


class SyntheticFile(BaseModel):
    """A finished file; ``href`` downloads it."""

    name: str
    rows: int
    size: int
    sha256: str
    href: str


class SyntheticJobState(BaseModel):
    """One request for synthetic people."""

    job_id: str
    kind: SyntheticKind
    loop: str
    state: JobState
    requested_by: str
    parameters: SyntheticParameters
    releases: list[SyntheticRelease]
    """What it is drawn from, the same whenever it is continued."""
    done: int | None
    """Profiles that are made and stored; null for an augmentation, where it would count real people."""
    total: int | None
    """Profiles in all, 0 while unknown; null for an augmentation."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    """Last sign of life; a job that stays silent is taken over and goes on where it was."""
    attempts: int
    files: list[SyntheticFile]
    """Of a generation that has succeeded. An augmentation has none: its profiles stay inside."""
    error: str
    """Why the last attempt failed; empty when none did."""
    note: str = ""
    """What whoever asked should know, such as that this service does not work on jobs itself."""


class SyntheticJobStates(BaseModel):
    """Synthetic jobs of the caller's tenant, newest first."""

    jobs: list[SyntheticJobState]


class SyntheticCount(BaseModel):
    """Stored profiles of one source from one release; sources that hold real people are not listed."""

    source: str
    release_id: str
    profiles: int


class SyntheticBudget(BaseModel):
    """Privacy loss of somebody who took part in every release of the period, in all loops."""

    epsilon_budget: float
    delta: float
    period_days: int
    epsilon_spent: float
    epsilon_left: float
    nights: int


class SyntheticFigure(BaseModel):
    """A published quality figure with its interval; null where noise hides it."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str


class SyntheticPattern(BaseModel):
    """A group that is large enough to be told: noisy people, at least above the noise's reach."""

    fields: list[str]
    values: list[str]
    people: float
    deviation: float
    share: float


class SyntheticStatsShown(BaseModel):
    """Synthetic people of one loop: counts, releases, budget and published quality."""

    loop: str
    profiles: dict[str, int | None]
    """Source (generated, augmented, real) -> stored profiles; null where it would count real people,
    who are counted exactly only inside the trust boundary: everloop synth stats."""
    by_release: list[SyntheticCount]
    releases: list[SyntheticRelease]
    budget: SyntheticBudget
    quality: list[SyntheticFigure]
    quality_release: str
    """The release that the figures come from; empty while none was published."""
    patterns: list[SyntheticPattern]
    """Groups of one trait or two, from the profiles' release alone, largest first."""
    notes: list[str]
    """What of this could not be read, and what to do."""


def job_shown(job: SyntheticJob, works: bool) -> SyntheticJobState:
    """A job.

    Args:
        works: whether this service works on jobs.
    """
    asked = job.parameters
    tells = job.kind is SyntheticKind.GENERATE
    names = set(SyntheticParameters.model_fields)
    return SyntheticJobState(
        job_id=job.job_id,
        kind=job.kind,
        loop=job.loop,
        state=job.state,
        requested_by=job.requested_by,
        parameters=SyntheticParameters(
            **{name: getattr(asked, name) for name in names if hasattr(asked, name)}
        ),
        releases=[
            SyntheticRelease(
                stage=used.stage, release_id=used.release_id, logical_date=used.logical_date
            )
            for used in job.releases
        ],
        done=job.done if tells else None,
        total=job.total if tells else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        heartbeat_at=job.heartbeat_at,
        attempts=job.attempts,
        files=[
            SyntheticFile(
                name=made.name,
                rows=made.rows,
                size=made.size,
                sha256=made.sha256,
                href=f"/api/ml/synthetic/jobs/{job.job_id}/file",
            )
            for made in job.outputs
        ],
        error=_without_places(job.error),
        note="" if works or job.state is not JobState.QUEUED else NOT_WORKING,
    )


def stats_shown(stats: SyntheticStats) -> SyntheticStatsShown:
    """Statistics without the exact counts of real people that they hold."""
    budget = stats.budget
    return SyntheticStatsShown(
        loop=stats.loop,
        profiles={
            source: profiles if source in _MADE_UP else None
            for source, profiles in stats.profiles.items()
        },
        by_release=[
            SyntheticCount(source=c.source, release_id=c.release_id, profiles=c.profiles)
            for c in stats.by_release
            if c.source in _MADE_UP
        ],
        releases=[
            SyntheticRelease(
                stage=used.stage, release_id=used.release_id, logical_date=used.logical_date
            )
            for used in stats.releases
        ],
        budget=SyntheticBudget(
            epsilon_budget=budget.epsilon_budget,
            delta=budget.delta,
            period_days=budget.period_days,
            epsilon_spent=budget.epsilon_spent,
            epsilon_left=budget.epsilon_left,
            nights=budget.nights,
        ),
        quality=[
            SyntheticFigure(
                name=figure.name,
                value=_finite(figure.value),
                low=_finite(figure.low),
                high=_finite(figure.high),
                confidence=figure.confidence,
                method=figure.method,
            )
            for figure in stats.quality
        ],
        quality_release=stats.quality_release,
        patterns=[
            SyntheticPattern(
                fields=list(pattern.fields),
                values=list(pattern.values),
                people=pattern.people,
                deviation=pattern.deviation,
                share=pattern.share,
            )
            for pattern in stats.patterns
        ],
        notes=list(stats.notes),
    )


def _without_places(error: str) -> str:
    """An error in our words: without a traceback, and without the folders of files on this machine."""
    if _TRACEBACK in error:
        return "It failed unexpectedly: the operator of the service finds why in its log."
    return _PLACE.sub(r"\1", error)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
