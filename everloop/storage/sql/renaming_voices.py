"""Whose packages, instances, versions, sides and persona graphs these are, under other pseudonyms.

A graph's content names people: it is written anew, and its checksum with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from everloop.storage.sql.persona_revisions import NOBODY
from everloop.storage.sql.persona_texts import named_in_graphs, rename_in_graphs
from everloop.storage.sql.voice_packages import package_of, package_sha256
from everloop.storage.voice_tables import (
    model_versions,
    persona_revisions,
    training_data_instances,
    user_data_packages,
    voice_sides,
)

GRAPHS = "persona_graphs"
_OWNED = (training_data_instances, model_versions, persona_revisions, voice_sides)
_CHUNK = 1_000


def people_of_voices(connection: Connection) -> Iterator[tuple[str, set[str]]]:
    """Everyone by table; ``persona_graphs``: whom graphs name."""
    for table in (user_data_packages, *_OWNED):
        people = select(table.c.user_id).where(table.c.user_id != NOBODY).distinct()
        yield table.name, set(connection.scalars(people))
    yield GRAPHS, named_in_graphs(connection)


def rename_voices(connection: Connection, names: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """Rename in every table: rows by table, where there are any, and how many packages have a checksum that
    could not be taken anew.

    Args:
        names: old pseudonym -> new one, of everyone whom ``people_of_voices`` tells.
    """
    rows = {GRAPHS: rename_in_graphs(connection, names.__getitem__)}
    rows[user_data_packages.name], unknown = _rename_packages(connection, names)
    for table in _OWNED:
        owned = select(table.c.user_id).where(table.c.user_id != NOBODY)
        told = [
            {"found": person, "told": names[person]}
            for person in connection.scalars(owned.distinct()).all()
        ]
        statement = update(table).where(table.c.user_id == bindparam("found"))
        if told:
            connection.execute(statement.values(user_id=bindparam("told")), told)
        counted = select(func.count()).select_from(table).where(table.c.user_id != NOBODY)
        rows[table.name] = connection.scalar(counted) or 0
    return {name: count for name, count in rows.items() if count}, unknown


def _rename_packages(connection: Connection, names: Mapping[str, str]) -> tuple[int, int]:
    table, changed, unknown = user_data_packages, 0, 0
    statement = (
        update(table)
        .where(table.c.tenant == bindparam("of"), table.c.package_id == bindparam("found"))
        .values(user_id=bindparam("told"), payload_sha256=bindparam("sha256"))
    )
    for rows in _packages(connection):
        told = []
        for row in rows:
            package = package_of(row)
            sha256, name = bytes(row["payload_sha256"]), names[package.user_id]
            if package_sha256(package) == sha256:
                sha256 = package_sha256(replace(package, user_id=name))
            else:
                unknown += 1
            key = {"of": package.tenant, "found": package.package_id}
            told.append(key | {"told": name, "sha256": sha256})
        connection.execute(statement, told)
        changed += len(told)
    return changed, unknown


def _packages(connection: Connection) -> Iterator[Sequence[RowMapping]]:
    """In chunks by their ingest number, which no renaming changes."""
    table = user_data_packages
    for tenant in connection.scalars(select(table.c.tenant).distinct()).all():
        query = select(table).where(table.c.tenant == tenant).order_by(table.c.seq).limit(_CHUNK)
        last = 0
        while rows := connection.execute(query.where(table.c.seq > last)).mappings().all():
            yield rows
            last = rows[-1]["seq"]
