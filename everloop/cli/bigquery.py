"""``everloop bigquery``: the mirror of the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from everloop.cli.output import Home, Json, notes, print_json, print_table
from everloop.cli.progress import Spinner
from everloop.contracts.errors import ShouldFixArgument

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Mirror the log into BigQuery.")


@app.command()
def sync(
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose rows (default: everybody's).")
    ] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare all that is mirrored, and repair it.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring EVERLOOP_BIGQUERY to where the log is, and delete there who was erased here.

    Extractions do this by themselves; a first run brings everything over and may take long. Interrupt it
    when you like: the next goes on from there.
    """
    from everloop.wiring import mirror_of, open_workspace

    workspace = open_workspace(home)
    mirror = mirror_of(workspace.engine, workspace.home)
    if mirror is None:
        raise ShouldFixArgument(
            "EVERLOOP_BIGQUERY is not set: there is no mirror.", "Set it to project.dataset."
        )
    spinner = Spinner(notes)
    done = []
    try:
        for one in (tenant,) if tenant else mirror.tenants():
            spinner.show(f"{one}: looking at the log")
            done.append(mirror.sync(one, _shown_on(spinner, one), verify))
    finally:
        spinner.close()
    if as_json:
        print_json([asdict(one) for one in done])
        return
    rows = [
        (
            one.tenant,
            *(f"{one.upto[name]:,}" for name in ("episodes", "signals", "revisions", "reviews")),
            f"{sum(one.loaded.values()):,}",
            sum(one.repaired.values()),
            "yes" if one.rebuilt else "no",
        )
        for one in done
    ]
    columns = ("tenant", "episodes", "signals", "revisions", "reviews", "rows brought")
    print_table("mirrored up to", (*columns, "blocks repaired", "rebuilt"), rows)


def _shown_on(spinner: Spinner, tenant: str) -> Callable[[str, int, int], None]:
    def show(name: str, reached: int, end: int) -> None:
        spinner.show(f"{tenant}: {name} {reached:,} of {end:,}")

    return show
