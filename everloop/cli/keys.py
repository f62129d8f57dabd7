"""``everloop keys`` and ``everloop audit``: who may call the service, and who did what."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, notes, print_json, print_pairs, print_table
from everloop.contracts.access import ApiKey, Scope
from everloop.contracts.errors import ShouldFixArgument

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, list and revoke API keys; rotate the ledger's and the pseudonyms'.",
)
audit = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Read who changed what in the workspace."
)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for, in words.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; give it more than once.")],
    tenant: Tenant = "default",
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days it works (default: until revoked).")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, once: only its checksum is kept.

    The key is alone on stdout:  KEY=$(everloop keys create --name app --scope ingest)
    """
    from everloop.serving.access.credentials import make_key
    from everloop.wiring import open_workspace

    valid_for = None if expires_days is None else timedelta(days=expires_days)
    new = make_key(tenant, name, scope, datetime.now(UTC), valid_for)
    open_workspace(home).keys.add(new.record, operator())
    if as_json:
        print_json(_shown(new.record) | {"key": new.text})
        return
    until = f"until {new.record.expires_at:%Y-%m-%d %H:%M} UTC" if valid_for else "until revoked"
    notes.print(
        f"Key {new.record.key_id} of tenant {tenant} may {', '.join(new.record.scopes)}, {until}. "
        "It is shown only now.",
        soft_wrap=True,
    )
    typer.echo(new.text)


@app.command("list")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Of this tenant alone.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the API keys, newest first; never their secrets."""
    from everloop.wiring import open_workspace

    keys = open_workspace(home).keys.keys(tenant or None)
    if as_json:
        print_json([_shown(key) for key in keys])
        return
    now = datetime.now(UTC)
    cells = [
        (
            key.key_id,
            key.tenant,
            key.name,
            " ".join(key.scopes),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            _state(key, now),
        )
        for key in keys
    ]
    print_table("", ("key", "tenant", "name", "scopes", "made", "state"), cells)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as the list shows it.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke an API key; a running service refuses it within two seconds."""
    from everloop.wiring import open_workspace

    keys = open_workspace(home).keys
    keys.revoke(key_id, datetime.now(UTC), operator())
    found = keys.key(key_id)
    if as_json and found is not None:
        print_json(_shown(found))
    else:
        typer.echo(f"{key_id}: revoked")


@app.command("rotate-ledger")
def rotate_ledger(
    tenant: Annotated[str, typer.Option(help="Whose audit log tells of it.")] = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give the privacy ledger a new key; what was committed under the old one still verifies.

    The old key moves to EVERLOOP_LEDGER_KEY_PREVIOUS in secrets.env: back that file up again. A service
    that runs takes the new key when it starts again; until then its rows name the old one.
    """
    from everloop import settings
    from everloop.wiring import open_workspace

    open_workspace(home).ledger.verify()
    rotated = settings.rotate_ledger_key(home)
    place = open_workspace(home)
    rows = place.ledger.verify()
    fingerprint = rotated.fingerprints[settings.LEDGER_KEY]
    place.audit.append(tenant, operator(), "keys.rotate", fingerprint, rows)
    if as_json:
        print_json(
            {
                "fingerprint": fingerprint,
                "previous": len(rotated.previous_ledger_keys),
                "rows": rows,
            }
        )
        return
    typer.echo(f"The ledger has a new key ({fingerprint}); its {rows} rows verify.")
    notes.print(f"Back up {rotated.home / settings.SECRETS_FILE} again.", soft_wrap=True)


@app.command("rotate-pseudonyms")
def rotate_pseudonyms(
    people: Annotated[
        Path,
        typer.Option(
            help="File of the product's user ids, one a line; sessions as session:ID; another "
            "tenant's as tenant, tab, id."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    retire_sessions: Annotated[
        bool,
        typer.Option("--retire-sessions", help="Rename sessions that the file lacks, for ever."),
    ] = False,
    tenant: Annotated[str, typer.Option(help="Of the lines that name none.")] = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give pseudonyms a new key and move everything that is kept of people to it, of every tenant.

    Stop the service and its workers first; what still runs writes nothing more. The new key is
    EVERLOOP_PSEUDONYM_KEY_NEXT or made here. Repeat the command if it was killed.
    """
    from everloop.serving.access.pseudonym_rotation import (
        check_rotation,
        listed_people,
        rotate_pseudonyms,
    )
    from everloop.wiring import open_workspace

    listed = listed_people(people, tenant)
    if not yes:
        count = check_rotation(home, listed, retire_sessions)
        raise ShouldFixArgument(
            f"The {count:,} people and sessions of {people} are everyone; each would get a new "
            "pseudonym, and every dataset would be extracted anew.",
            "Stop the service, back up the database and secrets.env, and repeat with --yes.",
        )
    done = rotate_pseudonyms(home, listed, retire_sessions, operator(), datetime.now(UTC))
    rows = 0 if done.environment else open_workspace(home).ledger.verify()
    if as_json:
        print_json(asdict(done))
        return
    typer.echo(f"Pseudonyms have a new key ({done.fingerprint}).")
    print_pairs({table: f"{count:,} rows" for table, count in done.rows.items() if count})
    typer.echo(f"  the spending of {done.charged:,} people moved along")
    if not done.environment:
        typer.echo(f"  the ledger's {rows} rows verify")
    if done.unrecognised:
        notes.print(
            f"{done.unrecognised:,} events are not known again if they are sent again, since they "
            "are not stored as they were sent: they are refused."
        )
    place = (
        "Put the new key into EVERLOOP_PSEUDONYM_KEY in the environment"
        if done.environment
        else "Back up secrets.env and keys.sha256 again"
    )
    notes.print(f"{place}; then start the service.", soft_wrap=True)


@audit.command("list")
def list_entries(
    tenant: Tenant = "default",
    after: Annotated[int, typer.Option(min=0, help="Entries after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries at most.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the audit log of a tenant, oldest first."""
    from everloop.wiring import open_workspace

    entries = open_workspace(home).audit.entries(tenant, after, limit)
    if as_json:
        print_json(list(entries))
        return
    cells = [
        (
            entry.sequence,
            entry.at.isoformat(timespec="seconds"),
            entry.actor,
            entry.action,
            entry.resource,
            entry.rows,
        )
        for entry in entries
    ]
    print_table("", ("#", "when", "who", "what", "resource", "rows"), cells)
    if len(entries) == limit:
        notes.print(f"There may be more: --after {entries[-1].sequence}")


def _shown(key: ApiKey) -> dict[str, object]:
    return {name: value for name, value in asdict(key).items() if name != "secret_sha256"}


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "works"
    return f"{'expired' if key.expires_at <= now else 'works until'} {key.expires_at:%Y-%m-%d}"
