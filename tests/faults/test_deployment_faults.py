"""Processes that change what serves at once, or die while they do: one wins, and nothing is half-moved."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_database
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.deployment_records import LOOP, deployment, fill, part, rollout
from tests.postgresql_server import close_connections

ROOT = Path(__file__).parents[2]
ONE, TWO = deployment(part(1)), deployment(part(2))
IMPORTS = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from everloop.contracts.errors import ShouldResolveConflict
from everloop.storage.sql import head_changes as module
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_database
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.deployment_records import deployment, part, rollout
url, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
engine = open_database(url, folder / "state.db")
store, rollouts = SqlDeploymentStore(engine), SqlRolloutStore(engine)
"""


class Place:
    """A database that other processes open, too."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.engine: Engine = open_database(url, folder / "state.db")
        self.deployments = SqlDeploymentStore(self.engine)
        self.rollouts = SqlRolloutStore(self.engine)
        self.registry = SqlRegistry(self.engine)
        fill(self.registry)

    def start(self, script: str, name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", IMPORTS + script, self.url, str(self.folder), name],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    made = Place(url, tmp_path)
    yield made
    made.engine.dispose()
    close_connections()


SWAPPING = """
own, other = (deployment(part(n)) for n in (3, 4))
won = 0
while (revision := store.head("walk").revision) < 30:
    wanted = own if store.head("walk").deployment_id == other.deployment_id else other
    try:
        store.swap(wanted, revision, "deployed", name, name)
        won += 1
    except ShouldResolveConflict:
        pass
print(won)
"""


def test_of_two_processes_one_wins_each_swap(place: Place) -> None:
    processes = [place.start(SWAPPING, name) for name in ("first", "second")]
    won = [int(process.communicate(timeout=120)[0]) for process in processes]
    events = place.deployments.events(LOOP)
    assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
    assert len(events) == place.deployments.head(LOOP).revision == sum(won)
    names = [event.actor for event in events]
    assert won == [names.count("first"), names.count("second")]
    moved = [row for row in place.registry.deployment_log(LOOP) if row["alias"] == "active"]
    assert [row["generation"] for row in moved] == [*range(1, len(events) + 1)]


ADVANCING = """
won = 0
while (record := rollouts.rollout(rollout(1).rollout_id)).generation < 30:
    try:
        rollouts.advance(replace(record, step=record.step + 1), "step", name, name)
        won += 1
    except ShouldResolveConflict:
        pass
print(won)
"""


def test_of_two_processes_one_makes_each_step(place: Place) -> None:
    place.rollouts.start(rollout(1))
    processes = [place.start(ADVANCING, name) for name in ("first", "second")]
    won = [int(process.communicate(timeout=120)[0]) for process in processes]
    record = place.rollouts.rollout(rollout(1).rollout_id)
    assert record.step == record.generation == sum(won)
    assert len(place.deployments.events(LOOP)) == sum(won) + 1


KILLED = """
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if name != "afterwards":
    setattr(module, name, killed)
trial = rollouts.rollout(rollout(2).rollout_id)
over = replace(trial, state="promoted", traffic_percent=0.0)
seen = store.head("walk").revision
store.swap(deployment(part(2)), seen, "promoted", "better", "test", rollout=over)
killed()
"""


@pytest.mark.parametrize(
    "at",
    [
        "follow_candidate",
        "move_alias",
        "raise_revision",
        "end_service",
        "append_event",
        "append_audit",
    ],
)
def test_a_killed_swap_leaves_what_was(place: Place, at: str) -> None:
    before = _begin(place)
    process = place.start(KILLED, at)
    process.communicate(timeout=120)
    assert process.returncode == -signals.SIGKILL
    assert _state(place) == before
    head = place.deployments.head(LOOP)
    assert place.deployments.swap(TWO, head.revision, "deployed", "again", "").revision > 0


def test_a_swap_that_was_acknowledged_survives_a_kill(place: Place) -> None:
    _begin(place)
    process = place.start(KILLED, "afterwards")
    process.communicate(timeout=120)
    assert process.returncode == -signals.SIGKILL
    head = place.deployments.head(LOOP)
    assert (head.deployment_id, head.trial) == (TWO.deployment_id, None)
    assert place.registry.alias(LOOP, "active")[0] == part(2).artefact_id
    assert place.registry.alias(LOOP, "candidate")[0] is None
    assert place.rollouts.rollout(rollout(2).rollout_id).state == "promoted"
    assert place.deployments.events(LOOP)[-1].kind == "promoted"


def _begin(place: Place) -> tuple[object, ...]:
    place.deployments.swap(ONE, 0, "deployed", "first", "")
    place.deployments.record(TWO)
    place.rollouts.start(rollout(2, deployment_id=TWO.deployment_id))
    return _state(place)


def _state(place: Place) -> tuple[object, ...]:
    return (
        place.deployments.head(LOOP),
        place.deployments.events(LOOP),
        place.registry.deployment_log(LOOP),
        place.registry.alias(LOOP, "candidate"),
        place.rollouts.rollouts(LOOP),
        [made.active for made in place.registry.checkpoints(LOOP)],
    )
