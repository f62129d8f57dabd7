"""``everloop synth``: people who do not exist, made from private releases."""

from __future__ import annotations

import math
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import (
    Home,
    Json,
    Tenant,
    complain,
    print_json,
    print_pairs,
    print_table,
)
from everloop.cli.progress import ProfileBar
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldWait,
    ShouldWaitForWorker,
)
from everloop.contracts.synthetic_jobs import FileFormat

if TYPE_CHECKING:
    from everloop.contracts.synthetic_jobs import SyntheticJob

BUSY = 4
"""Exit code: another process works on this job."""
BAD_INPUT = 2
"""Exit code: it was refused, and would be again."""
AGAIN = 1
"""Exit code: it failed, and may succeed when it is tried again."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Synthetic people: drawn from a loop's private releases, each with days of simulated "
        "interactions. Drawing spends no privacy, and the same command gives the same file. "
        "The daily graph must have released a user model and profiles before: everloop run daily."
    ),
)

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same people.")]


@app.command()
def generate(
    loop: Loop,
    n: Annotated[int, typer.Option("--n", min=1, help="How many people, up to 1,000,000.")],
    seed: Seed = 0,
    edge_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of diverse edge cases; the file marks them.")
    ] = 0.05,
    variance: Annotated[
        float,
        typer.Option(help="Spread around what was released: 1 as it is, up to 4 more diverse."),
    ] = 1.0,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of simulated interactions.")] = 30,
    start: Annotated[
        str, typer.Option(help="Day 0 of the interactions (default: day of the release).")
    ] = "",
    form: Annotated[
        FileFormat, typer.Option("--format", help="Parquet (zstd), or one JSON object a line.")
    ] = FileFormat.PARQUET,
    output: Annotated[
        Path | None, typer.Option(help="Where to put the file (default: profiles.<format> here).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if there is one.")
    ] = False,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make people who do not exist and write them to a file.

    For example:  everloop synth generate --loop companion --n 10000 --output people.parquet

    A row is a person: profile_id, persona_vector (512 numbers), traits, interaction_history (what was
    decided each day, which signals came, late ones too, and the reward), source, release_id, edge.
    They also go into the workspace's table synthetic_profiles. Everything is made from private
    releases, so the file may leave: it holds nobody. Interrupted or killed, the same command goes on
    where it was.
    """
    from everloop.sdk.synthetic.people import generate_profiles

    with ProfileBar() as bar:
        made = generate_profiles(
            loop,
            n,
            seed=seed,
            edge_share=edge_share,
            variance=variance,
            days=days,
            format=form.value,
            start=_day(start) if start else None,
            output=output or Path(_FILES[form]),
            overwrite=overwrite,
            home=home,
            tenant=tenant,
            actor=operator(),
            progress=bar,
        )
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.rows:,} people in {made.path}")
    pairs = {"sha256": made.sha256, "job": made.job.job_id}
    print_pairs(pairs | {f"from {used.stage}": used.release_id for used in made.job.releases})


