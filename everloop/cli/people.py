"""``everloop consent``, ``dispute`` and ``person``: what people allow, object to, see and have erased."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, notes, print_json, print_pairs, print_table
from everloop.contracts.access import Caller
from everloop.contracts.errors import ShouldFixArgument

consent = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Record and show what people allow."
)
dispute = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Record and show disputed reward signals."
)
person = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Show or erase everything of one person."
)

User = Annotated[str, typer.Argument(help="The product's own user id; it is hashed at once.")]


class Purpose(StrEnum):
    TRAIN = "train"
    SERVE = "serve"


class DisputeStatus(StrEnum):
    OPEN = "open"
    UPHELD = "upheld"
    REJECTED = "rejected"


@consent.command("set")
def set_consent(
    user: User,
    granted: Annotated[bool, typer.Option("--grant/--withdraw", help="Allow or opt out.")],
    purpose: Annotated[Purpose, typer.Option(help="What it is about.")] = Purpose.TRAIN,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Record that a person allows a purpose, or withdraws from it.

    A person who withdraws from training is left out of every dataset extracted from now on.
    """
    from everloop.contracts.episodes import Consent
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    person = place.pseudonyms.of(user, tenant)
    row = Consent(person, purpose.value, granted, datetime.now(UTC), tenant)
    place.log.record_consent(row, operator())
    in_log = next(iter(place.log.episodes_of(person, tenant)), None) is not None
    if as_json:
        print_json(asdict(row) | {"in_log": in_log})
        return
    typer.echo(f"{person[:12]}… {'allows' if granted else 'withdrew from'} {purpose.value}")
    if not in_log:
        typer.echo(f"no decision of this person is in the log (tenant {tenant}): check the id")
    elif purpose is Purpose.TRAIN:
        does = "includes" if granted else "leaves out"
        typer.echo(f"the next dataset extracted {does} this person's decisions")


@consent.command("show")
def show_consent(
    user: User, tenant: Tenant = "default", home: Home = None, as_json: Json = False
) -> None:
    """Show a person's consents, newest first; without any, training and serving are allowed."""
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    rows = place.log.consents(place.pseudonyms.of(user, tenant), tenant)
    if as_json:
        print_json(list(rows))
    else:
        cells = [
            (r.recorded_at.isoformat(), r.purpose, "granted" if r.granted else "withdrawn")
            for r in rows
        ]
        print_table("", ("when", "purpose", "state"), cells)


@dispute.command("set")
def set_dispute(
    signal_id: Annotated[str, typer.Argument(help="The disputed signal's id.")],
    reason: Annotated[str, typer.Option(help="What is wrong with it, in words.")],
    status: Annotated[
        DisputeStatus, typer.Option(help="open and upheld signals are left out of training.")
    ] = DisputeStatus.OPEN,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open a dispute of a reward signal, or decide it."""
    from everloop.contracts.episodes import Dispute
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    row = Dispute(signal_id, reason, datetime.now(UTC), status.value, tenant)
    place.log.record_dispute(row)
    place.audit.append(tenant, operator(), "dispute.record", signal_id, 1, {"status": status.value})
    if as_json:
        print_json(asdict(row))
    else:
        typer.echo(f"{signal_id}: {status.value}")


@dispute.command("list")
def list_disputes(tenant: Tenant = "default", home: Home = None, as_json: Json = False) -> None:
    """List disputed signals, newest first."""
    from everloop.wiring import open_workspace

    rows = open_workspace(home).log.disputes(tenant)
    if as_json:
        print_json(list(rows))
    else:
        cells = [(r.recorded_at.isoformat(), r.signal_id, r.status, r.reason) for r in rows]
        print_table("", ("when", "signal", "status", "reason"), cells)


@person.command("export")
def export_person(user: User, tenant: Tenant = "default", home: Home = None) -> None:
    """Print every row that speaks of a person, one JSON object a line, with health fields opened.

    The reading is written into the audit log.
    """
    from everloop.serving.privacy_export import exported
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    caller = Caller(operator(), tenant, frozenset())
    rows = 0
    for lines in exported(place, caller, place.pseudonyms.of(user, tenant)):
        rows += lines.count(b"\n")
        typer.echo(lines, nl=False)
    if not rows:
        notes.print(f"nothing is kept of this person (tenant {tenant}): check the id")


@person.command("erase")
def erase_person(
    user: User,
    reason: Annotated[
        str, typer.Option(help="Why, for the audit log; it must not name the person.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it can't be undone.")] = False,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Delete everything of a person, and mark the datasets and models that their data fed.

    Datasets that held the person are deleted and come out without them when their date is extracted
    again. Refusals go on counting, and so does what the person's privacy has cost.
    """
    from everloop.privacy.naming import names_person
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    pseudonym = place.pseudonyms.of(user, tenant)
    if names_person(reason, user):
        raise ShouldFixArgument("The reason names the person.", "Say why without naming them.")
    if not yes:
        rows = sum(1 for _ in place.people.export(pseudonym, tenant))
        raise ShouldFixArgument(
            f"{rows} rows of this person would be gone for ever (tenant {tenant}).",
            "Repeat with --yes.",
        )
    record = place.people.erase(pseudonym, operator(), datetime.now(UTC), tenant, reason)
    if as_json:
        print_json(record)
        return
    typer.echo(f"{pseudonym[:12]}… is erased ({record.erasure_id})")
    print_pairs({table: f"{rows:,} rows" for table, rows in record.deleted.items() if rows})
    if record.datasets:
        typer.echo(f"  {len(record.datasets)} datasets deleted; they come out without the person")
    if record.checkpoints:
        typer.echo(
            f"  {len(record.checkpoints)} models marked; the next ones are made without them"
        )
