"""Who judges a voice and who teaches it: recorded once for each person, and renamed with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, select

from everloop.storage.sql.voice_packages import gone_people
from everloop.storage.voice_tables import voice_sides


def judging(
    connection: Connection, tenant: str, persona: str, judges: Mapping[str, bool], now: datetime
) -> frozenset[str]:
    """See ``VoiceStore``. Of somebody who was erased in the meantime nothing is recorded.

    Args:
        connection: of a write transaction.
        now: our clock.
    """
    table = voice_sides.c
    query = select(table.user_id, table.judges).where(
        table.tenant == tenant, table.persona == persona
    )
    known = {row.user_id: row.judges for row in connection.execute(query)}
    new = judges.keys() - known.keys()
    rows = [
        {
            "tenant": tenant,
            "persona": persona,
            "user_id": person,
            "judges": judges[person],
            "recorded_at": now,
        }
        for person in sorted(new - gone_people(connection, tenant, new))
    ]
    if rows:
        connection.execute(insert(voice_sides), rows)
    return frozenset(person for person, first in judges.items() if known.get(person, first))
