"""Fixtures that any test can ask for."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

from tests.bigquery_emulator import bigquery_emulator, bigquery_jobs, bigquery_place
from tests.gcs_server import bucket, gcs, gcs_client
from tests.postgresql_server import (
    new_postgresql_url,
    own_postgresql,
    postgresql,
    postgresql_url,
)
from tests.sqlite_template import copied_databases, real_migrations
from tests.tiny_voice import tiny_voice

__all__ = [
    "bigquery_emulator",
    "bigquery_jobs",
    "bigquery_place",
    "bucket",
    "copied_databases",
    "gcs",
    "gcs_client",
    "new_postgresql_url",
    "own_postgresql",
    "postgresql",
    "postgresql_url",
    "real_migrations",
    "tiny_voice",
]

settings.register_profile("everyday", max_examples=40)
settings.register_profile("thorough", max_examples=200)
settings.load_profile("everyday")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays: a full collection that walks it takes half a second."""
    gc.collect()
    gc.freeze()
