"""What the tests of storage share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def migrate(real_migrations: None) -> None:
    """How a database is made is what they prove."""
