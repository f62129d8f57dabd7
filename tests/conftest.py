"""Fixtures that any test can ask for."""

from __future__ import annotations

from tests.postgresql_server import open_engine, own_postgresql, postgresql, postgresql_url

__all__ = ["open_engine", "own_postgresql", "postgresql", "postgresql_url"]
