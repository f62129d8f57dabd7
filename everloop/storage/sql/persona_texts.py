"""What a person said inside others' persona graphs: an exemplar, a memory.

An erasure takes it out of every revision, so that no undoing brings it back, and appends a revision where
what served held some of it: whoever follows the newest one follows the erasure. A revision that was caused
by what is erased forgets its cause. A change of pseudonyms rewrites them in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, func, insert, select, update

from everloop.contracts.canonical import canonical_json
from everloop.contracts.episodes import Json
from everloop.storage.sql.blanking import blank
from everloop.storage.sql.mentions import ERASED
from everloop.storage.sql.persona_revisions import content_columns
from everloop.storage.voice_tables import persona_revisions

OWNER, SOURCE = "user_id", "source_id"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PAGE = 200
_KEY = ("persona", "user_id", "number")
Key = tuple[str, str, int]


class PersonaTexts:
    """Where a person's texts are in graphs that are not theirs, found before the writers are kept out.

    Args:
        connection: of a read transaction.
        person: pseudonym.
        sources: ids of the feedback, packages and interactions that the erasure takes.
    """

    def __init__(
        self, connection: Connection, person: str, tenant: str, sources: frozenset[str]
    ) -> None:
        self._person = person
        self._tenant = tenant
        self._seen = self._newest(connection)
        self._found = dict.fromkeys(self._holding(connection, sources, {}))

    def erase(
        self, connection: Connection, sources: frozenset[str], erasure_id: str, now: datetime
    ) -> tuple[int, frozenset[str]]:
        """Take the texts out: how many revisions were changed, and checksums of contents that held some."""
        newest = self._newest(connection)
        changes: dict[Key, dict[str, Any]] = {}
        checksums: set[str] = set()
        for key, row in self._rows(connection, sources):
            values = self._left(row, sources)
            if "erased" in values:
                checksums.add(row.sha256)
            if values:
                changes[key] = values
        for key in changes:
            blank(connection, persona_revisions, self._is(key))
        for key, values in changes.items():
            statement = update(persona_revisions).where(self._is(key))
            connection.execute(statement.values(values))
            if "erased" in values and newest[key[:2]] == key[2]:
                self._follow(connection, key, values["content"], erasure_id, now)
        return len(changes), frozenset(checksums)

    def contents(self, connection: Connection, sources: frozenset[str]) -> frozenset[str]:
        """Checksums of contents that hold some of it now."""
        return frozenset(
            row.sha256
            for _, row in self._rows(connection, sources)
            if "erased" in self._left(row, sources)
        )

    def _rows(
        self, connection: Connection, sources: frozenset[str]
    ) -> Iterator[tuple[Key, Row[Any]]]:
        """What was found, and what came since."""
        for key in self._found | dict.fromkeys(self._holding(connection, sources, self._seen)):
            row = connection.execute(select(persona_revisions).where(self._is(key))).one_or_none()
            if row is not None:
                yield key, row

    def _left(self, row: Row[Any], sources: frozenset[str]) -> dict[str, Any]:
        """What a revision becomes; nothing where it holds nothing of the person."""
        left = _without(orjson.loads(row.content), self._person, sources)
        content = canonical_json(left).replace(self._person, ERASED)
        values: dict[str, Any] = {}
        if content != row.content:
            values |= content_columns(content) | {"erased": True}
        if row.cause in sources or self._person in row.cause + row.reason:
            values |= {"cause": ERASED, "reason": ""}
        # All of them, since all are overwritten first.
        kept = {name: getattr(row, name) for name in ("content", "cause", "reason")}
        return kept | values if values else {}

    def _follow(
        self, connection: Connection, key: Key, content: str, erasure_id: str, now: datetime
    ) -> None:
        connection.execute(
            insert(persona_revisions).values(
                tenant=self._tenant,
                persona=key[0],
                user_id=key[1],
                number=key[2] + 1,
                **content_columns(content),
                cause=f"erasure {erasure_id}",
                reason="A person was erased.",
                recorded_at=now,
                undoes=None,
                erased=False,
            )
        )

    def _newest(self, connection: Connection) -> dict[tuple[str, str], int]:
        table = persona_revisions.c
        query = (
            select(table.persona, table.user_id, func.max(table.number).label("last"))
            .where(table.tenant == self._tenant, table.user_id != self._person)
            .group_by(table.persona, table.user_id)
        )
        return {(row.persona, row.user_id): row.last for row in connection.execute(query)}

    def _holding(
        self, connection: Connection, sources: frozenset[str], after: Mapping[tuple[str, str], int]
    ) -> Iterator[Key]:
        """Revisions after some numbers that name the person or one of the sources."""
        for (persona, owner), last in self._newest(connection).items():
            first = after.get((persona, owner), 0)
            for row in _pages(connection, self._tenant, persona, owner, first, last):
                text = f"{row.content} {row.cause} {row.reason}"
                if self._person in text or not sources.isdisjoint(_UUID.findall(text)):
                    yield persona, owner, row.number

    def _is(self, key: Key) -> Any:
        table = persona_revisions.c
        own = (table[name] == value for name, value in zip(_KEY, key, strict=True))
        return and_(table.tenant == self._tenant, *own)


def named_in_graphs(connection: Connection) -> set[str]:
    """Everyone whom the graphs of any tenant name."""
    found: set[str] = set()

    def noted(person: str) -> str:
        found.add(person)
        return person

    for row in _all(connection):
        _renamed(orjson.loads(row.content), noted)
    return found


def rename_in_graphs(connection: Connection, name: Callable[[str], str]) -> int:
    """Give everyone whom graphs name another pseudonym; how many revisions that changed."""
    changed = 0
    for row in list(_all(connection)):
        content = canonical_json(_renamed(orjson.loads(row.content), name))
        if content != row.content:
            key = {each: getattr(row, each) for each in ("tenant", *_KEY)}
            statement = update(persona_revisions).filter_by(**key)
            connection.execute(statement.values(content_columns(content)))
            changed += 1
    return changed


def texts_in_graphs(
    connection: Connection, person: str, tenant: str, sources: frozenset[str]
) -> Iterator[Mapping[str, Json]]:
    """What others' graphs hold of a person, each once, with the first revision that held it."""
    table = persona_revisions.c
    graphs = select(table.persona, table.user_id, func.max(table.number).label("last")).where(
        table.tenant == tenant, table.user_id != person
    )
    grouped = graphs.group_by(table.persona, table.user_id).order_by(table.persona, table.user_id)
    for graph in connection.execute(grouped).all():
        told: set[str] = set()
        for row in _pages(connection, tenant, graph.persona, graph.user_id, 0, graph.last):
            for item in _items(orjson.loads(row.content), person, sources):
                if (text := canonical_json(item)) not in told:
                    told.add(text)
                    yield {"persona": row.persona, "number": row.number, "said": item}


