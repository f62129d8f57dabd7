"""``PersonaStore`` in the workspace database."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, RowMapping, Select, insert, select

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.personas import PersonaRevision
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.storable import refuse_unstorable
from everloop.storage.voice_tables import persona_revisions

LARGEST_PAGE = 1000
NOBODY = ""
"""What ``user_id`` holds where something belongs to no person."""


class SqlPersonaStore:
    """Persona graphs of one workspace.

    Args:
        engine: from ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(
        self, persona: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        """See ``PersonaStore``."""
        with reading(self._engine) as connection:
            return _newest(connection, persona, user_id, tenant)

    def revision(
        self, persona: str, number: int, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision:
        """See ``PersonaStore``."""
        with reading(self._engine) as connection:
            found = _numbered(connection, persona, number, user_id, tenant)
        if found is None:
            raise ShouldNameKnownId(
                f"Persona {persona!r} has no revision {number}.", "List its revisions."
            )
        return found

    def revisions(
        self, persona: str, user_id: str | None = None, tenant: str = "default", limit: int = 100
    ) -> tuple[PersonaRevision, ...]:
        """See ``PersonaStore``; ``ShouldFixArgument`` unless 1 ≤ ``limit`` ≤ 1000."""
        if not 1 <= limit <= LARGEST_PAGE:
            raise ShouldFixArgument(f"limit={limit} is not within 1 to {LARGEST_PAGE}.")
        with reading(self._engine) as connection:
            rows = connection.execute(_of(persona, user_id, tenant).limit(limit)).mappings()
            return tuple(_read(row) for row in rows)

    def append(self, revision: PersonaRevision) -> PersonaRevision:
        """See ``PersonaStore``.

        Raises:
            ShouldFixArgument: the content is no JSON object, nobody caused it, or it is told as erased.
            ShouldFixInput: a text that no database could keep.
            ShouldResolveConflict: its number is not the newest one's plus 1.
        """
        row = _row(revision)
        refuse_unstorable(persona_revisions, row, f"Revision of persona {revision.persona!r}")
        with writing(self._engine) as connection:
            same = _numbered(
                connection, revision.persona, revision.number, revision.user_id, revision.tenant
            )
            if same is not None and same.cause == revision.cause:
                return same
            newest = _newest(connection, revision.persona, revision.user_id, revision.tenant)
            following = 1 if newest is None else newest.number + 1
            if revision.number != following:
                raise ShouldResolveConflict(
                    f"Revision {revision.number} of persona {revision.persona!r} does not follow "
                    f"{following - 1}, the newest.",
                    "Read the newest one and change that.",
                )
            connection.execute(insert(persona_revisions).values(row))
        return revision

    def caused_by(
        self, persona: str, cause: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        """See ``PersonaStore``; the newest where there are several."""
        query = _of(persona, user_id, tenant).where(persona_revisions.c.cause == cause).limit(1)
        with reading(self._engine) as connection:
            return _one(connection, query)


def owner_of(user_id: str | None) -> str:
    """``user_id`` as a key's column holds it."""
    return user_id or NOBODY


def content_columns(content: str) -> dict[str, str]:
    """The columns of a graph's canonical JSON."""
    return {"content": content, "sha256": hashlib.sha256(content.encode()).hexdigest()}


def _row(revision: PersonaRevision) -> dict[str, Any]:
    what = f"Revision {revision.number} of persona {revision.persona!r}"
    if revision.erased or not revision.cause:
        raise ShouldFixArgument(
            f"{what}: erased={revision.erased}, cause={revision.cause!r}.",
            "Name what caused it; erasures alone take texts out.",
        )
    try:
        parsed = orjson.loads(revision.content)
    except orjson.JSONDecodeError as problem:
        raise ShouldFixArgument(
            f"{what}: its content is no JSON ({problem}).", "Write the graph as canonical JSON."
        ) from problem
    if not isinstance(parsed, dict):
        raise ShouldFixArgument(
            f"{what}: its content is no JSON object.", "Write the graph as canonical JSON."
        )
    return {
        "tenant": revision.tenant,
        "persona": revision.persona,
        "user_id": owner_of(revision.user_id),
        "number": revision.number,
        **content_columns(revision.content.decode()),
        "cause": revision.cause,
        "reason": revision.reason,
        "recorded_at": revision.recorded_at,
        "undoes": revision.undoes,
        "erased": False,
    }


def _of(persona: str, user_id: str | None, tenant: str) -> Select[tuple[object, ...]]:
    """A graph's revisions, newest first."""
    table = persona_revisions.c
    return (
        select(persona_revisions)
        .where(table.tenant == tenant, table.persona == persona, table.user_id == owner_of(user_id))
        .order_by(table.number.desc())
    )


def _newest(
    connection: Connection, persona: str, user_id: str | None, tenant: str
) -> PersonaRevision | None:
    return _one(connection, _of(persona, user_id, tenant).limit(1))


def _numbered(
    connection: Connection, persona: str, number: int, user_id: str | None, tenant: str
) -> PersonaRevision | None:
    query = _of(persona, user_id, tenant).where(persona_revisions.c.number == number)
    return _one(connection, query)


def _one(connection: Connection, query: Select[tuple[object, ...]]) -> PersonaRevision | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else _read(row)


def _read(row: RowMapping) -> PersonaRevision:
    return PersonaRevision(
        number=row["number"],
        persona=row["persona"],
        content=row["content"].encode(),
        cause=row["cause"],
        reason=row["reason"],
        recorded_at=row["recorded_at"],
        user_id=row["user_id"] or None,
        undoes=row["undoes"],
        tenant=row["tenant"],
        erased=row["erased"],
    )
