"""Decisions of other people that were about a person: a pairing names whom it was with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, Text, cast, func, select, update

from everloop.contracts.episodes import Json
from everloop.storage.schema import training_episodes
from everloop.storage.service_tables import decisions

ERASED = "erased"
"""What stands for an erased person in what others' decisions were about."""


class Mentions:
    """Where a person is named, found before the writers are kept out.

    Args:
        connection: of a read transaction.
        person: pseudonym.
    """

    def __init__(self, connection: Connection, person: str, tenant: str) -> None:
        self._person = person
        self._tenant = tenant
        self._watermark = {
            table: connection.scalar(select(func.max(table.c.seq)).where(table.c.tenant == tenant))
            or 0
            for table in (training_episodes, decisions)
        }
        self._found = {table: self._ids(connection, table, -1) for table in self._watermark}

    def erase(self, connection: Connection) -> int:
        """Put ``ERASED`` in the person's place; the number of rows."""
        rows = 0
        for table, watermark in self._watermark.items():
            key = _key(table)
            for row_id in {*self._found[table], *self._ids(connection, table, watermark)}:
                where = (table.c.tenant == self._tenant, key == row_id)
                said = connection.scalar(select(table.c.action_arguments).where(*where))
                if said is not None:
                    told = _without(said, self._person)
                    connection.execute(update(table).where(*where).values(action_arguments=told))
                    rows += 1
        return rows

    def _ids(self, connection: Connection, table: Table, after: int) -> list[str]:
        about = select(_key(table)).where(
            table.c.tenant == self._tenant,
            table.c.seq > after,
            table.c.user_id != self._person,
            cast(table.c.action_arguments, Text).contains(self._person),
        )
        return list(connection.scalars(about))


def _key(table: Table) -> Any:
    return table.c["decision_id" if table is decisions else "episode_id"]


def _without(value: Json, person: str) -> Json:
    if isinstance(value, Mapping):
        return {_without(name, person): _without(item, person) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, person) for item in value]
    return value.replace(person, ERASED) if isinstance(value, str) else value
