"""What came in since a loop was last trained, counted as it comes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from everloop.contracts.loop_spec import ServingSpec
from everloop.contracts.ports import JobStore
from everloop.contracts.serving import JobCause, JobState, TrainingJob

OPEN = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Episodes of a loop that no job knew of.

    Attributes:
        last: the job that they are counted from; ``None``: from the first episode on.
        until: the ingest number that was counted to.
        new: how many there are.
        since: when the first of them came in; ``None`` where there is none.
    """

    tenant: str
    loop: str
    last: TrainingJob | None
    until: int
    new: int = 0
    since: datetime | None = None

    @property
    def last_id(self) -> str:
        """Id of the job that it is counted from, "" for none."""
        return "" if self.last is None else self.last.job_id

    def due(self, serving: ServingSpec, now: datetime) -> JobCause | None:
        """Why training is due, if it is: enough new episodes, or new ones and enough time.

        Time runs from the last job, and before the first job from the first episode.
        """
        if self.since is None or (self.last is not None and self.last.state in OPEN):
            return None
        if self.new >= serving.train_after_episodes:
            return JobCause.EPISODES
        started = self.since if self.last is None else self.last.created_at
        waited = now - started >= timedelta(hours=serving.train_after_hours)
        return JobCause.DAY if waited else None


class Backlogs:
    """The backlogs of every tenant's loops; a look costs what is new, not the size of the log.

    Args:
        jobs: counts episodes and knows the last jobs.
        loops: names of the loops to look at.
    """

    def __init__(self, jobs: JobStore, loops: Collection[str]) -> None:
        self._jobs = jobs
        self._loops = tuple(loops)
        self._known: dict[tuple[str, str], Backlog] = {}

    def look(self) -> Iterator[Backlog]:
        """Every backlog that holds an episode."""
        for tenant, until in self._jobs.last_episodes().items():
            for loop in self._loops:
                known = self._known.get((tenant, loop))
                if known is not None and known.new == 0 and known.until == until:
                    continue
                backlog = self._known[tenant, loop] = self._counted(tenant, loop, until, known)
                if backlog.new:
                    yield backlog

    def _counted(self, tenant: str, loop: str, until: int, known: Backlog | None) -> Backlog:
        last = self._jobs.last(loop, tenant)
        watermark = 0 if last is None else last.watermark
        fresh = Backlog(tenant, loop, last, watermark)
        if known is not None and known.last_id == fresh.last_id and known.until >= watermark:
            fresh = replace(known, last=last)
        if until <= fresh.until:
            return fresh
        new = self._jobs.new_episodes(loop, fresh.until, until - fresh.until, tenant, until)
        since = fresh.since
        if new and since is None:
            since = self._jobs.waiting_since(loop, fresh.until, until, tenant)
        return replace(fresh, until=until, new=fresh.new + new, since=since)
