"""Submit and schedule graphs on a cluster: what ``everloop submit`` and ``everloop schedule`` do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from everloop import settings as environment
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.learning_day import last_ended
from everloop.contracts.platform import Platform
from everloop.sdk.graph_runs import EventSink, silent
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.following import POLL_S, follow
from everloop.sdk.kubeflow.questions import Question, run_request
from everloop.sdk.kubeflow.records import ClusterRun
from everloop.sdk.kubeflow.schedules import Schedule, ScheduleRequest, Schedules, schedule_name
from pipelines.daily_learning import NAME as DAILY
from pipelines.platform_file import EXAMPLE, load_platform

Where = Platform | str | Path | None


def opened_platform(where: Where) -> Platform:
    """A platform as it is, from its file, or from the file that ``EVERLOOP_PLATFORM`` names.

    Raises:
        ShouldFixPlatform: the file is wrong: every problem with its line.
        ShouldFixArgument: none is named.
    """
    if isinstance(where, Platform):
        return where
    path = where or environment.platform_file()
    if path is None:
        raise ShouldFixArgument(
            "No platform file is named.",
            f"Give --platform FILE, or set {environment.PLATFORM}; {EXAMPLE} is an example.",
        )
    return load_platform(path)


def submit(
    loop: str,
    logical_date: str | date | None = None,
    *,
    platform: Where = None,
    graph: str = DAILY,
    tenant: str = "default",
    settings: tuple[str, ...] = (),
    parameters: Mapping[str, str] | None = None,
    wait: bool = False,
    on_event: EventSink = silent,
    poll_s: float = POLL_S,
    intraday: bool = False,
    job: str = "",
    on_submitted: Callable[[ClusterRun], None] = lambda _: None,
) -> ClusterRun:
    """Start a graph on a cluster, once.

    The same question (graph, code, platform, loop, date, settings) is the same run: one that is under way
    or has succeeded is found, not started again; after one that failed, another attempt is started.

    Args:
        loop: a shipped loop's name, or the path of a YAML file.
        logical_date: the day to learn for; the last one that has ended (UTC) by default.
        platform: a platform, its file, or nothing for the one that ``EVERLOOP_PLATFORM`` names.
        parameters: further parameters of the graph, such as ``refresh``.
        wait: follow the run to its end; ``on_event`` is called as its stages start and end.
        intraday: allow today: learn from what has been logged so far.
        job: name the run after this id alone; one that was cancelled is found, too, then.
        on_submitted: called with the run before it is followed.

    Raises:
        ShouldFixPlatform, ShouldFixLoopSpec, ShouldFixArgument, ShouldProvideKey: nothing was started.
        ShouldAuthenticate, ShouldAskForScope, ShouldNameKnownId, ShouldRetryLater: of Kubeflow.
    """
    cluster = Kubeflow(opened_platform(platform))
    extra = tuple((parameters or {}).items())
    question = Question(loop, graph, tenant, settings, extra, intraday, job)
    with tempfile.TemporaryDirectory() as folder:
        asked = run_request(question, cluster.platform, day_text(logical_date), Path(folder))
        run = cluster.submit(asked)
    on_submitted(run)
    if not wait:
        return run
    return follow(cluster, run.run_id, on_event, poll_s=poll_s, known=run)


def schedule(
    loop: str,
    at: str = "03:00",
    *,
    zone: str = "UTC",
    platform: Where = None,
    graph: str = DAILY,
    tenant: str = "default",
    settings: tuple[str, ...] = (),
    parameters: Mapping[str, str] | None = None,
    catchup: bool = False,
    max_concurrency: int = 1,
) -> Schedule:
    """Start a graph every day; a schedule of the same graph, loop and tenant is replaced.

    Each run learns for the last day (UTC) that had ended at its scheduled moment. Kubeflow reads schedules
    in one zone and knows no other: where that zone's offset from ``zone`` changes, runs move by an hour
    (``Schedule.when.drifts`` lists when) until the schedule is made again.

    Args:
        at: time of day, HH:MM, in ``zone``.
        catchup: make up for days that were missed, one run each.
    """
    cluster = Kubeflow(opened_platform(platform))
    question = Question(loop, graph, tenant, settings, tuple((parameters or {}).items()))
    asked = ScheduleRequest(question, at, zone, catchup, max_concurrency)
    with tempfile.TemporaryDirectory() as folder:
        return Schedules(cluster).create(asked, Path(folder))[0]


def schedules(*, platform: Where = None) -> tuple[Schedule, ...]:
    """Every schedule of everloop's in the platform's experiment."""
    return Schedules(Kubeflow(opened_platform(platform))).every()


def pause_schedule(
    loop: str, *, platform: Where = None, graph: str = DAILY, tenant: str = "default"
) -> Schedule:
    """Start nothing until it is resumed; ``ShouldNameKnownId`` where there is none."""
    name = schedule_name(loop, graph, tenant)
    return Schedules(Kubeflow(opened_platform(platform))).pause(name)


def resume_schedule(
    loop: str, *, platform: Where = None, graph: str = DAILY, tenant: str = "default"
) -> Schedule:
    """Start runs again; ``ShouldNameKnownId`` where there is none."""
    name = schedule_name(loop, graph, tenant)
    return Schedules(Kubeflow(opened_platform(platform))).resume(name)


def delete_schedule(
    loop: str, *, platform: Where = None, graph: str = DAILY, tenant: str = "default"
) -> bool:
    """Delete it, if it is there; its runs stay."""
    name = schedule_name(loop, graph, tenant)
    return bool(Schedules(Kubeflow(opened_platform(platform))).delete(name))


def day_text(value: str | date | None) -> str:
    """A day as YYYY-MM-DD; by default the last one that has ended, UTC."""
    if value is None or not value:
        return last_ended(datetime.now(UTC)).isoformat()
    return value.isoformat() if isinstance(value, date) else value
