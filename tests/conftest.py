"""Fixtures that any test can ask for."""

from __future__ import annotations

from tests.postgresql_server import own_postgresql, postgresql, postgresql_url

__all__ = ["own_postgresql", "postgresql", "postgresql_url"]
