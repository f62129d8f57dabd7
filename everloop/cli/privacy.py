"""``everloop privacy``: what the budget is, what was and will be spent, and whether the ledger verifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, notes, print_json, print_pairs, print_table
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.privacy import LedgerRow, Recovered, StagePlan

if TYPE_CHECKING:
    from everloop.wiring import Workspace

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The privacy budget and its ledger."
)

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Day = Annotated[str, typer.Option("--date", help="As of this day (default: today, UTC).")]
Output = Annotated[Path | None, typer.Option(help="Write the whole ledger to this file.")]


@app.command()
def status(loop: Loop, day: Day = "", home: Home = None, as_json: Json = False) -> None:
    """Show the budget of the person who has spent most."""
    from everloop.loops import load

    on = _day(day)
    ledger = _open(home).ledger
    ledger.verify()
    tonight = [row for row in ledger.history() if row.logical_date == on]
    budget = ledger.status(load(loop), on, tonight)
    if as_json:
        print_json(budget)
        return
    print_pairs(
        {
            "budget": f"ε = {budget.epsilon_budget:g} at δ = {budget.delta:g} per person in any "
            f"{budget.period_days} days",
            f"spent on {on}": f"ε = {budget.epsilon_tonight:.4g}, the most of any one person",
            "spent in the period": f"ε = {budget.epsilon_period:.4g}",
            "since first seen": f"ε = {budget.epsilon_since_first_seen:.4g}",
            "nights left": budget.nights_left,
            "people without budget": budget.people_retired,
        }
    )


@app.command()
def plan(
    loop: Loop,
    day: Day = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what a run would spend before it does, for how many people, and how long the rest lasts.

    People are counted whom the ledger knows: who was charged before. Whoever was not has a full budget,
    and how many of them tonight's data will hold is not known before a run.
    """
    from everloop.loops import load

    spec, on = load(loop), _day(day)
    found = _open(home).ledger.plan(spec, f"{spec.name}/{tenant}", on)
    if as_json:
        print_json(found)
        return
    cells = [
        (stage.stage, _what(stage), f"{stage.epsilon:.4g}", f"{stage.mu_squared:.6f}", _whom(stage))
        for stage in found.stages
    ]
    print_table(
        "", ("stage", "on " + on.isoformat(), "ε", "μ²", "people in the ledger who can pay"), cells
    )
    print_pairs(
        {
            "this date, of one person": f"ε = {found.epsilon:.4g} at most, by taking part in every stage",
            "spent in the period": f"ε = {found.budget.epsilon_period:.4g} of "
            f"{found.budget.epsilon_budget:g} at δ = {found.budget.delta:g}",
            "lasts until": f"{found.lasts_until} ({found.budget.nights_left} nights)",
            "another night from": found.free_again or "no date in the coming period",
            "people in the ledger without budget": found.budget.people_retired,
        }
    )


def _what(stage: StagePlan) -> str:
    if stage.done:
        return "is paid for"
    if stage.serves_until is not None:
        return f"not due: the last release serves until {stage.serves_until}"
    return "would be released"


def _whom(stage: StagePlan) -> str:
    if stage.done or stage.serves_until is not None:
        return "-"
    if not stage.people:
        return "nobody was charged yet: all have a full budget"
    return f"{stage.affordable:,} of {stage.people:,}; whoever is not in it has a full budget"


@app.command()
def history(home: Home = None, output: Output = None, as_json: Json = False) -> None:
    """List every row of the ledger, oldest first; with --output, write them as the export does."""
    if output is not None:
        export(output, home, as_json)
        return
    rows = _open(home).ledger.history()
    if as_json:
        print_json(list(rows))
        return
    cells = [
        (
            r.sequence,
            r.logical_date,
            r.pipeline,
            r.stage,
            r.status,
            f"{r.mu_squared:.6f}",
            r.release_id,
        )
        for r in rows
    ]
    print_table("", ("#", "date", "pipeline", "stage", "status", "μ²", "release"), cells)


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="File to write, as JSON lines.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the whole ledger to a file that anybody can check: everloop privacy verify --file.

    It holds no pseudonym; how many people took part in each release is in it.
    """
    from everloop.sdk.synthetic.output import put_bytes, require_place

    require_place(output, overwrite=True)
    ledger = _open(home).ledger
    ledger.verify()
    rows = ledger.history()
    put_bytes(_export(rows), output)
    if as_json:
        print_json({"rows": len(rows), "file": str(output)})
    else:
        typer.echo(f"{len(rows)} rows are in {output}.")


def _export(rows: Sequence[LedgerRow]) -> bytes:
    from everloop.privacy.export import exported

    return "".join(f"{line}\n" for line in exported(rows)).encode()


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Option(help="Check an exported ledger instead; no workspace is needed.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check the ledger's hash chain and every person's total; exit 2 names the first bad row."""
    if file is not None:
        _verify_file(file, as_json)
        return
    rows = _open(home).ledger.verify()
    if as_json:
        print_json({"rows": rows, "verified": True})
    else:
        typer.echo(f"The ledger verifies: {rows} rows.")


