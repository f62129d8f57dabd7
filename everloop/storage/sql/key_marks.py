"""Which keys a database's rows were made with.

A folder knows its own keys. A database on a server may be opened from any folder, and one with other
keys would make everyone a new person with an unspent budget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from sqlalchemy import Engine, insert, select, update

from everloop.contracts.errors import ShouldProvideKey
from everloop.storage.service_tables import key_fingerprints
from everloop.storage.sql.engine import database_name, reading, writing


def check_keys(
    engine: Engine,
    fingerprints: Mapping[str, str],
    replaced: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Refuse keys that are not those of the database; note those that it has not met.

    A key that has replaced the database's is noted in its place.

    Args:
        engine: of an opened workspace database.
        fingerprints: fingerprint by the key's name, which says nothing else about the key.
        replaced: fingerprints of the keys that these have replaced.

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


def _replace(engine: Engine, name: str, before: str, fingerprint: str) -> None:
    ours = (key_fingerprints.c.name == name) & (key_fingerprints.c.fingerprint == before)
    with writing(engine) as connection:
        connection.execute(update(key_fingerprints).where(ours).values(fingerprint=fingerprint))
