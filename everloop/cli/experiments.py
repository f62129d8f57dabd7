"""``everloop experiment``: a search for settings whose best policy meets the gate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import (
    Home,
    Json,
    Tenant,
    complain,
    notes,
    print_json,
    print_pairs,
    print_table,
)
from everloop.cli.policies import Loop, Scheduler, Settings
from everloop.cli.progress import StageDisplay
from everloop.cli.submitting import UNREACHED, PlatformFile, Unheard
from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict

if TYPE_CHECKING:
    from everloop.contracts.evaluation import Estimate
    from everloop.contracts.sweeps import SweepTable
    from everloop.sdk.experiment import ExperimentPlan, OpenedExperiment

BUSY = 4
"""Exit code: another process experiments on this loop and date."""


def experiment(
    named: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="DATASET",
            help="A run's id (everloop runs list), a dataset version's id, or the start of one.",
        ),
    ] = "",
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="What varies (repeatable): SETTING=uniform(low,high), loguniform(low,high), "
            "randint(low,high) or choice(a,b,…), of training.… and exploration.…; by default learning "
            "rate, epochs and first exploration."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="Settings to try.")] = 8,
    scheduler: Annotated[
        Scheduler,
        typer.Option(
            help="asha stops the worse two thirds early; pbt lets the worst go on from the best."
        ),
    ] = Scheduler.ASHA,
    cpus: Annotated[
        int, typer.Option(min=1, max=128, help="Trials side by side, one CPU each.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the settings tried and of every trial.")] = 0,
    loop: Loop = "",
    settings: Settings = None,
    submit: Annotated[
        bool,
        typer.Option(
            "--submit", help="Run it on Kubeflow, on a night of the cluster's: --loop and --date."
        ),
    ] = False,
    day: Annotated[
        str, typer.Option("--date", help="With --submit: the night, YYYY-MM-DD; the last.")
    ] = "",
    tenant: Tenant = "default",
    platform: PlatformFile = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --submit: follow the run to its end.")
    ] = False,
    fail_on_hold: Annotated[
        bool,
        typer.Option(
            "--fail-on-hold",
            help="Exit with 3 unless the verdict is continue; not with --submit.",
        ),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Search for settings on a finished night's releases, and put the best policy before the gate.

    For example:  everloop experiment --from companion-2026-03-28 --trials 16 --cpus 2
    --space "training.learning_rate=loguniform(1e-4,1e-2)" --space "training.hidden=choice(32,64,128)"

    The winner is evaluated off-policy on held-out people, judged by the gate and registered like every
    night's candidate, its lineage naming the sweep and the trial: on trial where the verdict is continue,
    kept back where it is hold. No privacy budget is spent. A run that was killed goes on with the same
    command; everloop tune is the same search without the gate, for a quick look.

    On Kubeflow:  everloop experiment --submit --loop companion --date 2026-03-28 --trials 16
    --platform infra/kubeflow/platform.yaml
    """
    from everloop.sdk.experiment import DEFAULT_SPACE, ExperimentPlan, run_experiment

    if not named and not submit:
        raise ShouldFixArgument(
            "No night is named.", "Give --from RUN, or --submit with --loop and --date."
        )

    _fitting(
        submit,
        {"--fail-on-hold": fail_on_hold},
        {
            "--date": bool(day),
            "--wait": wait,
            "--platform": platform is not None,
        },
    )
    plan = ExperimentPlan(
        named,
        tuple(space or DEFAULT_SPACE),
        trials,
        scheduler.value,
        cpus,
        seed,
        loop,
        tuple(settings or ()),
    )
    if submit:
        _submitted(plan, day, tenant, platform, wait, as_json)
        return
    display = StageDisplay(notes)
    notes.print(f"experiment · {named} · {trials} trials")
    try:
        found = run_experiment(plan, home=home, on_event=display)
    except ShouldResolveConflict as problem:
        complain(problem)
        sys.exit(BUSY)
    finally:
        display.close()
    if as_json:
        print_json(found.record)
    else:
        _say(found)
    if found.record.status == "failed":
        sys.exit(1)
    held = not found.record.verdict.startswith("continue")
    sys.exit(3 if fail_on_hold and held else 0)


def _fitting(submit: bool, here: dict[str, bool], there: dict[str, bool]) -> None:
    """``ShouldFixArgument``: an option is given that only the other place heeds."""
    for option in (o for o, given in (here if submit else there).items() if given):
        if submit:
            raise ShouldFixArgument(
                f"{option} needs the verdict, which a run on Kubeflow leaves in the cluster's workspace.",
                f"Leave out {option}, and look at the run's report.",
            )
        raise ShouldFixArgument(
            f"{option} is of experiments on Kubeflow.", f"Add --submit, or leave out {option}."
        )


def _submitted(
    plan: ExperimentPlan, day: str, tenant: str, platform: Path | None, wait: bool, as_json: bool
) -> None:
    from everloop.sdk.experiment import submit_experiment

    display = StageDisplay(notes)
    notes.print(
        f"experiment · {plan.loop} · {day or 'the last day that ended'} · {plan.trials} trials"
    )
    try:
        run = submit_experiment(
            plan, day, tenant=tenant, platform=platform, wait=wait, on_event=display
        )
    except Unheard as problem:
        complain(problem)
        sys.exit(UNREACHED)
    finally:
        display.close()
    if as_json:
        print_json(run)
    else:
        typer.echo(
            f"{run.name}: {run.state.value.lower()}{'' if run.new else ', submitted before'}"
        )
        print_pairs({"run": run.run_id, "look at it": run.url})
    sys.exit(1 if wait and run.state != "SUCCEEDED" else 0)


def _say(found: OpenedExperiment) -> None:
    record = found.record
    typer.echo(f"{record.run_id}: {record.status}")
    typer.echo(f"  verdict  {record.verdict}")
    if record.report:
        typer.echo(f"  report   {record.report}")
    reached = {stage.stage for stage in record.stages if stage.outcome != "failed"}
    if "sweep_policies" in reached:
        _show(found.sweep)
    if "register" in reached:
        print_pairs({"candidate": found.checkpoint.checkpoint_id})


def _show(table: SweepTable) -> None:
    names = sorted({name for row in table.trials for name in row.settings})
    rows = [
        (
            row.number,
            *(_short(row.settings.get(name, "—")) for name in names),
            f"{row.steps:,}",
            "—" if row.value is None else _told(row.value),
            row.ended,
        )
        for row in table.trials
    ]
    print_table("", ("trial", *names, "steps", "return", "ended"), rows)
    print_pairs(
        {
            "judged again": f"{_told(table.judged_again)}, with synthetic people whom no trial met",
            "sweep": f"{table.sweep}, trial {table.winner.number}",
        }
    )


def _told(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
