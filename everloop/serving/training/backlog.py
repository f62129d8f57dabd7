"""What a loop could learn from now and couldn't when it was last trained, counted as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from everloop.contracts.loop_spec import LoopSpec, ServingSpec
from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import JobStore
from everloop.contracts.serving import JobCause, JobState, TrainingJob

OPEN = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Episodes of a loop whose feedback window has passed and that no job could learn from.

    An episode that was still open when the last job was asked for counts once its window has passed.

    Attributes:
        last: the job that they are counted from; ``None``: from the first episode on.
        until: the ingest number that was counted to.
        closed_until: episodes of this moment and before were counted; ``None``: nothing was yet.
        new: how many there are.
        since: before the first job, when the first episode came in; ``None`` where none counts.
    """

    tenant: str
    loop: str
    last: TrainingJob | None
    until: int
    closed_until: datetime | None = None
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
        if not self.new or (self.last is not None and self.last.state in OPEN):
            return None
        if self.new >= serving.train_after_episodes:
            return JobCause.EPISODES
        started = self.since if self.last is None else self.last.created_at
        if started is None:
            return None
        waited = now - started >= timedelta(hours=serving.train_after_hours)
        return JobCause.DAY if waited else None


class Backlogs:
    """The backlogs of every tenant's loops; a look costs what is new, not the size of the log.

    Args:
        jobs: counts episodes and knows the last jobs.
        loops: name -> specification of the loops to look at.
        clock: says which feedback windows have passed.
    """

    def __init__(self, jobs: JobStore, loops: Mapping[str, LoopSpec], clock: Clock) -> None:
        self._jobs = jobs
        self._windows = {
            name: timedelta(seconds=spec.reward.closes_after_seconds)
            for name, spec in loops.items()
        }
        self._clock = clock
        self._known: dict[tuple[str, str], Backlog] = {}

    def look(self) -> Iterator[Backlog]:
        """Every backlog that holds an episode."""
        for tenant, until in self._jobs.last_episodes().items():
            for loop in self._windows:
                known = self._known.get((tenant, loop))
                backlog = self._known[tenant, loop] = self._counted(tenant, loop, until, known)
                if backlog.new:
                    yield backlog

    def _counted(self, tenant: str, loop: str, until: int, known: Backlog | None) -> Backlog:
        last = self._jobs.last(loop, tenant)
        seen = self._seen(tenant, loop, last)
        if known is not None and known.last_id == seen.last_id and known.until >= seen.until:
            seen = replace(known, last=last)
        until = max(until, seen.until)
        closed = self._clock.now().astimezone(UTC) - self._windows[loop]
        if seen.closed_until is not None:
            closed = max(closed, seen.closed_until)  # a clock that steps back opens no window again
        new = seen.new + self._jobs.learnable_episodes(
            loop, seen.until, until, seen.closed_until, closed, tenant
        )
        since = seen.since
        if new and since is None and last is None:
            since = self._jobs.waiting_since(loop, 0, until, tenant)
        return replace(seen, until=until, closed_until=closed, new=new, since=since)

    def _seen(self, tenant: str, loop: str, last: TrainingJob | None) -> Backlog:
        """What the last job could learn from."""
        if last is None:
            return Backlog(tenant, loop, None, 0)
        return Backlog(tenant, loop, last, last.watermark, last.created_at - self._windows[loop])
