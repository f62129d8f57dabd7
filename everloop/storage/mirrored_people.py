"""``PersonStore`` of a workspace whose log is mirrored elsewhere: who is erased here is erased there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from everloop.contracts.episodes import Json
from everloop.contracts.errors import EverloopError, ShouldRetryLater
from everloop.contracts.privacy import ErasureMark, ErasureRecord
from everloop.contracts.service_ports import PersonStore


class MirroredPersonStore:
    """Passes every call on, and has the mirror follow each erasure.

    Args:
        people: the workspace's own.
        follow: deletes in the mirror who was erased from a tenant.
    """

    def __init__(self, people: PersonStore, follow: Callable[[str], object]) -> None:
        self._people = people
        self._follow = follow

    def export(
        self, user_id: str, tenant: str = "default"
    ) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """See ``PersonStore``. The mirror holds nothing that the database does not hold."""
        return self._people.export(user_id, tenant)

    def erase(
        self, user_id: str, actor: str, now: datetime, tenant: str = "default", reason: str = ""
    ) -> ErasureRecord:
        """See ``PersonStore``; returns once the mirror has forgotten the person, too.

        Raises:
            ShouldRetryLater: the person is erased here and the mirror could not be asked. The next
                extraction deletes them there before it reads; so does the same call again.
        """
        record = self._people.erase(user_id, actor, now, tenant, reason)
        try:
            self._follow(tenant)
        except EverloopError as problem:
            raise ShouldRetryLater(
                f"Erasure {record.erasure_id} is done in the database, and the mirror of the log has not "
                f"followed it: {problem.message}",
                "Erase the same person again, or run everloop bigquery sync, once it answers.",
                30.0,
            ) from problem
        return record

    def waiting(self) -> int:
        """See ``PersonStore``."""
        return self._people.waiting()

    def marks(self, tenant: str = "default") -> tuple[ErasureMark, ...]:
        """See ``PersonStore``."""
        return self._people.marks(tenant)

    def finish(self) -> None:
        """See ``PersonStore``."""
        self._people.finish()
