"""One daily schedule per graph, loop and tenant on a cluster: made, changed, paused and deleted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from everloop.contracts.daily_time import DailyTime, fields_of
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixPlatform,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.contracts.learning_day import last_ended
from everloop.contracts.platform import Platform
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.questions import Question, compiled
from pipelines.compile import graph

_DESCRIPTION = re.compile(
    r"everloop: daily at (?P<at>\d\d:\d\d) (?P<zone>\S+) "
    r"\(scheduler in (?P<cron_zone>\S+)\), (?P<digest>[0-9a-f]{16})"
)


_KNOWS_MOMENTS = (2, 17)
_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring run of ours on the cluster.

    Attributes:
        name: ``everloop <graph> <loop> <tenant>``.
        when: the time of day as it was asked for; ``None`` for one that was changed by hand.
        cron: what the scheduler reads.
        catchup: whether days that were missed are made up for.
        state: ENABLED or DISABLED.
        digest: of everything that it was made with.
        created_at: when it was made; of several of one name the youngest counts.
    """

    schedule_id: str
    name: str
    state: str
    cron: str
    catchup: bool
    max_concurrency: int
    version: str
    when: DailyTime | None = None
    digest: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    created_at: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether it starts nothing."""
        return self.state == "DISABLED"

    def next_runs(self, now: datetime, count: int = 3) -> tuple[tuple[datetime, str], ...]:
        """The coming starts in the asked zone, each with the day that it learns for."""
        if self.when is None:
            return ()
        first = now.astimezone(UTC).date() - timedelta(days=1)
        coming = [m for m in self.when.runs(self.cron, first, count + 4) if m > now][:count]
        return tuple((moment, last_ended(moment).isoformat()) for moment in coming)


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A daily schedule to be made.

    Attributes:
        catchup: after an outage or a pause, one run for each day that was missed, oldest first.
        max_concurrency: nights that may run at once.
    """

    question: Question
    at: str = "03:00"
    zone: str = "UTC"
    catchup: bool = False
    max_concurrency: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.max_concurrency <= 10:
            raise ShouldFixArgument(
                f"max_concurrency={self.max_concurrency} is not between 1 and 10.", "Give 1."
            )

    @property
    def name(self) -> str:
        """The same for the same graph, loop and tenant."""
        loop = self.question.specification().name
        return schedule_name(loop, self.question.graph, self.question.tenant)


def schedule_name(loop: str, graph: str, tenant: str) -> str:
    """What the UI lists a schedule as."""
    return f"everloop {graph} {loop} {tenant}"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a request comes to: the body's parts, before anything is sent."""

    name: str
    description: str
    cron: str
    version: str
    package: Path
    when: DailyTime
    parameters: Mapping[str, str | int]
    digest: str


def plan(platform: Platform, asked: ScheduleRequest, folder: Path, now: datetime) -> Planned:
    """The schedule that a request comes to; nothing is sent."""
    when = DailyTime.read(asked.at, asked.zone, platform.cron_zone)
    package, version = compiled(platform, asked.question.graph, folder)
    parameters = _nightly(asked.question).parameters(platform, "")
    cron = when.cron(now.astimezone(UTC).date())
    whole = {
        "cron": cron,
        "zones": [asked.zone, platform.cron_zone],
        "version": version,
        "parameters": parameters,
        "catchup": asked.catchup,
        "max_concurrency": asked.max_concurrency,
        "root": [platform.pipeline_root, platform.service_account],
    }
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
    text = (
        f"everloop: daily at {asked.at} {asked.zone} (scheduler in {platform.cron_zone}), {digest}"
    )
    return Planned(asked.name, text, cron, version, package, when, parameters, digest)


