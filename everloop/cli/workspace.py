"""``everloop init``, ``everloop migrate``, ``everloop loops`` and ``everloop compile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everloop.cli.output import Home, Json, print_json, print_pairs, print_table


def init(home: Home = None, as_json: Json = False) -> None:
    """Make a workspace: a folder with the database, datasets, artefacts and secret keys.

    Running it again changes nothing. Keep the folder: it holds the privacy ledger.
    """
    from everloop import settings
    from everloop.wiring import open_workspace

    configured, new = settings.initialise(home)
    open_workspace(configured.home)
    if as_json:
        print_json({"home": str(configured.home), "new": new})
        return
    typer.echo(f"{'New workspace' if new else 'Workspace'} at {configured.home}")
    if new:
        typer.echo("  secrets.env holds its keys (owner only): back it up, never commit it.")


def migrate(home: Home = None, as_json: Json = False) -> None:
    """Bring the database to this version's schema, and make nothing else.

    For a container that starts with an empty folder: the keys and the database come from the
    environment, and none is made where one is missing. Several at once wait for the first one; again,
    it changes nothing.
    """
    from everloop.storage.sql.engine import SCHEMA_HEAD, database_name
    from everloop.wiring import open_workspace

    engine = open_workspace(home).engine
    name = database_name(engine)
    engine.dispose()
    if as_json:
        print_json({"database": name, "schema": SCHEMA_HEAD})
    else:
        typer.echo(f"{name} has schema {SCHEMA_HEAD}")


def loops(
    loop: Annotated[str, typer.Argument(help="A shipped loop or a YAML file to check.")] = "",
    as_json: Json = False,
) -> None:
    """List the loops that ship, or check one: every problem with its line and fix."""
    from everloop.loops import SHIPPED, load

    specs = [load(loop)] if loop else [load(name) for name in SHIPPED]
    if as_json:
        print_json([spec.model_dump(mode="json") for spec in specs])
    elif loop:
        spec = specs[0]
        typer.echo(f"{spec.name} version {spec.version} is valid.")
        print_pairs(
            {
                "context": ", ".join(field.name for field in spec.context),
                "actions": ", ".join(spec.action_ids[:12])
                + (" …" if len(spec.actions) > 12 else ""),
                "signals": ", ".join(f"{s.name} × {s.weight:g}" for s in spec.signals),
                "budget": f"ε = {spec.privacy.epsilon:g}, δ = {spec.privacy.delta:g} per person in "
                f"{spec.privacy.period_days} days",
                "checksum": spec.checksum,
            }
        )
    else:
        rows = [(s.name, s.version, len(s.actions), len(s.signals), s.description) for s in specs]
        print_table("", ("loop", "version", "actions", "signals", "description"), rows)


def compile_graphs(
    output: Annotated[Path, typer.Option(help="Folder to write <graph>.yaml into.")] = Path(),
    platform: Annotated[
        Path | None,
        typer.Option(help="A cluster's file: its image and settings go into every step."),
    ] = None,
    loop: Annotated[
        str,
        typer.Option(help="With --platform: the loop that the UI's form is filled in with."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Compile the graphs to the YAML that the Kubeflow UI takes; the same file runs on a laptop.

    With --platform every step gets the image, resources, secrets and volumes of that file, and --loop fills
    in the form that the UI shows: upload the file, choose Create run, and only the date is left to choose.
    """
    from everloop.contracts.documents import sha256_of
    from pipelines.compile import GRAPHS, compile_graph, form_defaults
    from pipelines.platform_file import load_platform

    place = None if platform is None else load_platform(platform)
    filled = _sections(loop)
    written = [
        compile_graph(name, output / f"{name}.yaml", place, form_defaults(name, filled))
        for name in GRAPHS
    ]
    if as_json:
        print_json({str(path): sha256_of(path) for path in written})
    else:
        for path in written:
            typer.echo(f"{path}  sha256 {sha256_of(path)}")


def _sections(loop: str) -> dict[str, str]:
    if not loop:
        return {}
    from dataclasses import asdict

    from everloop.loops import load
    from everloop.loops.sections import split, voice_text

    spec = load(loop)
    return asdict(split(spec)) | {"voice": voice_text(spec)}
