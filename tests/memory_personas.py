"""A ``PersonaStore`` in memory, as strict as the port says."""

from __future__ import annotations

import threading
from datetime import datetime
from itertools import pairwise

from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.personas import PersonaRevision

Key = tuple[str, str | None, str]


class MemoryPersonas:
    """Append-only revisions of one process. Thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[Key, list[PersonaRevision]] = {}
        self._lock = threading.Lock()
        self.said: dict[str, set[str]] = {}
        """Person -> feedback."""

    def newest(
        self, persona: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        rows = self._rows.get((persona, user_id, tenant), [])
        return rows[-1] if rows else None

    def revision(
        self, persona: str, number: int, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision:
        for row in self._rows.get((persona, user_id, tenant), []):
            if row.number == number:
                return row
        raise ShouldNameKnownId(f"Persona {persona!r} has no revision {number}.", "List them.")

    def revisions(
        self, persona: str, user_id: str | None = None, tenant: str = "default", limit: int = 100
    ) -> tuple[PersonaRevision, ...]:
        return tuple(reversed(self._rows.get((persona, user_id, tenant), [])))[:limit]

    def append(self, revision: PersonaRevision) -> PersonaRevision:
        key = (revision.persona, revision.user_id, revision.tenant)
        with self._lock:
            rows = self._rows.setdefault(key, [])
            same = [row for row in rows if row.number == revision.number]
            if same and same[0].cause == revision.cause:
                return same[0]
            if revision.number != len(rows) + 1:
                raise ShouldResolveConflict(
                    f"Revision {revision.number} follows {len(rows)} of {revision.persona!r}.",
                    "Read it again.",
                )
            rows.append(revision)
            return revision

    def caused_by(
        self, persona: str, cause: str, user_id: str | None = None, tenant: str = "default"
    ) -> PersonaRevision | None:
        rows = self._rows.get((persona, user_id, tenant), [])
        return next((row for row in rows if row.cause == cause), None)

    def moved(
        self, persona: str, user_id: str, since: datetime, tenant: str = "default"
    ) -> tuple[tuple[bytes, bytes], ...]:
        """As ``TeachingLog``, of people whose feedback is in ``said``."""
        rows = self._rows.get((persona, None, tenant), [])
        return tuple(
            (before.content, after.content)
            for before, after in pairwise(rows)
            if after.cause in self.said[user_id]
            and after.recorded_at > since
            and after.content != before.content
        )
