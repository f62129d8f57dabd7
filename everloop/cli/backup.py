"""``everloop backup``: copies of a workspace, and the way back."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, notes, print_json, print_pairs, print_table
from everloop.cli.progress import BytesBar

if TYPE_CHECKING:
    from everloop.contracts.backups import BackupManifest
    from everloop.sdk.backups.restoring import Restored

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Back up the workspace, verify and prune backups, and restore one into an empty place.",
)

To = Annotated[str, typer.Option("--to", help="Folder, or gs://bucket/prefix, with the backups.")]
From = Annotated[
    str, typer.Option("--from", help="Folder, or gs://bucket/prefix, with the backups.")
]
BackupId = Annotated[str, typer.Option("--backup", help="Its id (default: the newest).")]


@app.command()
def create(
    to: To,
    reports: Annotated[bool, typer.Option("--reports", help="Reports and runs, too.")] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Read what is there already; write again what is damaged."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Back up database, datasets and artefacts while the service goes on working.

    Files that the place has already are not copied again. Keys are in no backup: keep secrets.env
    elsewhere, and the spending journal, too. A command that was killed leaves no backup; repeat it.
    """
    from everloop.sdk.backups.making import create_backup
    from everloop.sdk.backups.places import open_place

    with BytesBar("backing up") as bar:
        made = create_backup(open_place(to), home, reports=reports, repair=repair, on_progress=bar)
    if as_json:
        print_json(
            _shown(made.manifest) | {"copied": made.copied, "copied_bytes": made.copied_bytes}
        )
        return
    typer.echo(f"Backup {made.manifest.backup_id} is at {to}.")
    print_pairs(
        {
            "files": f"{len(made.manifest.files):,} of {_bytes(made.manifest.size)}",
            "copied now": f"{made.copied:,} of {_bytes(made.copied_bytes)}",
            "privacy ledger": f"{made.manifest.ledger_rows:,} rows",
        }
    )


@app.command("list")
def list_backups(place: From, as_json: Json = False) -> None:
    """List the backups of a place, oldest first."""
    from everloop.sdk.backups.places import open_place
    from everloop.sdk.backups.verifying import list_backups as listed

    found = listed(open_place(place))
    if as_json:
        print_json([_shown(manifest) for manifest in found])
        return
    cells = [
        (
            one.backup_id,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.database,
            f"{len(one.files):,}",
            _bytes(one.size),
            one.ledger_rows,
            one.version,
        )
        for one in found
    ]
    print_table(
        "", ("backup", "made (UTC)", "database", "files", "size", "ledger", "everloop"), cells
    )


@app.command()
def verify(place: From, backup: BackupId = "", as_json: Json = False) -> None:
    """Read a whole backup and compare every checksum; exit 1 names what is missing or damaged."""
    from everloop.sdk.backups.places import chosen, open_place
    from everloop.sdk.backups.verifying import verify_backup

    opened = open_place(place)
    with BytesBar("reading") as bar:
        found = verify_backup(opened, chosen(opened, backup), bar)
    if as_json:
        print_json(found)
    elif not found.problems:
        typer.echo(
            f"Backup {found.backup_id} is whole: {found.files:,} files of {_bytes(found.size)}."
        )
    for problem in found.problems:
        notes.print(problem, soft_wrap=True)
    if found.problems:
        sys.exit(1)


@app.command()
def restore(
    place: From,
    into: Annotated[
        Path, typer.Option("--into", help="A folder that holds the keys (secrets.env) alone.")
    ],
    backup: BackupId = "",
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty workspace, and charge and erase what happened since.

    Everything is verified first. People who were erased since are erased again, and what was spent since
    is charged again, from the journal (EVERLOOP_LEDGER_JOURNAL). Exit 1: releases are refused, and the
    output says what to do. Repeat the command if it was killed.
    """
    from everloop.sdk.backups.places import chosen, open_place
    from everloop.sdk.backups.restoring import restore_backup

    opened = open_place(place)
    manifest = chosen(opened, backup)
    with BytesBar("restoring") as bar:
        done = restore_backup(opened, manifest, into, operator(), bar)
    if as_json:
        print_json(done)
    else:
        _tell(done, manifest)
    if done.refused:
        sys.exit(1)


@app.command()
def prune(
    place: From,
    keep_daily: Annotated[int, typer.Option(min=0, help="Newest of so many days.")] = 0,
    keep_weekly: Annotated[int, typer.Option(min=0, help="Newest of so many weeks.")] = 0,
    keep_monthly: Annotated[int, typer.Option(min=0, help="Newest of so many months.")] = 0,
    as_json: Json = False,
) -> None:
    """Delete backups that need not be kept, and what none of the others needs. The newest one stays."""
    from everloop.sdk.backups.places import open_place
    from everloop.sdk.backups.pruning import Kept, prune_backups

    done = prune_backups(open_place(place), Kept(keep_daily, keep_weekly, keep_monthly))
    if as_json:
        print_json(done)
        return
    typer.echo(
        f"{len(done.backups):,} backups are gone, and {done.objects:,} files of {_bytes(done.size)}."
    )


def _tell(done: Restored, manifest: BackupManifest) -> None:
    typer.echo(f"Backup {done.backup_id} is restored in {done.home}: {done.files:,} files.")
    if done.recovered is not None:
        print_pairs(
            {
                "spent since, and charged again": f"{done.recovered.rows:,} ledger rows",
                "outputs of releases that are gone": len(done.recovered.lost_outputs),
            }
        )
    for line in done.missing:
        typer.echo(f"  missing: {line}")
    if done.erasures_waiting:
        notes.print(
            f"{done.erasures_waiting:,} people were erased under another pseudonym key and are here "
            "again: rotate to that key before anything else.",
            soft_wrap=True,
        )
    notes.print(
        f"Not here is what was recorded after {manifest.created_at:%Y-%m-%d %H:%M} UTC: events, consents "
        "that were withdrawn, API keys that were made or revoked, approvals.",
        soft_wrap=True,
    )
    if done.refused:
        notes.print(f"Releases are refused: {done.refused}", soft_wrap=True)


def _shown(manifest: BackupManifest) -> dict[str, object]:
    told = {name: value for name, value in asdict(manifest).items() if name != "files"}
    return told | {"files": len(manifest.files), "size": manifest.size}


def _bytes(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
