"""Two workspaces that name one journal, with the same keys, erase nobody of each other's unseen."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from everloop import settings
from everloop.contracts.privacy import ReleaseRequest
from everloop.loops import load
from everloop.storage.schema import training_episodes
from everloop.wiring import Workspace, open_workspace
from tests import log_records

SPEC = load("companion")
DAY = date(2026, 3, 1)
PIPELINE = "companion/default"
PEOPLE = tuple(f"{number:064x}" for number in range(1, 41))
ANN = log_records.ANN


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "production"
    monkeypatch.setenv(settings.LEDGER_JOURNAL, str(tmp_path / "journal"))
    settings.initialise(home)
    place = open_workspace(home)
    place.log.append_episodes([log_records.episode(1, user_id=ANN, loop="companion")])
    reserve(place, "user_model")
    place.engine.dispose()
    return home


def reserve(place: Workspace, stage: str) -> None:
    how = place.ledger.night_mechanism(SPEC, PIPELINE, stage, DAY)
    asked = ReleaseRequest(PIPELINE, DAY, stage, "c" * 64, "d" * 64, how)
    place.ledger.reserve(asked, PEOPLE, SPEC, 2)


def erase(home: Path) -> None:
    place = open_workspace(home)
    place.people.erase(ANN, "cli:test", datetime.now(UTC))
    place.engine.dispose()


def episodes(home: Path) -> int:
    place = open_workspace(home)
    with place.engine.connect() as connection:
        found = connection.scalar(select(func.count()).select_from(training_episodes))
    place.engine.dispose()
    return found or 0


def noted(tmp_path: Path) -> int:
    return len(list((tmp_path / "journal" / "erasures").glob("*.json")))


@pytest.fixture
def staging(production: Path, tmp_path: Path) -> Path:
    """An older copy of production, which has gone on since."""
    home = tmp_path / "staging"
    shutil.copytree(production, home)
    reserve(open_workspace(production), "profiles")
    return home


def test_an_older_copy_erases_nobody_of_the_others(
    production: Path, staging: Path, tmp_path: Path
) -> None:
    erase(staging)
    assert (episodes(staging), episodes(production), noted(tmp_path)) == (0, 1, 0)


def test_a_restored_workspace_writes_down_whom_it_erased_once_it_has_recovered(
    staging: Path, tmp_path: Path
) -> None:
    from everloop.sdk.recovering import recover_ledger

    erase(staging)
    recover_ledger(open_workspace(staging), "cli:test")
    assert noted(tmp_path) == 1


def test_an_older_copy_learns_who_was_erased(production: Path, staging: Path) -> None:
    erase(production)
    assert episodes(staging) == 0


def test_another_workspace_neither_tells_nor_learns(production: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(production / settings.SECRETS_FILE, other)
    shutil.move(tmp_path / "journal", tmp_path / "kept")
    place = open_workspace(other)
    place.log.append_episodes([log_records.episode(1, user_id=ANN, loop="companion")])
    place.engine.dispose()
    shutil.rmtree(tmp_path / "journal")
    shutil.move(tmp_path / "kept", tmp_path / "journal")
    erase(production)
    assert (episodes(production), episodes(other), noted(tmp_path)) == (0, 1, 1)
    assert open_workspace(other).people.waiting() == 1
    erase(other)
    assert noted(tmp_path) == 1
