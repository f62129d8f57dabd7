"""The schema's revisions, run when a database is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from everloop.contracts.errors import ShouldInitWorkspace

SCHEMA_HEAD = "0011_voice_configurations"
"""Newest revision of ``everloop/storage/migrations``."""

_MIGRATIONS = Path(__file__).parent.parent / "migrations"


def is_current(connection: Connection) -> bool:
    """Whether the schema is this version's."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
    return list(found) == [SCHEMA_HEAD]


def migrate(connection: Connection, name: str) -> None:
    """Bring a database to this version's schema inside the caller's exclusive transaction.

    Args:
        connection: in a transaction that no other process migrates in.
        name: what to call the database in a message.

    Raises:
        ShouldInitWorkspace: it holds others' tables, or a schema that this version doesn't know.
    """
    # Half a second that only a new or an older database needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is None and inspect(connection).get_table_names():
        raise ShouldInitWorkspace(
            f"{name} holds tables that everloop did not make.",
            "Choose another place for the workspace.",
        )
    if current not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise ShouldInitWorkspace(
            f"{name} has schema {current!r}, which this everloop does not know.",
            "Install the everloop that wrote it, or run everloop init in another place.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
