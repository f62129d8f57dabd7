"""``everloop schedule``: a graph on Kubeflow, every day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Json, Tenant, notes, print_json, print_pairs, print_table
from everloop.cli.submitting import (
    DryRun,
    Graph,
    Loop,
    Output,
    Parameters,
    PlatformFile,
    Settings,
    question_of,
)

if TYPE_CHECKING:
    from everloop.contracts.daily_time import DailyTime
    from everloop.contracts.platform import Platform
    from everloop.sdk.kubeflow.schedules import Schedule, ScheduleRequest, Schedules

app = typer.Typer(
    no_args_is_help=True, help="Run a graph on Kubeflow every day.", rich_markup_mode=None
)

LoopName = Annotated[str, typer.Option(help="The loop's name.")]


@app.callback()
def schedule() -> None:
    """Run a graph on Kubeflow every day."""


@app.command()
def create(
    loop: Loop,
    platform: PlatformFile = None,
    at: Annotated[str, typer.Option(help="Time of day, HH:MM.")] = "03:00",
    zone: Annotated[str, typer.Option(help="Its time zone, e.g. Europe/Berlin.")] = "UTC",
    graph: Graph = "daily-learning",
    settings: Settings = None,
    parameter: Parameters = None,
    tenant: Tenant = "default",
    catchup: Annotated[
        bool,
        typer.Option("--catchup", help="After an outage, one run for each day that was missed."),
    ] = False,
    max_concurrency: Annotated[int, typer.Option(help="Runs that may overlap.")] = 1,
    dry_run: DryRun = False,
    output: Output = Path(),
    as_json: Json = False,
) -> None:
    """Run a graph every day; a schedule of the same graph, loop and tenant is replaced.

    Each run learns for the last day (UTC) that had ended at its scheduled moment; Kubeflow Pipelines 2.17
    or later says which moment that is. Days that were missed are not made up for unless --catchup is given:
    `everloop submit --date` runs one at any time.

    Repeat the command after a release, or to change anything: the same settings change nothing. A schedule
    that was paused stays paused.

    Kubeflow reads schedules in one zone (cron_zone in the platform file, UTC by default). Where the clocks
    of --zone change and those do not, runs move by an hour; the command says when. Repeat it then.
    """
    from everloop.sdk.kubeflow.schedules import ScheduleRequest
    from everloop.sdk.kubeflow.submitting import opened_platform

    place = opened_platform(platform)
    question = question_of(loop, graph, tenant, settings, parameter)
    asked = ScheduleRequest(question, at, zone, catchup, max_concurrency)
    if dry_run:
        _preview(place, asked, output)
        return
    made, changed = _create(place, asked)
    if as_json:
        print_json(_document(made) | {"changed": changed})
    else:
        typer.echo(f"{made.name}: {'set' if changed else 'unchanged'}")
        print_pairs(_pairs(made))
    if made.when is not None:
        _warn(made.when, datetime.now(UTC).date())


@app.command("list")
def list_schedules(platform: PlatformFile = None, as_json: Json = False) -> None:
    """List the schedules that everloop made."""
    found = _schedules(platform).every()
    if as_json:
        print_json([_document(one) for one in found])
        return
    rows = [(s.name, s.state.lower(), _time(s), _next(s)) for s in found]
    print_table("", ("schedule", "state", "every day at", "next"), rows)


@app.command()
def show(
    loop: LoopName,
    platform: PlatformFile = None,
    graph: Graph = "daily-learning",
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Show one: when it runs next, and for which day."""
    found = _schedules(platform).one(_name(loop, graph, tenant))
    if as_json:
        print_json(_document(found))
        return
    typer.echo(f"{found.name}: {found.state.lower()}")
    print_pairs(_pairs(found))


@app.command()
def pause(
    loop: LoopName,
    platform: PlatformFile = None,
    graph: Graph = "daily-learning",
    tenant: Tenant = "default",
) -> None:
    """Start nothing until it is resumed; a run that is under way goes on."""
    found = _schedules(platform).pause(_name(loop, graph, tenant))
    typer.echo(f"{found.name}: {found.state.lower()}")


