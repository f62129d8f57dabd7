"""Alembic's entry point: runs every revision of ``versions`` on the connection it is handed.

The caller owns the transaction, so that a migration is whole or absent.
"""

from __future__ import annotations

from alembic import context

from everloop.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
