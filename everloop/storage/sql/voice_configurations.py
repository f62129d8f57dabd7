"""What running services speak with: one row for each that said so, until it has been silent for long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from everloop.contracts.sandboxes import RunningVoice, VoiceConfiguration
from everloop.storage.sql.upsert import upsert
from everloop.storage.voice_tables import voice_configurations

KEPT = timedelta(days=30)
"""For how long a service that says nothing more is remembered."""


def publish(connection: Connection, said: RunningVoice) -> None:
    """Store what a service says in place of what it said before.

    Args:
        connection: of a write transaction.
    """
    key = {"tenant": said.tenant, "loop": said.loop, "instance": said.instance}
    told = {
        "published_at": said.published_at,
        "settings": dict(said.configuration.settings),
    }
    upsert(connection, voice_configurations, key, told)
    old = voice_configurations.c.published_at < said.published_at - KEPT
    connection.execute(delete(voice_configurations).where(old))


def newest(connection: Connection, tenant: str, loop: str, since: datetime) -> RunningVoice | None:
    """What was said last, at ``since`` or later."""
    table = voice_configurations.c
    query = (
        select(voice_configurations)
        .where(table.tenant == tenant, table.loop == loop, table.published_at >= since)
        .order_by(table.published_at.desc(), table.instance)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return RunningVoice(
        row["loop"],
        row["instance"],
        row["published_at"],
        VoiceConfiguration(row["settings"]),
        row["tenant"],
    )
