"""``everloop storage``: datasets and blobs of a workspace, moved into a bucket."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.output import Home, Json, notes, print_json

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Move a workspace's datasets and models into a bucket of Google Cloud Storage.\n\n"
        "Copy first, then set EVERLOOP_STORAGE_URL wherever the workspace is used. Rows are not moved "
        "(see EVERLOOP_DATABASE_URL), and reports of runs on this machine stay in the workspace."
    ),
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Keeps the name of the only command."""


@app.command()
def copy(
    to: Annotated[
        str, typer.Option(help="gs://bucket/prefix (default: EVERLOOP_STORAGE_URL).")
    ] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Copy datasets and blobs into a bucket, verified; what is there already is not sent again.

    Interrupted, it continues where it was when it is repeated. Nothing of the workspace is deleted.
    """
    from everloop import wiring
    from everloop.cli.progress import CopyBar

    with CopyBar() as bar:
        copied = wiring.copy_to_bucket(home, to, bar)
    if as_json:
        print_json(copied)
        return
    typer.echo(f"{len(copied.datasets)} datasets and {len(copied.blobs)} blobs are in {copied.url}")
    notes.print(f"Now set EVERLOOP_STORAGE_URL={copied.url}", soft_wrap=True)
