"""What people recently met, read below SQLAlchemy on SQLite: every decision under a limit waits for it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Select, Table, bindparam, select, union_all

from everloop.storage.column_types import microseconds, moment_of
from everloop.storage.schema import training_episodes
from everloop.storage.service_tables import decisions
from everloop.storage.sql.engine import is_postgresql, reading, reading_once

_PAGE = 512
_SOURCES = ((decisions, "decision_id"), (training_episodes, "episode_id"))
_COLUMNS = ("user_id", "timestamp", "action_taken")

Met = tuple[str, str, str, datetime, str]
"""Loop, id, person, time and action."""


def recent_rows(
    engine: Engine, tenant: str, people: Sequence[str], actions: Sequence[str], since: datetime
) -> Iterator[Met]:
    """Decisions and episodes of people in every loop, dated ``since`` or later; one may come as both.

    The loop is for the caller to look at: as a condition it would tempt the planner to read what the
    whole loop logged since then.
    """
    everybody = tuple(dict.fromkeys(people))
    pages = (everybody[start : start + _PAGE] for start in range(0, len(everybody), _PAGE))
    read = _from_postgresql if is_postgresql(engine) else _from_sqlite
    for page in pages:
        yield from read(engine, tenant, page, tuple(actions), since)


def _from_sqlite(
    engine: Engine, tenant: str, people: tuple[str, ...], actions: tuple[str, ...], since: datetime
) -> list[Met]:
    # Few texts serve every number of people, so that the driver keeps them prepared.
    size = 1 << (len(people) - 1).bit_length()
    padded = (*people, *people[-1:] * (size - len(people)))
    given = (tenant, *padded, *actions, microseconds(since))
    query = _query(size, len(actions))
    with reading_once(engine) as driver:
        rows = driver.execute(query, given * len(_SOURCES)).fetchall()
    return [(loop, made, person, moment_of(at), action) for loop, made, person, at, action in rows]


@functools.cache
def _query(people: int, actions: int) -> str:
    return " UNION ALL ".join(
        f"SELECT loop, {key}, {', '.join(_COLUMNS)} FROM {table.name} "  # noqa: S608  (our own names)
        f"WHERE tenant = ? AND user_id IN ({_marks(people)}) "
        f"AND action_taken IN ({_marks(actions)}) AND timestamp >= ?"
        for table, key in _SOURCES
    )


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _since(table: Table, key: str) -> Select[Any]:
    rows = table.c
    return select(rows.loop, rows[key], *(rows[name] for name in _COLUMNS)).where(
        rows.tenant == bindparam("tenant"),
        rows.user_id.in_(bindparam("people", expanding=True)),
        rows.action_taken.in_(bindparam("actions", expanding=True)),
        rows.timestamp >= bindparam("since"),
    )


_RECENT = union_all(*(_since(table, key) for table, key in _SOURCES))


def _from_postgresql(
    engine: Engine, tenant: str, people: tuple[str, ...], actions: tuple[str, ...], since: datetime
) -> list[Met]:
    given = {"tenant": tenant, "people": people, "actions": actions, "since": since}
    with reading(engine) as connection:
        found = connection.execute(_RECENT, given)
        return [(loop, made, person, at, action) for loop, made, person, at, action in found]
