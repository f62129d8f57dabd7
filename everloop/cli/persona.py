"""``everloop persona``: who speaks, how feedback moved it, and what a person may do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table
from everloop.cli.readable import readable

if TYPE_CHECKING:
    from everloop.contracts.voice_spec import VoiceSpec
    from everloop.wiring import Workspace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "The persona that speaks: its traits, what it remembers, and every change.\n\n"
        "Feedback moves traits at once, damped by a rolling average and capped per cycle and person. "
        "Every change is a revision that can be undone to the byte.\n\n"
        "everloop persona show --loop companion;  everloop persona history --loop companion;  "
        "everloop persona undo --loop companion --reason 'too sudden'"
    ),
)

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
By = Annotated[str, typer.Option("--by", help="Your name; the account's by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the revision.")]
Person = Annotated[
    str, typer.Option("--person", help="The product's id of whose memory it is; nobody's without.")
]


@app.command()
def show(loop: Loop, tenant: Tenant = "default", home: Home = None, as_json: Json = False) -> None:
    """Traits, what it remembers of nobody in particular, and the prompt that they become."""
    from everloop.serving.personas.shown import persona_answer

    place, spec = _opened(loop, home)
    found = persona_answer(spec, place.personas.newest(spec.persona, None, tenant), tenant)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_pairs(
        {
            "persona": found.persona,
            "revision": found.revision or "none yet: as the specification says",
            "items of people": found.personal_items,
        }
    )
    rows = [(t.name, f"{t.value:+.3f}", f"{t.moved:+.3f}", t.low, t.high) for t in found.traits]
    print_table("traits", ("trait", "value", "this cycle", "at -1", "at 1"), rows)
    items = [(item.source_id, _cell(item.text)) for item in (*found.memory, *found.exemplars)]
    if items:
        print_table("remembered", ("source", "text"), items)
    typer.echo(f"\nprompt:\n{readable(found.prompt)}")


@app.command()
def history(
    loop: Loop,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Revisions at most.")] = 50,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every change with its cause, newest first."""
    from everloop.serving.personas.shown import revision_answer

    place, spec = _opened(loop, home)
    revisions = place.personas.revisions(spec.persona, None, tenant, limit)
    found = [revision_answer(each) for each in revisions]
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        (
            each.number,
            f"{each.recorded_at:%Y-%m-%d %H:%M}",
            _cell(each.cause),
            _cell(each.reason),
            "-" if each.undoes is None else each.undoes,
            each.sha256[:12],
        )
        for each in found
    ]
    print_table("", ("revision", "when", "cause", "why", "undoes", "content"), rows)


@app.command()
def undo(
    loop: Loop,
    reason: Reason,
    to: Annotated[
        int | None, typer.Option(min=1, help="Revision; by default the last one that differs.")
    ] = None,
    seen: Annotated[
        int | None,
        typer.Option(
            min=1, help="The newest revision that you looked at; refuse if it is another."
        ),
    ] = None,
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Return to an earlier revision, byte for byte; undoing that returns to the later one."""
    from everloop.serving.personas.changing import undo_change

    place, spec = _opened(loop, home)
    who, now = by or operator(), datetime.now(UTC)
    made = undo_change(place, spec, to, who, reason, now, tenant, seen)
    _say(made.number, f"what {made.undoes} changed is undone", as_json)


@app.command()
def adjust(
    loop: Loop,
    trait: Annotated[str, typer.Argument(help="Name of the trait.")],
    by_how_much: Annotated[
        float, typer.Argument(metavar="ADJUSTMENT", help="In [-1, 1]; -- before one below 0.")
    ],
    reason: Reason,
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Move a trait by hand, damped and capped as feedback is."""
    from everloop.persona.graph import graph_of
    from everloop.serving.personas import changing

    place, spec = _opened(loop, home)
    now = datetime.now(UTC)
    made = changing.adjust(place, spec, trait, by_how_much, by or operator(), reason, now, tenant)
    stands = graph_of(made.content).trait(trait)
    _say(made.number, f"{trait} is at {0.0 if stands is None else stands.value:+.3f}", as_json)


@app.command()
def remember(
    loop: Loop,
    text: Annotated[str, typer.Argument(help="The fact, in a sentence.")],
    person: Person = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let it remember a fact, in everybody's conversations or in one person's alone."""
    from everloop.serving.personas import changing

    place, spec = _opened(loop, home)
    whose = place.pseudonyms.of(person, tenant) if person else None
    made, source = changing.remember(
        place, spec, text, by or operator(), datetime.now(UTC), whose, tenant
    )
    _say(made.number, f"remembered; forget it as {source!r}", as_json)


@app.command()
def forget(
    loop: Loop,
    source: Annotated[str, typer.Argument(help="Source of what is to be forgotten.")],
    reason: Reason,
    person: Person = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let it forget facts and exemplars of a source. Erasing a person is everloop person erase."""
    from everloop.serving.personas import changing

    place, spec = _opened(loop, home)
    whose = place.pseudonyms.of(person, tenant) if person else None
    made = changing.forget(
        place, spec, source, by or operator(), reason, datetime.now(UTC), whose, tenant
    )
    _say(made.number, "forgotten", as_json)


def _opened(loop: str, home: str | None) -> tuple[Workspace, VoiceSpec]:
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.loops import load
    from everloop.wiring import open_workspace

    spec = load(loop)
    if spec.voice is None:
        raise ShouldFixArgument(
            f"Loop {spec.name!r} has no voice.", "Give it a section `voice`, or name another loop."
        )
    return open_workspace(home), spec.voice


def _say(revision: int, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"revision": revision, "done": what})
    else:
        typer.echo(f"revision {revision}: {what}")


def _cell(text: str) -> str:
    """What somebody wrote, which neither the terminal nor the table may obey."""
    return escape(readable(text))