@app.command()
def resume(
    loop: LoopName,
    platform: PlatformFile = None,
    graph: Graph = "daily-learning",
    tenant: Tenant = "default",
) -> None:
    """Start runs again; days in between are made up for only where it was made with --catchup."""
    found = _schedules(platform).resume(_name(loop, graph, tenant))
    typer.echo(f"{found.name}: {found.state.lower()}")


@app.command()
def delete(
    loop: LoopName,
    platform: PlatformFile = None,
    graph: Graph = "daily-learning",
    tenant: Tenant = "default",
) -> None:
    """Delete it; its runs stay. Deleting what is not there is no error."""
    name = _name(loop, graph, tenant)
    gone = _schedules(platform).delete(name)
    typer.echo(f"{name}: {'deleted' if gone else 'was not there'}")


def _schedules(platform: Path | None) -> Schedules:
    from everloop.sdk.kubeflow.client import Kubeflow
    from everloop.sdk.kubeflow.schedules import Schedules
    from everloop.sdk.kubeflow.submitting import opened_platform

    return Schedules(Kubeflow(opened_platform(platform)))


def _create(platform: Platform, asked: ScheduleRequest) -> tuple[Schedule, bool]:
    import tempfile

    from everloop.sdk.kubeflow.client import Kubeflow
    from everloop.sdk.kubeflow.schedules import Schedules

    with tempfile.TemporaryDirectory() as folder:
        return Schedules(Kubeflow(platform)).create(asked, Path(folder))


def _name(loop: str, graph: str, tenant: str) -> str:
    from everloop.loops import load
    from everloop.sdk.kubeflow.schedules import schedule_name

    name = load(loop).name if loop.endswith((".yaml", ".yml")) else loop
    return schedule_name(name, graph, tenant)


def _preview(platform: Platform, asked: ScheduleRequest, output: Path) -> None:
    from everloop.sdk.kubeflow.schedules import plan

    now = datetime.now(UTC)
    planned = plan(platform, asked, output, now)
    print_json(
        {
            "host": platform.host,
            "namespace": platform.namespace,
            "experiment": platform.experiment,
            "schedule": planned.name,
            "description": planned.description,
            "cron": planned.cron,
            "cron_zone": platform.cron_zone,
            "no_catchup": not asked.catchup,
            "max_concurrency": asked.max_concurrency,
            "version": planned.version,
            "package": str(planned.package),
            "service_account": platform.service_account,
            "pipeline_root": platform.pipeline_root,
            "parameters": dict(planned.parameters),
        }
    )
    _warn(planned.when, now.date())


def _document(found: Schedule) -> dict[str, object]:
    coming = found.next_runs(datetime.now(UTC))
    return {
        "schedule_id": found.schedule_id,
        "name": found.name,
        "state": found.state,
        "cron": found.cron,
        "at": found.when.at.strftime("%H:%M") if found.when else None,
        "zone": found.when.zone if found.when else None,
        "cron_zone": found.when.cron_zone if found.when else None,
        "catchup": found.catchup,
        "max_concurrency": found.max_concurrency,
        "version": found.version,
        "next": [{"at": moment.isoformat(), "learns_for": day} for moment, day in coming],
        "parameters": dict(found.parameters),
    }


def _pairs(found: Schedule) -> dict[str, object]:
    return {
        "every day at": _time(found),
        "cron": f"{found.cron} ({found.when.cron_zone if found.when else 'the scheduler’s zone'})",
        "next": _next(found),
        "catches up": "yes" if found.catchup else "no",
        "overlap": found.max_concurrency,
        "version": found.version,
    }


def _time(found: Schedule) -> str:
    return f"{found.when.at:%H:%M} {found.when.zone}" if found.when else f"cron {found.cron}"


def _next(found: Schedule) -> str:
    if found.paused:
        return "paused"
    coming = found.next_runs(datetime.now(UTC), 1)
    if not coming:
        return "—"
    moment, day = coming[0]
    return f"{moment:%Y-%m-%d %H:%M %Z}, learns for {day}"


def _warn(when: DailyTime, today: date) -> None:
    for drift in when.drifts(today)[:2]:
        notes.print(
            f"  note: from {drift.day} on it runs at {drift.local:%H:%M} {when.zone}; "
            "repeat this command then.",
            soft_wrap=True,
        )
    for day in when.left_out(today):
        notes.print(
            f"  note: on {day} the clocks of {when.cron_zone} jump over it: nothing starts that day.",
            soft_wrap=True,
        )
