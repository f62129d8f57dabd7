"""``everloop run``: start a graph on this machine and show how it goes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, complain, notes, print_json
from everloop.cli.progress import StageDisplay
from everloop.contracts.documents import to_json
from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict

if TYPE_CHECKING:
    from everloop.sdk import OpenedRun
    from everloop.sdk.adversarial import ReviewedModel
    from everloop.settings import Containers

BUSY = 4
"""Exit code: another process runs this loop and date."""

app = typer.Typer(no_args_is_help=True, help="Run a graph on this machine.", rich_markup_mode=None)


@app.callback()
def run() -> None:
    """Run a graph on this machine."""


@app.command()
def daily(
    loop: Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")],
    day: Annotated[str, typer.Option("--date", help="The day to learn for, YYYY-MM-DD.")] = "",
    start: Annotated[str, typer.Option("--from", help="First day of a backfill.")] = "",
    end: Annotated[str, typer.Option("--to", help="Last day of a backfill.")] = "",
    from_stage: Annotated[str, typer.Option(help="Repeat this stage and all that follow it.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override, e.g. --set training.iterations=60 (repeatable)."),
    ] = None,
    tenant: Tenant = "default",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Extract the date anew: later rows count too.")
    ] = False,
    intraday: Annotated[
        bool, typer.Option("--intraday", help="Allow today: learn from what has happened so far.")
    ] = False,
    reading: Annotated[
        str,
        typer.Option(
            help="Name this reading of the log: its first run refreshes, others continue."
        ),
    ] = "",
    in_containers: Annotated[
        bool,
        typer.Option("--in-containers", help="Run each step in a container (Docker is needed)."),
    ] = False,
    image: Annotated[str, typer.Option(help="Their image; default: this version's own.")] = "",
    memory: Annotated[
        str, typer.Option(help="Memory limit of each, as in 4g; default: none.")
    ] = "",
    network: Annotated[str, typer.Option(help="Their network; default: none.")] = "",
    fail_on_hold: Annotated[
        bool, typer.Option("--fail-on-hold", help="Exit with 3 unless the verdict is continue.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Run the daily graph for one date, or for each date of a range.

    A killed run continues where it was. A rerun of the same date takes seconds and spends no privacy
    budget: nights are paid for once. Changed settings repeat only the stages that read them.
    """
    from everloop.sdk import DailyPlan, run_daily, run_range

    first, last = _range(day, start, end)
    plan = DailyPlan(
        loop=loop,
        logical_date=first,
        tenant=tenant,
        settings=tuple(settings or ()),
        from_stage=from_stage or None,
        refresh=refresh,
        intraday=intraday,
        reading=reading,
    )
    boxes = _containers(in_containers, image, memory, network)
    display = StageDisplay(notes)
    finished: list[OpenedRun] = []
    notes.print(f"daily-learning · {loop} · {first}{f' to {last}' if last else ''}")
    results: Iterable[OpenedRun] = (
        run_range(plan, last, home=home, on_event=display, in_containers=boxes)
        if last
        else (run_daily(one, home=home, on_event=display, in_containers=boxes) for one in (plan,))
    )
    try:
        for opened in results:
            display.close()
            finished.append(opened)
            if not as_json:
                _say(opened)
    except ShouldResolveConflict as problem:
        complain(problem)
        sys.exit(BUSY)
    if as_json:
        print_json([_document(opened) for opened in finished])
    sys.exit(_exit_code(finished, fail_on_hold))


