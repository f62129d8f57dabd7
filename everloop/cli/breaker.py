"""``everloop rollout breaker``: safety-critical actions, taken away and given back by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs

app = typer.Typer(
    no_args_is_help=True,
    help="Take a loop's safety-critical actions away, whoever decides, or give them back.",
    rich_markup_mode=None,
)

Loop = Annotated[str, typer.Option(help="The loop.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]


@app.command("open")
def open_(
    loop: Loop, reason: Reason, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """No safety-critical action is taken from the next decision on, by any worker.

    A question that names one gets no_action. The service opens it by itself too; only a person closes it.
    """
    _set(loop, True, reason, tenant, home, as_json)


@app.command()
def close(
    loop: Loop, reason: Reason, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """Safety-critical actions may be taken again."""
    _set(loop, False, reason, tenant, home, as_json)


def _set(loop: str, is_open: bool, reason: str, tenant: str, home: Home, as_json: bool) -> None:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from everloop.cli.operator import operator
    from everloop.loops import load
    from everloop.rollout.breaker import set_breaker
    from everloop.wiring import open_workspace

    store = open_workspace(home).deployments
    now = datetime.now(UTC)
    head = set_breaker(store, load(loop).name, is_open, reason, operator(), now, tenant)
    found = head.breaker
    if as_json:
        told = asdict(found)
        told["opened_at"] = found.opened_at.isoformat() if found.opened_at else None
        print_json({"loop": head.loop, "revision": head.revision, **told})
        return
    since = found.opened_at.isoformat(timespec="seconds") if found.opened_at else "-"
    print_pairs(
        {
            "loop": head.loop,
            "breaker": "open" if found.open else "closed",
            "since": since,
            "reason": found.reason,
        }
    )
