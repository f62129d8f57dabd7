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


def withdraw(connection: Connection, instance: str) -> None:
    """Forget what an instance said.

    Args:
        connection: of a write transaction.
    """
    own = voice_configurations.c.instance == instance
    connection.execute(delete(voice_configurations).where(own))


def running(
    connection: Connection, tenant: str, loop: str, since: datetime
) -> tuple[RunningVoice, ...]:
    """What each instance said, at ``since`` or later, by its name."""
    table = voice_configurations.c
    query = (
        select(voice_configurations)
        .where(table.tenant == tenant, table.loop == loop, table.published_at >= since)
        .order_by(table.instance)
    )
    return tuple(
        RunningVoice(
            row["loop"],
            row["instance"],
            row["published_at"],
            VoiceConfiguration(row["settings"]),
            row["tenant"],
        )
        for row in connection.execute(query).mappings()
    )
