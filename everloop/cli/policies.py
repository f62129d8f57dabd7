"""``everloop train`` and ``everloop tune``: policies learned outside the graph, on its private releases."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import placing
from everloop.cli.output import Home, Json, notes, print_json, print_pairs, print_table
from everloop.cli.progress import Spinner, TrainingBar
from everloop.contracts.errors import ShouldFixArgument

if TYPE_CHECKING:
    from everloop.contracts.evaluation import Estimate
    from rl.tune.sweep import SweepResult, TrialRow

train = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train outside the graph, on private releases that the graph has made.",
)


class Learner(StrEnum):
    PPO = "ppo"
    GREEDY = "greedy"
    LIN_TS = "lin_ts"
    LIN_UCB = "lin_ucb"


class Scheduler(StrEnum):
    ASHA = "asha"
    PBT = "pbt"


From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="DATASET",
        help="A run's id (everloop runs list), a dataset version's id, or the start of one.",
    ),
]
Loop = Annotated[
    str, typer.Option(help="A shipped loop or YAML file (default: as the run had it).")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override training.… or exploration.…, e.g. training.iterations=60."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A running Ray cluster. If it asks for a token: RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH=FILE in the environment.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--fresh",
        help="Go on where the same command was interrupted, or replace what is in the folder.",
    ),
]


@train.callback()
def root() -> None:
    """Train outside the graph."""


@train.command()
def policy(
    named: From,
    loop: Loop = "",
    settings: Settings = None,
    learner: Annotated[
        Learner,
        typer.Option(
            help="ppo looks ahead over journeys; greedy takes the best single decision; lin_ts and "
            "lin_ucb are linear bandits."
        ),
    ] = Learner.PPO,
    start: Annotated[
        Path | None,
        typer.Option(help="Start from the policy in this folder.", exists=True, file_okay=False),
    ] = None,
    runners: Annotated[
        int, typer.Option(min=0, help="Remote workers that simulate; 0 simulates in this process.")
    ] = 0,
    learners: Annotated[
        int, typer.Option(min=0, help="Remote workers that learn; 0 learns in this process.")
    ] = 0,
    address: Address = None,
    on: placing.On = placing.Where.HERE,
    placement: placing.PlacementFile = None,
    write: placing.Write = "",
    submit: placing.Submit = False,
    wait: placing.Wait = 6.0,
    delete_if_interrupted: placing.DeleteIfInterrupted = False,
    kubeconfig: placing.Kubeconfig = None,
    context: placing.Context = "",
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Put the policy into the shared store, for whoever has its database and not this folder.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the policy (default: in the workspace).")
    ] = None,
    resume: Resume = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train a policy on the user model and the synthetic people that a run released.

    For example:  everloop train policy --from companion-2026-03-28 --set training.iterations=60

    Nothing here reads the log or spends privacy budget. The same command gives the same weights, bit
    for bit, and one that was interrupted goes on from its last checkpoint. The policy is written to a
    folder and not registered: only the daily graph's gate decides what serves.

    Elsewhere:  everloop train policy --from companion-2026-03-28 --on kuberay
    --placement infra/ray/kuberay.yaml --submit
    makes a Ray cluster for the training, waits, and brings the policy here; --write FILE leaves the
    submitting to you. The file says how many runners and learners there are.
    """
    if on is not placing.Where.HERE:
        _elsewhere_only(runners, learners, address, start, out, resume, publish)
        from everloop.sdk.placements.training import place_training

        terms = placing.placement_for(on, placement, write, submit)
        placed = place_training(
            named,
            terms,
            loop=loop,
            settings=tuple(settings or ()),
            learner=learner.value,
            home=home,
        )
        if write:
            placing.write_manifest(placed, write)
            return
        placing.submit_and_wait(
            placed, wait, delete_if_interrupted, kubeconfig, context, home, as_json
        )
        return
    if placement or write or submit:
        raise ShouldFixArgument(
            "--placement, --write and --submit are of a training elsewhere.",
            "Give --on kuberay or --on cloud_run, or leave them out.",
        )
    from everloop.sdk.policies.training import train_policy

    with TrainingBar() as bar:
        trained = train_policy(
            named,
            loop=loop,
            settings=tuple(settings or ()),
            learner=learner.value,
            start=start,
            runners=runners,
            learners=learners,
            address=address,
            out=out,
            fresh=not resume,
            publish=publish,
            home=home,
            progress=bar,
        )
    if as_json:
        print_json(trained)
        return
    typer.echo(f"{trained.version} in {trained.folder}")
    pairs: dict[str, object] = {
        "learner": trained.learner,
        "from": trained.source,
        **{used.stage: f"release {used.release_id}, reused" for used in trained.releases},
        "steps": f"{trained.steps:,}",
    }
    if trained.curve:
        last = trained.curve[-1]
        pairs["reward"] = (
            f"{last.reward:.4f} [{last.low:.4f}, {last.high:.4f}] per decision, simulated"
        )
    if trained.resumed_from:
        pairs["continued after"] = f"{trained.resumed_from} iterations"
    if trained.events is not None:
        pairs["events"] = f"tensorboard --logdir {trained.events}"
    print_pairs(pairs)


