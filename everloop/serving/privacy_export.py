"""One person's data as lines of JSON, with health fields opened and the reading written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

import orjson

from everloop.contracts.access import Caller
from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.contexts import SEALED
from everloop.contracts.documents import to_json
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.privacy.statement import in_words
from everloop.wiring import Workspace

CONTEXT = "context_snapshot"
STATEMENT = "privacy_statement"
_IDS = {"training_episodes": "episode_id", "decisions": "decision_id"}
_LINES = 200


def exported(workspace: Workspace, caller: Caller, person: str) -> Iterator[bytes]:
    """``{"table": name, "row": {…}}``, one a line, in chunks of lines.

    The audit entries (``person.export``, and ``health.read`` where there is health data) are durable
    before the first row leaves. A context that does not open is told in ``problem`` and left sealed.
    The last line is the person's privacy statement, where a release was ever charged to them.

    Args:
        person: pseudonym.
    """
    rows = health = 0
    for _, row in workspace.people.export(person, caller.tenant):
        rows += 1
        health += SEALED in (row.get(CONTEXT) or ())
    audit, resource = workspace.audit, "export of a person"
    audit.append(caller.tenant, caller.actor, "person.export", resource, rows)
    if health:
        audit.append(caller.tenant, caller.actor, "health.read", resource, health)
    lines = (
        canonical_bytes(_line(workspace, caller.tenant, table, row)) + b"\n"
        for table, row in workspace.people.export(person, caller.tenant)
    )
    while chunk := list(islice(lines, _LINES)):
        yield b"".join(chunk)
    if (cost := _privacy_cost(workspace, person)) is not None:
        yield canonical_bytes(cost) + b"\n"


def _privacy_cost(workspace: Workspace, person: str) -> dict[str, Json] | None:
    """The person's statement, as the last line of an export; None for one who was never charged."""
    found = workspace.ledger.statement(person, datetime.now(UTC).date())
    if found is None:
        return None
    fields = orjson.loads(to_json(found))
    return {"table": STATEMENT, "row": fields | {"in_words": list(in_words(found))}}


def _line(
    workspace: Workspace, tenant: str, table: str, row: Mapping[str, Json]
) -> dict[str, Json]:
    if SEALED not in (row.get(CONTEXT) or ()):
        return {"table": table, "row": dict(row)}
    try:
        opened = workspace.vault.open(tenant, row[_IDS[table]], row["loop"], row[CONTEXT])
    except ShouldRestoreArtefact as problem:
        return {"table": table, "row": dict(row), "problem": problem.message}
    return {"table": table, "row": {**row, CONTEXT: dict(opened)}}