@app.command()
def voice(
    loop: Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")],
    day: Annotated[str, typer.Option("--date", help="The day to learn for; today (UTC).")] = "",
    from_stage: Annotated[str, typer.Option(help="Repeat this stage and all that follow it.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override, e.g. --set voice.preset=large_corpus (repeatable)."),
    ] = None,
    tenant: Tenant = "default",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Read anew what people said of the voice.")
    ] = False,
    fail_on_hold: Annotated[
        bool, typer.Option("--fail-on-hold", help="Exit with 3 unless the verdict is continue.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Teach a loop's voice what people said of it, and try it in the sandbox.

    Corrections, comparisons, thumbs and people's own texts become examples; one adapter learns them; what
    counts is what it does on held-out people beyond a placebo. A killed run continues where it was.
    """
    from everloop.sdk.voice import VoicePlan, run_voice

    display = StageDisplay(notes)
    plan = VoicePlan(
        loop=loop,
        logical_date=_voice_day(day),
        tenant=tenant,
        settings=tuple(settings or ()),
        from_stage=from_stage or None,
        refresh=refresh,
    )
    notes.print(f"persona-adaptation · {loop} · {plan.logical_date}")
    try:
        found = run_voice(plan, home=home, on_event=display)
    except ShouldResolveConflict as problem:
        complain(problem)
        sys.exit(BUSY)
    display.close()
    if as_json:
        print_json(_plain(found.record))
    else:
        typer.echo(f"{found.record.run_id}: {found.record.status}")
        typer.echo(f"  verdict  {found.record.verdict}")
        if found.record.report:
            typer.echo(f"  report   {found.record.report}")
    if found.record.status == "failed":
        sys.exit(1)
    held = not found.record.verdict.startswith("continue")
    sys.exit(3 if fail_on_hold and held else 0)


@app.command()
def watch(
    loop: Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")],
    at: Annotated[
        str,
        typer.Option("--at", help="Moment of the look, ISO 8601, UTC if it names no zone; now."),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override, e.g. --set rollout.min_people=50 (repeatable)."),
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Look at the candidate on trial, and act: a step up, a hold, the end, a rollback or the promotion.

    Run it every hour. It reads the log as it is and leaves what a night learns from alone; whatever the
    verdict, it exits with 0. With nothing on trial, the newest candidate that waits is looked at.
    """
    from everloop.sdk.watching import watch as look

    display = StageDisplay(notes)
    notes.print(f"rollout-watch · {loop} · {at or 'now'}")
    try:
        found = look(
            loop,
            _moment(at),
            home=home,
            tenant=tenant,
            settings=tuple(settings or ()),
            on_event=display,
        )
    except ShouldResolveConflict as problem:
        complain(problem)
        sys.exit(BUSY)
    display.close()
    if as_json:
        outcome = None if found.outcome is None else _plain(found.outcome)
        print_json({"run": _plain(found.record), "outcome": outcome})
    else:
        typer.echo(f"{found.record.run_id}: {found.record.status}")
        typer.echo(f"  verdict  {found.record.verdict}")
        if found.record.report:
            typer.echo(f"  report   {found.record.report}")
    sys.exit(1 if found.record.status == "failed" else 0)


@app.command()
def adversarial(
    loop: Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")],
    day: Annotated[
        str, typer.Option("--date", help="Last day of the decisions used, YYYY-MM-DD; yesterday.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override, e.g. --set thresholds.margin=0.1 (repeatable)."),
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Attack the model that serves and record whether it withstood.

    Perturbed states, extreme contexts, tricks with the catalogue, and rewards that bots poisoned. Exits
    with 3 where the model gave way, and where there was too little to attack it with.
    """
    from everloop.sdk.adversarial import run_adversarial

    display = StageDisplay(notes)
    notes.print(f"adversarial-review · {loop} · {day or 'yesterday'}")
    try:
        found = run_adversarial(
            loop, day, tenant=tenant, settings=tuple(settings or ()), home=home, on_event=display
        )
    except ShouldResolveConflict as problem:
        complain(problem)
        sys.exit(BUSY)
    display.close()
    if as_json:
        print_json(_plain(found.record))
    else:
        _say_review(found)
    failed = found.record.status == "failed"
    sys.exit(1 if failed else 0 if found.passed else 3)


def _voice_day(day: str) -> date:
    try:
        return date.fromisoformat(day) if day else datetime.now(UTC).date()
    except ValueError:
        raise ShouldFixArgument(f"--date {day!r} is no date.", "Give it as YYYY-MM-DD.") from None


def _moment(at: str) -> datetime | None:
    if not at:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise ShouldFixArgument(
            f"--at {at!r} is no moment.", "Give it as YYYY-MM-DDTHH:MM."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _containers(asked: bool, image: str, memory: str, network: str) -> Containers | None:
    """What the options say, completed by the environment; None leaves it to the environment."""
    from everloop.settings import Containers, container_defaults, containers

    given = {"image": image, "memory": memory, "network": network}
    if not asked and containers() is None:
        if any(given.values()):
            options = " and ".join(f"--{name}" for name, value in given.items() if value)
            raise ShouldFixArgument(
                f"{options}: no container is asked for.", "Add --in-containers."
            )
        return None
    default = container_defaults()
    return Containers(
        image=image or default.image,
        memory=memory or default.memory,
        network=network or default.network,
    )


def _range(day: str, start: str, end: str) -> tuple[date, date | None]:
    if bool(day) == bool(start) or bool(start) != bool(end):
        raise ShouldFixArgument(
            "A run needs a date or a range.", "Give --date, or --from together with --to."
        )
    try:
        return date.fromisoformat(day or start), date.fromisoformat(end) if end else None
    except ValueError as problem:
        given = " and ".join(repr(text) for text in (day or start, end) if text)
        raise ShouldFixArgument(f"{given}: {problem}.", "Give dates as YYYY-MM-DD.") from None


def _say(opened: OpenedRun) -> None:
    record = opened.record
    typer.echo(f"{record.run_id}: {record.status}")
    typer.echo(f"  verdict  {record.verdict}")
    if compared := _compared(opened):
        typer.echo(f"  learner  {compared}")
    if record.report:
        typer.echo(f"  report   {record.report}")


def _say_review(found: ReviewedModel) -> None:
    typer.echo(f"{found.record.run_id}: {found.record.status}")
    for attack in found.review.attacks if found.review else ():
        typer.echo(f"  {attack.check.status:<12} {attack.check.name}: {attack.check.reason}")
    if found.review is None:
        typer.echo(f"  verdict      {found.record.verdict}")
    elif found.review.verdict == "insufficient":
        typer.echo(
            f"  insufficient {found.review.reason.partition(': ')[0]}: it counts as no passed test"
        )
    if found.record.report:
        typer.echo(f"  report       {found.record.report}")


def _compared(opened: OpenedRun) -> str:
    """What the learners' comparison came to; "" for a run that did not reach it."""
    from everloop.reporting.learners import one_line

    reached = any("comparison" in stage.artefacts for stage in opened.record.stages)
    return one_line(opened.comparison) if reached else ""


def _document(opened: OpenedRun) -> object:
    return _plain(opened.record)


def _plain(record: object) -> object:
    import json

    return json.loads(to_json(record))


def _exit_code(finished: list[OpenedRun], fail_on_hold: bool) -> int:
    if any(opened.record.status == "failed" for opened in finished):
        return 1
    held = any(not opened.record.verdict.startswith("continue") for opened in finished)
    return 3 if fail_on_hold and held else 0
