"""``everloop voice``: text for a voice to learn from, its versions, and what was made of what."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, notes, print_json, print_table
from everloop.cli.readable import readable
from everloop.cli.voice_persona import Loop, Persona, nearest, persona_of, require_known

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What a voice learns from and became."
)


@app.command()
def ingest(
    path: Annotated[
        Path, typer.Argument(help="A person's own texts, one JSON object a line.", exists=True)
    ],
    persona: Persona = None,
    loop: Loop = None,
    user: Annotated[
        str | None,
        typer.Option(help="Whose they are; the product's own id (or user_id in a line)."),
    ] = None,
    written: Annotated[
        datetime | None,
        typer.Option(help="When, in UTC, for lines without a timestamp.", formats=["%Y-%m-%d"]),
    ] = None,
    origin: Annotated[str, typer.Option(help="Where they come from, such as email.")] = "file",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take in people's own texts; broken off and run again, it goes on where it was.

    Lines: {"text": …} or {"texts": […]} or {"said": …, "answered": …}, each with "timestamp", or
    --written for all. Texts of people who refused training are left out.
    """
    from everloop.cli.operator import operator
    from everloop.cli.progress import BytesBar
    from everloop.cli.voice_lines import Defaults, ingest
    from everloop.reporting.wording import plural
    from everloop.wiring import open_workspace

    place, size = open_workspace(home), path.stat().st_size
    named = persona_of(persona, loop)
    if loop is None:
        require_known(place, named, tenant)
    defaults = Defaults(
        persona=named,
        tenant=tenant,
        person=partial(place.pseudonyms.of, tenant=tenant),
        user=user,
        written=None if written is None else written.replace(tzinfo=UTC),
        origin=origin,
    )
    with BytesBar(path.name) as bar:
        done = ingest(
            path, defaults, place.voices, operator(), lambda read: bar(read, size, path.name)
        )
    if done.personal:
        notes.print(
            f"  warning: {done.personal:,} of {plural(done.lines, 'line')} "
            f"{'has' if done.personal == 1 else 'have'} what looks like an address, a phone number or a "
            "card: stored, and kept out of training by the screens."
        )
    if as_json:
        print_json(asdict(done))
        return
    typer.echo(
        f"{path.name}: {plural(done.stored, 'package')} stored, {done.known:,} known before, "
        f"{done.refused:,} refused (their people do not allow training)"
    )


@app.command()
def versions(
    persona: Persona = None,
    loop: Loop = None,
    user: Annotated[
        str | None, typer.Option(help="Whose twin; the product's own id. By default the product's.")
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List a voice's versions, newest first."""
    from everloop.wiring import open_workspace

    place, named = open_workspace(home), persona_of(persona, loop)
    person = None if user is None else place.pseudonyms.of(user, tenant)
    found = place.voices.versions(named, person, tenant, references=False)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        whose = "" if user is None else f" for {readable(user)}"
        told = f"Persona {named!r} has no version{whose} yet (tenant {tenant}). {nearest(named)}"
        typer.echo(told.rstrip())
        return
    columns = ("model", "version", "status", "made", "base", "instances", "to forget", "measured")
    rows = [
        (
            one.model_id,
            one.version_number,
            one.status.value,
            one.creation_date.isoformat(timespec="seconds"),
            one.base_model_name,
            f"{one.instances:,}",
            f"{one.forgets:,}",
            ", ".join(f"{name} {value:.4g}" for name, value in one.performance_metrics.items()),
        )
        for one in found
    ]
    print_table("", columns, rows)


@app.command()
def instances(
    source: Annotated[
        str, typer.Option(help="A feedback's, package's, corpus row's or test run's id.")
    ],
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show everything that was made of a source to learn from."""
    from everloop.wiring import open_workspace

    found = open_workspace(home).voices.instances_of(source, tenant)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        typer.echo(f"Nothing was made of {readable(source)} (tenant {tenant}).")
        return
    columns = ("instance", "task", "category", "weight", "augmented", "asked", "wanted", "rejected")
    rows = [
        (
            one.instance_id,
            one.task.value,
            one.category.value,
            f"{one.weight:.2f}",
            one.augmented,
            one.prompt[-1].content[:60],
            one.completion[:60],
            (one.rejected or "")[:60],
        )
        for one in found
    ]
    print_table("", columns, rows)
