"""Workspaces for whole runs; a session makes each once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from everloop import settings
from everloop.intake.example import import_example
from everloop.loops import load
from everloop.wiring import open_workspace
from tests.e2e.whole_runs import SMALL_PEOPLE


@pytest.fixture(scope="session", autouse=True)
def bare_environment() -> None:
    for name in (settings.HOME_VARIABLE, settings.DATABASE_URL, *settings.KEYS):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small example log and no run."""
    home = tmp_path_factory.mktemp("small") / "home"
    settings.initialise(home)
    place = open_workspace(home)
    import_example(place.log, load("companion"), place.pseudonyms.of, people=SMALL_PEOPLE)
    return home


@pytest.fixture
def workspace(small_log: Path, tmp_path: Path) -> Path:
    """A copy of the small workspace that a test may change."""
    return Path(shutil.copytree(small_log, tmp_path / "home"))
