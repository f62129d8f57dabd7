"""``synthetic_profiles`` in the workspace database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.ports import Appended
from everloop.storage.payloads import payload_sha256
from everloop.storage.schema import synthetic_profiles
from everloop.storage.sql.engine import reading, writing

_CHUNK = 500


class SqlProfileStore:
    """Synthetic people of one workspace, each with where it came from.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(
        self, profiles: Iterable[SyntheticProfile], loop: str, tenant: str = "default"
    ) -> Appended:
        """Store profiles in one durable transaction; a stored one with the same payload is a replay.

        Raises:
            ShouldResolveConflict: a profile's id is stored with another payload.
            ShouldFreeDisk: they did not fit; none is stored.
        """
        new = replayed = 0
        stream = iter(profiles)
        with writing(self._engine) as connection:
            while chunk := list(islice(stream, _CHUNK)):
                stored = _stored(connection, tenant, [p.profile_id for p in chunk])
                rows = []
                for profile in chunk:
                    sha256 = payload_sha256(profile)
                    known = stored.setdefault(profile.profile_id, sha256)
                    if known is sha256:
                        rows.append(
                            {
                                "tenant": tenant,
                                "profile_id": profile.profile_id,
                                "loop": loop,
                                "release_id": profile.release_id,
                                "source": str(profile.source),
                                "persona_vector": profile.persona_vector,
                                "traits": dict(profile.traits),
                                "interaction_history": profile.interaction_history,
                                "schema_version": profile.schema_version,
                                "payload_sha256": sha256,
                            }
                        )
                    elif known != sha256:
                        raise ShouldResolveConflict(
                            f"Profile {profile.profile_id} is stored with another payload.",
                            "Give a new profile a new id.",
                        )
                if rows:
                    connection.execute(insert(synthetic_profiles), rows)
                new += len(rows)
                replayed += len(chunk) - len(rows)
        return Appended(new=new, replayed=replayed)

    def profiles(
        self, loop: str, release_id: str | None = None, tenant: str = "default"
    ) -> Iterator[SyntheticProfile]:
        """A loop's profiles, or those of one release, in the order of their ids."""
        table = synthetic_profiles.c
        query = select(synthetic_profiles).where(table.tenant == tenant, table.loop == loop)
        if release_id is not None:
            query = query.where(table.release_id == release_id)
        with reading(self._engine) as connection:
            streaming = connection.execution_options(yield_per=_CHUNK)
            for row in streaming.execute(query.order_by(table.profile_id)).mappings():
                yield profile_of(row)

    def remove(self, loop: str, sources: Collection[ProfileSource], tenant: str = "default") -> int:
        """Delete a loop's profiles of some sources; how many they were."""
        table = synthetic_profiles.c
        named = [source.value for source in sources]
        where = (table.tenant == tenant, table.loop == loop, table.source.in_(named))
        with writing(self._engine) as connection:
            return connection.execute(delete(synthetic_profiles).where(*where)).rowcount

    def counts_by_release(
        self, loop: str, tenant: str = "default"
    ) -> dict[tuple[ProfileSource, str], int]:
        """(source, release) -> how many profiles a loop has of it."""
        table = synthetic_profiles.c
        query = (
            select(table.source, table.release_id, func.count())
            .where(table.tenant == tenant, table.loop == loop)
            .group_by(table.source, table.release_id)
            .order_by(table.source, table.release_id)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query)
            return {(ProfileSource(source), release): n for source, release, n in found}

    def counts(self, loop: str, tenant: str = "default") -> dict[ProfileSource, int]:
        """How many profiles of each source a loop has."""
        table = synthetic_profiles.c
        query = (
            select(table.source, func.count())
            .where(table.tenant == tenant, table.loop == loop)
            .group_by(table.source)
        )
        with reading(self._engine) as connection:
            return {ProfileSource(source): count for source, count in connection.execute(query)}


def _stored(connection: Connection, tenant: str, ids: list[str]) -> dict[str, bytes]:
    table = synthetic_profiles.c
    rows = connection.execute(
        select(table.profile_id, table.payload_sha256).where(
            table.tenant == tenant, table.profile_id.in_(ids)
        )
    )
    return {row[0]: row[1] for row in rows}


def profile_of(row: RowMapping) -> SyntheticProfile:
    """The record of a row of ``synthetic_profiles``."""
    return SyntheticProfile(
        profile_id=row["profile_id"],
        persona_vector=row["persona_vector"],
        traits=row["traits"],
        interaction_history=tuple(row["interaction_history"]),
        source=ProfileSource(row["source"]),
        release_id=row["release_id"],
        schema_version=row["schema_version"],
    )
