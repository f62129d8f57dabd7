"""What commands print: a table or JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from everloop.cli.readable import readable
from everloop.contracts.documents import to_json
from everloop.contracts.errors import EverloopError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead.")]
Home = Annotated[
    str | None,
    typer.Option("--home", help="Workspace folder (default: EVERLOOP_HOME or .everloop)."),
]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose rows.")]

notes = Console(stderr=True, highlight=False)


WIDE = 240
"""Columns when nobody looks: what a script reads must not be folded."""


def console() -> Console:
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=WIDE)


def complain(problem: EverloopError) -> None:
    """Print an error as ``error: what is wrong`` and ``  fix: what to do``."""
    sys.stderr.write(f"error: {readable(problem.message)}\n")
    if problem.remedy:
        sys.stderr.write(f"  fix: {readable(problem.remedy)}\n")


def print_json(value: Any) -> None:
    """Print a record, or a plain value, as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        typer.echo(to_json(value).decode())
    else:
        typer.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows; long cells wrap."""
    table = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        # Ids come first, and an id that is broken in two can't be copied.
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print ``name: value`` lines, aligned."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        typer.echo(f"  {name:<{width}}  {value}")
