"""``everloop feedback``: what waits in quarantine, and releasing or rejecting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, print_json, print_table

if TYPE_CHECKING:
    from everloop.contracts.loop_spec import LoopSpec
    from everloop.wiring import Workspace

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at quarantined feedback and decide."
)
quarantine = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Feedback that waits for a person."
)
app.add_typer(quarantine, name="quarantine")

FeedbackIds = Annotated[list[str], typer.Argument(help="Ids of feedback, one or more.")]
Reason = Annotated[str, typer.Option(help="Why, in words; kept with the decision.")]
Loop = Annotated[
    list[str] | None,
    typer.Option(help="YAML file of a loop that does not ship; give it more than once."),
]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A workspace and the loops that the command line knows."""

    workspace: Workspace
    loops: Mapping[str, LoopSpec]


@quarantine.command("list")
def list_quarantine(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Feedback at most.")] = 100,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List quarantined feedback, oldest first, with what raised suspicion."""
    from everloop.wiring import open_workspace

    rows = open_workspace(home).feedback.quarantined(limit, tenant)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    cells = [
        (
            row.feedback_id,
            (row.received_at or row.timestamp).isoformat(timespec="seconds"),
            row.session_id[:8],
            row.feedback_type,
            str(row.value)[:40],
            f"{row.quality:.2f}",
            "; ".join(row.quality_reasons),
        )
        for row in rows
    ]
    columns = ("feedback", "arrived", "session", "type", "value", "quality", "reasons")
    print_table("", columns, cells)


@app.command()
def release(
    feedback_ids: FeedbackIds,
    reason: Reason,
    loop: Loop = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let feedback teach: its reward signals go into the log."""
    _decide("released", feedback_ids, reason, loop, tenant, home, as_json)


@app.command()
def reject(
    feedback_ids: FeedbackIds,
    reason: Reason,
    loop: Loop = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep feedback from teaching, also what was released before: its signals are disputed."""
    _decide("rejected", feedback_ids, reason, loop, tenant, home, as_json)


def _decide(
    status: str,
    feedback_ids: list[str],
    reason: str,
    loop: list[str] | None,
    tenant: str,
    home: str | None,
    as_json: bool,
) -> None:
    from everloop.contracts.feedback import FeedbackStatus
    from everloop.loops import SHIPPED, load
    from everloop.serving.reviewing import review
    from everloop.wiring import open_workspace

    specs = [load(name) for name in (*SHIPPED, *(loop or ()))]
    loaded = _Loaded(open_workspace(home), {spec.name: spec for spec in specs})
    wanted, by, now = FeedbackStatus(status), operator(), datetime.now(UTC)
    decided = [review(loaded, each, wanted, reason, by, now, tenant) for each in feedback_ids]
    if as_json:
        print_json([{"feedback_id": row.feedback_id, "status": row.status} for row in decided])
        return
    for row in decided:
        typer.echo(f"{row.feedback_id}: {row.status.value}")