@app.command()
def augment(
    loop: Loop,
    per_person: Annotated[int, typer.Option(min=1, max=100, help="Variations of each person.")] = 1,
    seed: Seed = 0,
    day: Annotated[
        str,
        typer.Option("--date", help="Read the log up to this day (default: the user model's)."),
    ] = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Turn consenting people's data into profiles and variations of them, inside the workspace.

    There is no file: these profiles hold real people, marked real and augmented, and no command or
    route exports them. Whoever opted out is left out. An earlier augmentation of the loop is replaced.
    """
    from everloop.sdk.synthetic.people import augment_people

    with ProfileBar() as bar:
        made = augment_people(
            loop,
            per_person=per_person,
            seed=seed,
            logical_date=_day(day) if day else None,
            home=home,
            tenant=tenant,
            actor=operator(),
            progress=bar,
        )
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.rows:,} profiles of consenting people, kept inside the workspace")
    print_pairs({source: f"{count:,}" for source, count in made.counts.items()})


@app.command()
def stats(loop: Loop, tenant: Tenant = "default", home: Home = None, as_json: Json = False) -> None:
    """Show how many synthetic people there are, what they cost, and what is published of them."""
    from everloop.loops import load
    from everloop.sdk.synthetic.stats import stats_of
    from everloop.wiring import open_workspace

    found = stats_of(open_workspace(home), load(loop), tenant)
    if as_json:
        print_json(found)
        return
    budget = found.budget
    pairs: dict[str, object] = {f"{name} profiles": n for name, n in found.profiles.items()}
    pairs |= {
        f"newest {used.stage}": f"{used.release_id} of {used.logical_date}"
        for used in found.releases
    }
    pairs["budget"] = (
        f"ε = {budget.epsilon_spent:.4g} spent in {budget.period_days} days, "
        f"{budget.epsilon_left:.4g} left of {budget.epsilon_budget:g} at δ = {budget.delta:g}"
    )
    print_pairs(pairs)
    if found.quality:
        rows = [(e.name, _number(e.value), _number(e.low), _number(e.high)) for e in found.quality]
        print_table("Published quality", ("figure", "value", "low", "high"), rows)
        for method in sorted({figure.method for figure in found.quality}):
            typer.echo(f"  {method}")
    else:
        typer.echo("  No quality figure was published yet.")
    if found.patterns:
        told = [
            (", ".join(p.fields), ", ".join(p.values), f"{p.people:,.0f} ± {p.deviation:,.0f}")
            for p in found.patterns[:_GROUPS]
        ]
        print_table("Largest groups that may be told", ("traits", "values", "people"), told)
    for note in found.notes:
        typer.echo(f"  note: {note}")


@app.command()
def jobs(
    job: Annotated[str, typer.Argument(help="A job's id: show this one alone.")] = "",
    loop: Annotated[str | None, typer.Option(help="Of this loop alone, by name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Jobs at most.")] = 20,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List jobs for synthetic people, newest first, with how far each is."""
    from everloop.wiring import open_workspace

    store = open_workspace(home).synthetic_jobs
    found = (store.job(job, tenant),) if job else store.jobs(loop, limit, tenant)
    if as_json:
        print_json(list(found))
        return
    rows = [
        (
            one.job_id,
            one.kind.value,
            one.loop,
            one.state.value,
            _progress(one),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.error or "-",
        )
        for one in found
    ]
    print_table("", ("job", "kind", "loop", "state", "profiles", "asked", "error"), rows)


@app.command(hidden=True)
def work(
    job: Annotated[str, typer.Argument(help="A running job's id.")],
    worker: Annotated[str, typer.Option(help="Who holds it.")],
    loop: Loop,
    tenant: Tenant = "default",
    home: Home = None,
) -> None:
    """Carry out a job that a service's worker holds; exit 4 while another process does."""
    from everloop.contracts.serving import JobState
    from everloop.loops import load
    from everloop.sdk.synthetic.work import carry_out, working_on
    from everloop.wiring import open_workspace

    workspace, spec = open_workspace(home), load(loop)
    try:
        with working_on(workspace, job):
            found = workspace.synthetic_jobs.job(job, tenant)
            if found.state is JobState.RUNNING:
                carry_out(workspace, spec, found, worker)
    except ShouldWaitForWorker as problem:
        complain(problem)
        sys.exit(BUSY)
    except EverloopError as problem:
        typer.echo(str(problem))  # standard output is what the job will say of it
        complain(problem)
        sys.exit(AGAIN if isinstance(problem, ShouldFreeDisk | ShouldWait) else BAD_INPUT)


_GROUPS = 20
_FILES = {FileFormat.PARQUET: "profiles.parquet", FileFormat.JSON: "profiles.jsonl"}


def _progress(job: SyntheticJob) -> str:
    return f"{job.done:,} of {job.total:,}" if job.total else f"{job.done:,}"


def _number(value: float) -> str:
    return "hidden by noise" if math.isnan(value) else f"{value:.4g}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ShouldFixArgument(f"{text!r} is no date.", "Give it as YYYY-MM-DD.") from None