def _elsewhere_only(
    runners: int,
    learners: int,
    address: str | None,
    start: Path | None,
    out: Path | None,
    resume: bool,
    publish: bool,
) -> None:
    """``ShouldFixArgument``: an option that says nothing to a training elsewhere was given."""
    given = {
        "--runners": runners,
        "--learners": learners,
        "--address": address,
        "--start": start,
        "--out": out,
        "--fresh": not resume,
        "--publish": publish,
    }
    named = [name for name, value in given.items() if value]
    if named:
        raise ShouldFixArgument(
            f"{named[0]} is of a training here.",
            "Leave it out: the placement's file says what runs there, and the policy comes back by itself.",
        )


def tune(
    named: From,
    space: Annotated[
        list[str],
        typer.Option(
            help="What varies (repeatable): SETTING=uniform(low,high), loguniform(low,high), "
            "randint(low,high) or choice(a,b,…), of training.… and exploration.…"
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 8,
    scheduler: Annotated[
        Scheduler,
        typer.Option(
            help="asha stops the worse two thirds early; pbt lets the worst go on from the best."
        ),
    ] = Scheduler.ASHA,
    cpus: Annotated[int, typer.Option(min=1, help="Trials side by side, one CPU each.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the settings tried and of every trial.")] = 0,
    loop: Loop = "",
    settings: Settings = None,
    address: Address = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the sweep (default: in the workspace).")
    ] = None,
    resume: Resume = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Search for the settings whose policy earns most with synthetic people nobody trained on.

    For example:  everloop tune --from companion-2026-03-28 --trials 16 --cpus 2
    --space "training.learning_rate=loguniform(1e-4,1e-2)" --space "training.hidden=choice(32,64,128)"

    A trial is worth the simulated return of its policy, with the user model's doubt taken off; the real
    holdout is never looked at and no privacy budget is spent. A sweep that was killed goes on. The best
    of many is optimistic, so its policy is judged again, on people whom no trial met. It is exported; put
    its settings into the loop's file for the graph to use them.
    """
    from everloop.sdk.policies.tuning import tune_policy

    spinner = Spinner(notes)
    try:
        result = tune_policy(
            named,
            tuple(space),
            trials=trials,
            scheduler=scheduler.value,
            cpus=cpus,
            seed=seed,
            loop=loop,
            settings=tuple(settings or ()),
            address=address,
            out=out,
            fresh=not resume,
            home=home,
            progress=lambda row: spinner.show(f"trial {row.trial} · {_value(row)}"),
        )
    finally:
        spinner.close()
    if as_json:
        print_json(result.table)
        return
    _show(result)


def _show(result: SweepResult) -> None:
    names = sorted({name for row in result.table.trials for name in row.settings})
    rows = [
        (
            row.trial,
            *(_short(row.settings.get(name, "—")) for name in names),
            f"{row.steps:,}",
            _value(row),
            row.ended,
        )
        for row in result.table.trials
    ]
    print_table("", ("trial", *names, "steps", "return", "ended"), rows)
    pairs: dict[str, object] = {
        "best": f"{result.best.card.version} in {result.best.card_path.parent}",
        "judged again": _judged_again(result),
        "with": " ".join(f"--set {k}={v}" for k, v in result.table.trials[0].settings.items()),
        "user model": f"release {result.table.user_model_release}, reused",
        "table": result.path,
    }
    print_pairs(pairs)


def _judged_again(result: SweepResult) -> str:
    return (
        f"the best of {len(result.table.trials)} trials is optimistic; judged again: "
        f"{_told(result.judged_again)}, with synthetic people and doubts that no trial met"
    )


def _value(row: TrialRow) -> str:
    return "—" if row.value is None else _told(row.value)


def _told(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
