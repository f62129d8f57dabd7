"""Alembic migrations of the workspace database; run by ``everloop.storage.sql.engine``."""
