"""A workspace whose loop has released a user model and profiles, and a log of people with consents."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.wiring import Workspace, open_workspace
from tests.log_records import DAY, NOON, episode, refusal, signal
from tests.made_releases import Made, release_people
from tests.two_tenants import LOOP

PEOPLE = [f"{n:02x}" * 32 for n in range(1, 9)]
REFUSING = PEOPLE[2]


@dataclass(frozen=True)
class Place:
    """A workspace folder of its own."""

    home: Path
    loop: str
    made: Made

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.home)

    @property
    def spec(self) -> LoopSpec:
        return load(self.loop)


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("released")
    home, loop = folder / "home", folder / "coach.yaml"
    loop.write_text(LOOP)
    settings.initialise(home)
    workspace = open_workspace(home)
    made = release_people(workspace, load(loop), folder / "made", day=DAY)
    number = 0
    for place, person in enumerate(PEOPLE):
        for each in range(3):
            number += 1
            at = NOON - timedelta(days=4 + each)
            context = {"x": place / 10 - 0.4 + each / 100}
            workspace.log.append_episodes(
                [
                    episode(
                        number,
                        at,
                        user_id=person,
                        loop="coach",
                        context_snapshot=context,
                        action_taken="walk",
                        valid_actions=("wait", "walk", "music"),
                    )
                ]
            )
            workspace.log.append_signals([signal(number, number, signal_type="engagement")])
    workspace.log.record_consent(refusal(REFUSING))
    workspace.engine.dispose()
    return Place(home, str(loop), made)


@pytest.fixture
def place(released: Place, tmp_path: Path) -> Place:
    """A copy of the workspace."""
    home = tmp_path / "home"
    shutil.copytree(released.home, home)
    return Place(home, released.loop, released.made)
