"""Which keys a database's rows were made with.

A folder knows its own keys. A database on a server may be opened from any folder, and one with other
keys would make everyone a new person with an unspent budget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from sqlalchemy import Connection, Engine, insert, select, update

from everloop.contracts.errors import ShouldProvideKey
from everloop.storage.service_tables import key_fingerprints
from everloop.storage.sql import key_fence
from everloop.storage.sql.engine import database_name, reading, writing


def check_keys(
    engine: Engine,
    fingerprints: Mapping[str, str],
    replaced: Mapping[str, Collection[str]] = MappingProxyType({}),
    held: Collection[str] = (),
) -> None:
    """Refuse keys that are not those of the database; note those that it has not met.

    A key that has replaced the database's is noted in its place.

    Args:
        engine: of an opened workspace database.
        fingerprints: fingerprint by the key's name, which says nothing else about the key.
        replaced: fingerprints of the keys that these have replaced.
        held: names of keys that this process may write under only as long as the database has them.

    Raises:
        ShouldProvideKey: a key is another than the database was first opened with.
    """
    query = select(key_fingerprints.c.name, key_fingerprints.c.fingerprint)
    with reading(engine) as connection:
        known = {row.name: row.fingerprint for row in connection.execute(query)}
    if not fingerprints.keys() <= known.keys():
        with writing(engine) as connection:
            known = {row.name: row.fingerprint for row in connection.execute(query)}
            rows = [
                {"name": name, "fingerprint": fingerprint}
                for name, fingerprint in fingerprints.items()
                if name not in known
            ]
            if rows:
                connection.execute(insert(key_fingerprints), rows)
    for name, fingerprint in fingerprints.items():
        before = known.get(name, fingerprint)
        if before in replaced.get(name, ()) and before != fingerprint:
            _replace(engine, name, before, fingerprint)
        elif before != fingerprint:
            raise ShouldProvideKey(
                f"{name} is not the key that the rows of {database_name(engine)} were made with.",
                "Copy secrets.env and keys.sha256 from the workspace that made them into this one.",
            )
    for name in held:
        key_fence.hold(engine, name, fingerprints[name])


def key_of(engine: Engine, name: str) -> str | None:
    """Fingerprint of the key that the database's rows were made with; None where none is noted."""
    query = select(key_fingerprints.c.fingerprint).where(key_fingerprints.c.name == name)
    with reading(engine) as connection:
        return connection.scalar(query)


def note_key(connection: Connection, name: str, fingerprint: str) -> None:
    """Note in a write transaction that the rows are those of another key from now on."""
    ours = key_fingerprints.c.name == name
    connection.execute(update(key_fingerprints).where(ours).values(fingerprint=fingerprint))


def _replace(engine: Engine, name: str, before: str, fingerprint: str) -> None:
    ours = (key_fingerprints.c.name == name) & (key_fingerprints.c.fingerprint == before)
    with writing(engine) as connection:
        connection.execute(update(key_fingerprints).where(ours).values(fingerprint=fingerprint))
