"""Fixtures that any test can ask for."""

from __future__ import annotations

from tests.postgresql_server import (
    new_postgresql_url,
    own_postgresql,
    postgresql,
    postgresql_url,
)

__all__ = ["new_postgresql_url", "own_postgresql", "postgresql", "postgresql_url"]