def _knows_moments(release: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is not None and (int(found[1]), int(found[2])) < _KNOWS_MOMENTS:
        raise ShouldFixPlatform(
            f"Kubeflow Pipelines {release} does not tell a run which moment it was scheduled for.",
            "Upgrade it to 2.17 or later, or start everloop submit every day by other means.",
        )


def _nightly(question: Question) -> Question:
    """The question as a schedule asks it.

    The whole day is read, even where a training within the day has pinned what had been logged by then.
    """
    if (
        "refresh" in dict(question.extra)
        or "refresh" not in graph(question.graph).component_spec.inputs
    ):
        return question
    return replace(question, extra=(*question.extra, ("refresh", "scheduled")))


class Schedules:
    """The schedules of a cluster.

    Args:
        cluster: where they are.
    """

    def __init__(self, cluster: Kubeflow) -> None:
        self._cluster = cluster

    def create(
        self, asked: ScheduleRequest, folder: Path, now: datetime | None = None
    ) -> tuple[Schedule, bool]:
        """Make a schedule, or make the one of its name so; the second value says whether it changed.

        Kubeflow cannot change a recurring run. The new one is made before those that it replaces are
        deleted, so that a night is rather started twice (which is paid once) than not at all; asking again
        after an interruption finishes the replacement. One that was paused stays paused. Of several that
        are made at once the youngest stays, whoever looks last; it is what is returned.

        Raises:
            ShouldFixPlatform: this Kubeflow does not say which moment a run was scheduled for.
        """
        _knows_moments(self._cluster.release)
        planned = plan(self._cluster.platform, asked, folder, now or datetime.now(UTC))
        there = self._named(planned.name)
        changed = not there or there[-1].digest != planned.digest
        if changed:
            self._make_youngest(asked, planned, there)
            there = self._named(planned.name)
        *others, kept = there
        for other in others:
            self._delete(other)
        return kept, changed

    def every(self) -> tuple[Schedule, ...]:
        """Those that everloop made, by name."""
        found = (_schedule(one) for one in self._cluster.recurring())
        return tuple(sorted((s for s in found if s.digest), key=lambda s: (s.name, s.schedule_id)))

    def one(self, name: str) -> Schedule:
        """The schedule of that name.

        Raises:
            ShouldNameKnownId: there is none.
            ShouldResolveConflict: there are several, since making one anew was interrupted.
        """
        found = self._named(name)
        if not found:
            known = ", ".join(repr(s.name) for s in self.every()) or "none"
            raise ShouldNameKnownId(f"There is no schedule {name!r}.", f"There are: {known}.")
        if len(found) > 1:
            raise ShouldResolveConflict(
                f"There are {len(found)} schedules {name!r}: replacing one was interrupted.",
                "Run the same everloop schedule create again.",
            )
        return found[0]

    def pause(self, name: str) -> Schedule:
        """Start nothing from now on, whatever is there of that name; a run that is under way goes on."""
        found = self._named(name) or [self.one(name)]
        api = self._cluster.api
        for each in found:
            what, identity = f"Pausing {name!r}", each.schedule_id
            self._cluster.ask(what, partial(api.disable_recurring_run, identity))
        return self._named(name)[-1]

    def resume(self, name: str) -> Schedule:
        """Start runs again; the days between are made up for only where it catches up."""
        found = self.one(name)
        api = self._cluster.api
        self._cluster.ask(f"Resuming {name!r}", lambda: api.enable_recurring_run(found.schedule_id))
        return self.one(name)

    def delete(self, name: str) -> int:
        """Delete every schedule of that name and tell how many; their runs stay."""
        found = self._named(name)
        for one in found:
            self._delete(one)
        return len(found)

    def _named(self, name: str) -> list[Schedule]:
        """Ours of that name, the youngest last."""
        found = [_schedule(one) for one in self._cluster.recurring(name)]
        return sorted((one for one in found if one.digest), key=_age)

    def _make_youngest(
        self, asked: ScheduleRequest, planned: Planned, there: list[Schedule]
    ) -> None:
        # Everyone deletes only what is older than what they see, so the youngest is never deleted. Kubeflow
        # dates to the second: one made in the same second as another may not count as younger.
        enabled = not there or any(not one.paused for one in there)
        known = list(there)
        for _ in range(_SECONDS):
            made = self._made(asked, planned, enabled, {one.schedule_id for one in known})
            if not there or _age(made) > _age(there[-1]):
                return
            known.append(made)
            self._cluster.rest(1.0)
        raise ShouldRetryLater(
            f"Others make the schedule {planned.name!r} at the same time.", "Try again.", 5.0
        )

    def _made(
        self, asked: ScheduleRequest, planned: Planned, enabled: bool, known: set[str]
    ) -> Schedule:
        cluster = self._cluster
        version = cluster.upload(asked.question.graph, str(planned.package), planned.version)
        experiment = cluster.experiment()

        def there() -> Schedule | None:
            found = [one for one in self._named(planned.name) if one.digest == planned.digest]
            return next((one for one in found if one.schedule_id not in known), None)

        def made() -> Schedule:
            return _schedule(
                cluster.api.create_recurring_run(
                    experiment_id=experiment,
                    job_name=planned.name,
                    description=planned.description,
                    cron_expression=planned.cron,
                    max_concurrency=asked.max_concurrency,
                    no_catchup=not asked.catchup,
                    params=dict(planned.parameters),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    enabled=enabled,
                    pipeline_root=cluster.platform.pipeline_root or None,
                    service_account=cluster.platform.service_account or None,
                )
            )

        return cluster.make(f"Making the schedule {planned.name!r}", there, made)

    def _delete(self, schedule: Schedule) -> None:
        api = self._cluster.api
        try:
            self._cluster.ask(
                f"Deleting the schedule {schedule.name!r}",
                lambda: api.delete_recurring_run(schedule.schedule_id),
            )
        except ShouldNameKnownId:
            return  # a lost answer's second attempt finds it gone


def _age(schedule: Schedule) -> tuple[str, str]:
    return str(schedule.created_at), schedule.schedule_id


def _schedule(found: Any) -> Schedule:
    trigger = found.trigger.cron_schedule if found.trigger else None
    cron = str(trigger.cron) if trigger else ""
    told = _DESCRIPTION.fullmatch(found.description or "")
    when = None
    if told is not None:
        when = _when(told["at"], told["zone"], told["cron_zone"], cron)
    reference, config = found.pipeline_version_reference, found.runtime_config
    return Schedule(
        schedule_id=found.recurring_run_id,
        name=found.display_name,
        state="DISABLED" if "DISABLE" in f"{found.status} {found.mode}" else "ENABLED",
        cron=cron,
        catchup=not found.no_catchup,
        max_concurrency=int(found.max_concurrency or 1),
        version=str(reference.pipeline_version_id) if reference else "",
        when=when,
        digest=told["digest"] if told else "",
        parameters=dict(config.parameters or {}) if config else {},
        created_at=found.created_at,
    )


def _when(at: str, zone: str, cron_zone: str, cron: str) -> DailyTime | None:
    try:
        fields_of(cron)
        return DailyTime.read(at, zone, cron_zone)
    except ShouldFixArgument:
        return None