def _all(connection: Connection) -> Iterator[Row[Any]]:
    table = persona_revisions.c
    graphs = (
        select(table.tenant, table.persona, table.user_id, func.max(table.number).label("last"))
        .group_by(table.tenant, table.persona, table.user_id)
        .order_by(table.tenant, table.persona, table.user_id)
    )
    for graph in connection.execute(graphs).all():
        yield from _pages(connection, graph.tenant, graph.persona, graph.user_id, 0, graph.last)


def _pages(
    connection: Connection, tenant: str, persona: str, owner: str, first: int, last: int
) -> Iterator[Row[Any]]:
    """Revisions of a graph with ``first < number <= last``."""
    table = persona_revisions.c
    while first < last:
        query = (
            select(persona_revisions)
            .where(
                table.tenant == tenant,
                table.persona == persona,
                table.user_id == owner,
                table.number > first,
            )
            .order_by(table.number)
            .limit(_PAGE)
        )
        rows: Sequence[Row[Any]] = connection.execute(query).all()
        yield from rows
        first = rows[-1].number if rows else last


def _is_of(value: Json, person: str, sources: frozenset[str]) -> bool:
    if not isinstance(value, Mapping):
        return False
    return value.get(OWNER) == person or value.get(SOURCE) in sources


def _without(value: Json, person: str, sources: frozenset[str]) -> Json:
    """A graph without the items of lists that are a person's or came of some sources."""
    if isinstance(value, Mapping):
        return {name: _without(item, person, sources) for name, item in value.items()}
    if isinstance(value, list):
        left = (item for item in value if not _is_of(item, person, sources))
        return [_without(item, person, sources) for item in left]
    return value


def _items(value: Json, person: str, sources: frozenset[str]) -> Iterator[Json]:
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for item in inner:
            if isinstance(value, list) and _is_of(item, person, sources):
                yield item
            else:
                yield from _items(item, person, sources)


def _renamed(value: Json, name: Callable[[str], str]) -> Json:
    if isinstance(value, Mapping):
        return {
            key: name(item) if key == OWNER and item else _renamed(item, name)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_renamed(item, name) for item in value]
    return value
