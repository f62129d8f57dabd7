"""``everloop rollout``: what is on trial, what its verdict is, and what a person may do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import breaker, manifests
from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from everloop.contracts.rollouts import Head, RolloutRecord

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Trials of candidates on people.\n\nA night's candidate that the gate lets pass decides unseen "
        "first (shadow), then meets people step by step (the ramp). everloop run watch, every hour, "
        "measures it and acts: one more step, a hold, the end, a rollback, or the promotion. These "
        "commands show where it stands and let a person decide; each asks why, and is kept as an event."
    ),
)
app.command("manifests")(manifests.manifests)
app.add_typer(breaker.app, name="breaker")

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Which = Annotated[str, typer.Argument(help="A rollout's id; by default the one that it is about.")]
By = Annotated[str, typer.Option("--by", help="Your name; the account's by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]


@app.command()
def status(
    loop: Loop, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """What serves, what is on trial, its verdict with every check, and who waits."""
    from everloop.contracts.watching import standing
    from everloop.sdk.rollouts import rollout_status

    found = rollout_status(loop, tenant=tenant, home=home)
    if as_json:
        print_json(found)
        return
    head, trial = found.head, found.head.trial
    print_pairs(
        {"loop": head.loop}
        | _named(_serves(head))
        | {"deployment": head.deployment_id or "-", "breaker": _breaker(found.head.breaker.open)}
    )
    if trial is None:
        typer.echo("nothing is on trial")
    else:
        print_pairs(
            {
                "on trial": trial.rollout_id,
                "candidate": trial.candidate,
                "state": f"{standing(trial)}, since {trial.entered_at:%Y-%m-%d %H:%M} UTC",
            }
        )
    if found.verdict is not None:
        typer.echo(f"verdict: {found.verdict.decision.value}: {found.verdict.reasons[0]}")
        rows = [(check.name, check.status.value, check.reason) for check in found.verdict.checks]
        print_table("", ("check", "answer", "why"), rows)
    if found.waiting:
        print_table("waiting", *_table(found.waiting))


@app.command("list")
def list_(loop: Loop, tenant: Tenant = "default", home: Home = None, as_json: Json = False) -> None:
    """Every trial and every refusal of a loop, newest first."""
    from everloop.sdk.rollouts import list_rollouts

    found = list_rollouts(loop, tenant=tenant, home=home)
    if as_json:
        _print_records(found)
    else:
        print_table("", *_table(found))


@app.command()
def events(
    loop: Loop,
    after: Annotated[int, typer.Option(min=0, help="Those after this number alone.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most.")] = 200,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What happened to trials and to what serves, oldest first: who did what, when and why."""
    import json

    from everloop.contracts.documents import to_json
    from everloop.sdk.rollouts import rollout_events

    found = rollout_events(loop, after, limit, tenant=tenant, home=home)
    if as_json:
        print_json([json.loads(to_json(event)) for event in found])
        return
    rows = [
        (e.sequence, f"{e.at:%Y-%m-%d %H:%M}", e.kind, e.actor, e.reason, e.rollout_id or "-")
        for e in found
    ]
    print_table("", ("number", "when", "what", "who", "why", "rollout"), rows)


@app.command()
def plan(loop: Loop, tenant: Tenant = "default", home: Home = None, as_json: Json = False) -> None:
    """How long a trial of this loop would take, and which effect it would find, from its own log."""
    from everloop.sdk.planning import plan_trial

    found = plan_trial(loop, tenant=tenant, home=home)
    if as_json:
        print_json(found)
        return
    for line in found.lines:
        typer.echo(line)


@app.command()
def approve(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Agree to the start, or to the promotion, that waits for a person.

    A promotion needs an approval that was given since people met the candidate.
    """
    from everloop.sdk.rollouts import approve as do

    _say(do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home), as_json)


@app.command()
def pause(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep the trial at the traffic it has; harm still rolls it back."""
    from everloop.sdk.rollouts import pause as do

    _say(do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home), as_json)


@app.command()
def resume(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a paused trial go on; its time at the step begins anew."""
    from everloop.sdk.rollouts import resume as do

    _say(do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home), as_json)


@app.command()
def promote(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make the candidate what serves now, past its figures.

    Never past where it was made, damaged files or what the gate held; it is kept as done by hand.
    """
    from everloop.sdk.rollouts import promote as do

    _say(do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home), as_json)


@app.command()
def rollback(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take the candidate away from people, at any time; every worker follows with its next decision.

    With nothing on trial, the last promoted deployment leaves, and the one before returns as one unit.
    """
    from everloop.sdk.rollouts import rollback as do
    from everloop.sdk.rollouts import rollout_status

    record = do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home)
    serves = _serves(rollout_status(loop, tenant=tenant, home=home).head)
    if as_json:
        print_json(_document(record) | {"serves": serves})
        return
    typer.echo(f"{record.rollout_id}: rolled back")
    typer.echo(f"  {reason}")
    print_pairs(_named(serves))


@app.command()
def end(
    loop: Loop,
    reason: Reason,
    rollout: Which = "",
    by: By = "",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a trial, or the wait for one, without a winner; the next candidate begins."""
    from everloop.sdk.rollouts import end as do

    _say(do(loop, rollout, by=_who(by), reason=reason, tenant=tenant, home=home), as_json)


def _who(by: str) -> str:
    from everloop.cli.operator import operator

    return by or operator()


def _say(record: RolloutRecord, as_json: bool) -> None:
    from everloop.contracts.watching import standing

    if as_json:
        print_json(record)
        return
    typer.echo(f"{record.rollout_id}: {standing(record)}")
    for reason in record.reasons[:1]:
        typer.echo(f"  {reason}")


def _serves(head: Head) -> dict[str, str | None]:
    return {role: serves.checkpoint_id for role, serves in sorted(head.serves.items())}


def _named(serves: dict[str, str | None]) -> dict[str, str]:
    named = {f"serves, {role}": name or "nothing" for role, name in serves.items()}
    return named or {"serves": "nothing"}


def _print_records(found: tuple[RolloutRecord, ...]) -> None:
    print_json([_document(record) for record in found])


def _document(record: RolloutRecord) -> dict[str, object]:
    import json

    from everloop.contracts.documents import to_json

    found: dict[str, object] = json.loads(to_json(record))
    return found


def _table(
    found: tuple[RolloutRecord, ...],
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    rows: list[tuple[object, ...]] = [
        (
            record.rollout_id,
            record.candidate,
            record.state,
            f"{record.traffic_percent:g} %",
            f"{record.entered_at:%Y-%m-%d %H:%M}",
            record.reasons[0] if record.reasons else "-",
        )
        for record in found
    ]
    return ("rollout", "candidate", "state", "traffic", "since", "why"), rows


def _breaker(is_open: bool) -> str:
    return "open: no safety-critical action is taken" if is_open else "closed"
