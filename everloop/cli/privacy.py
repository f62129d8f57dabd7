"""``everloop privacy``: what the budget is, what was spent, and whether the ledger verifies."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from everloop.cli.output import Home, Json, print_json, print_pairs, print_table
from everloop.contracts.errors import ShouldFixArgument

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The privacy budget and its ledger."
)


@app.command()
def status(
    loop: Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")],
    day: Annotated[str, typer.Option("--date", help="As of this day (default: today, UTC).")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show the budget of the person who has spent most."""
    from everloop.loops import load
    from everloop.wiring import open_workspace

    on = _day(day) if day else datetime.now(UTC).date()
    ledger = open_workspace(home).ledger
    ledger.verify()
    tonight = {row.release_id: row.mu_squared for row in ledger.history() if row.logical_date == on}
    budget = ledger.status(load(loop), on, sum(tonight.values()))
    if as_json:
        print_json(budget)
        return
    print_pairs(
        {
            "budget": f"ε = {budget.epsilon_budget:g} at δ = {budget.delta:g} per person in any "
            f"{budget.period_days} days",
            f"spent on {on}": f"ε = {budget.epsilon_tonight:.4g}",
            "spent in the period": f"ε = {budget.epsilon_period:.4g}",
            "since first seen": f"ε = {budget.epsilon_since_first_seen:.4g}",
            "nights left": budget.nights_left,
            "people without budget": budget.people_retired,
        }
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ShouldFixArgument(f"{text!r} is no date.", "Give it as YYYY-MM-DD.") from None


@app.command()
def history(home: Home = None, as_json: Json = False) -> None:
    """List every row of the ledger, oldest first."""
    from everloop.wiring import open_workspace

    rows = open_workspace(home).ledger.history()
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
def verify(home: Home = None, as_json: Json = False) -> None:
    """Check the ledger's hash chain and every person's total; exit 2 names the first bad row."""
    from everloop.wiring import open_workspace

    rows = open_workspace(home).ledger.verify()
    if as_json:
        print_json({"rows": rows, "verified": True})
    else:
        typer.echo(f"The ledger verifies: {rows} rows.")
