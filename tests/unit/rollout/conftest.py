from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from everloop.storage.sql.engine import open_workspace_database
from tests.unit.rollout.places import Places, open_places


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrating takes longer than most tests: it is done once."""
    path = tmp_path_factory.mktemp("empty") / "state.db"
    open_workspace_database(path).dispose()
    return path


@pytest.fixture
def places(tmp_path: Path, empty_database: Path) -> Places:
    """An empty workspace's stores, with the checkpoints ``old``, ``one`` and ``two``."""
    shutil.copyfile(empty_database, tmp_path / "state.db")
    made = open_places(tmp_path)
    for name in ("old", "one", "two"):
        made.checkpoint(name)
    return made
