"""New SQLite databases of the tests: copies of one that the migrations made.

Migrating takes a tenth of a second and thousands of tests open a database. Whatever a test starts as
a process of its own migrates, and so do the tests that prove opening and migrating: they ask for
``real_migrations``, as all of ``tests/unit/storage`` does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.storage.sql import sqlite_engine

_make = sqlite_engine._make


class _Template:
    """The file that the migrations make, in WAL mode and with an empty log; made when first wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._content = b""

    def make(self, path: Path) -> None:
        absent = not path.exists()
        _make(path)
        if absent and path != self._path:
            path.write_bytes(self._migrated())

    def _migrated(self) -> bytes:
        with self._lock:
            if not self._content:
                sqlite_engine.open_workspace_database(self._path).dispose()
                self._content = self._path.read_bytes()
        return self._content


@pytest.fixture(scope="session", autouse=True)
def copied_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every database that this process makes is a copy of the first."""
    template = _Template(tmp_path_factory.mktemp("template") / "state.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_engine, "_make", template.make)
        yield


@pytest.fixture
def real_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """New databases of this test are migrated."""
    monkeypatch.setattr(sqlite_engine, "_make", _make)