def _verify_file(file: Path, as_json: bool) -> None:
    from everloop.privacy.export import verified

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixArgument(f"{file} does not read: {problem}.") from None
    found = verified(text.splitlines())
    if as_json:
        print_json(asdict(found) | {"verified": True})
        return
    typer.echo(f"The export verifies: {found.rows} rows of {found.releases} releases.")
    print_pairs(
        {
            "unfinished": found.unfinished,
            "μ² of one who took part in all": f"{found.mu_squared:.6g}",
            "the chain ends with": found.last_row_sha256,
        }
    )


@app.command()
def recover(
    charge_everyone_since: Annotated[
        str,
        typer.Option(
            help="The journal is lost, too: the day of the restored backup, or the earliest date that was "
            "run since, if that is earlier. Everyone pays the most that may have been spent: for every "
            "date, from then or from the ledger's first row on, of which it has no release."
        ),
    ] = "",
    until: Annotated[
        str,
        typer.Option(
            help="Last day of that (default: today, UTC); it and earlier days are closed."
        ),
    ] = "",
    loop: Annotated[
        list[str] | None,
        typer.Option(
            help="With it: every loop that may have run, each as loose as it was since the backup "
            "(largest epsilon, shortest period); repeat it."
        ),
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            help="With it: tenants of which the restored ledger may know nothing yet; each of these loops "
            "is charged for there, too. Those that it knows are charged for anyway. Repeat it."
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Teach a ledger that was restored from a backup what was spent since, from its journal.

    Running it again changes nothing. What it did is written into the audit log.
    """
    from everloop.loops import load
    from everloop.sdk.recovering import charge_everyone, recover_ledger

    place = _open(home)
    if charge_everyone_since:
        loops = [load(name) for name in loop or ()]
        since, last = _day(charge_everyone_since), _day(until)
        made = charge_everyone(place, loops, tenant or (), since, last, operator())
        if as_json:
            print_json(list(made))
            return
        for row in made:
            typer.echo(
                f"{row.pipeline}: {row.people:,} people paid μ² {row.mu_squared:.6g} each for {since} "
                f"to {last}."
            )
        notes.print(
            f"Nothing is released for {last} and the days before any more. Whoever is first met later "
            "pays the same. A new journal was started."
        )
        return
    if until or loop or tenant:
        raise ShouldFixArgument(
            "--until, --loop and --tenant are for a lost journal.",
            "Give --charge-everyone-since, too.",
        )
    done = recover_ledger(place, operator())
    if as_json:
        print_json(done)
        return
    _tell_recovered(done)


def _tell_recovered(done: Recovered) -> None:
    typer.echo(
        f"{done.rows:,} rows came back from the journal, with {done.charged:,} charges."
        if done.rows
        else "The ledger has everything that its journal has."
    )
    for release_id in done.lost_outputs:
        typer.echo(f"  {release_id}: spent, and its output is not here; it serves nobody")
    for release_id in done.found_outputs:
        typer.echo(f"  {release_id}: its output is here again")
    if done.waits_for_key:
        notes.print(
            f"The rest is of people under the pseudonym key {done.waits_for_key}: put that key into "
            "EVERLOOP_PSEUDONYM_KEY_NEXT, run `everloop keys rotate-pseudonyms`, then this again. "
            "Releases are refused until then.",
            soft_wrap=True,
        )


@app.command()
def statement(
    user: Annotated[str, typer.Option(help="The product's own user id; it is hashed at once.")],
    day: Day = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell one person in plain words what their privacy has cost, and what that means.

    The reading is written into the audit log.
    """
    from everloop.privacy.statement import in_words

    place, on = _open(home), _day(day)
    found = place.ledger.statement(place.pseudonyms.of(user, tenant), on)
    count = 0 if found is None else len(found.entries)
    place.audit.append(tenant, operator(), "person.statement", "statement of a person", count)
    if as_json:
        print_json({"statement": None if found is None else asdict(found)})
    elif found is None:
        notes.print(f"no release has used anything of this person (tenant {tenant}): check the id")
    else:
        for line in in_words(found):
            typer.echo(line)


def _open(home: str | None) -> Workspace:
    from everloop.wiring import open_workspace

    return open_workspace(home)


def _day(text: str) -> date:
    if not text:
        return datetime.now(UTC).date()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ShouldFixArgument(f"{text!r} is no date.", "Give it as YYYY-MM-DD.") from None
    if not _YEARS[0] <= day.year <= _YEARS[1]:
        raise ShouldFixArgument(
            f"--date {day} is not within the years {_YEARS[0]}..{_YEARS[1]}.", "Choose another day."
        )
    return day


_YEARS = (1970, 2999)
"""Periods before and after a day of these are dates too."""
