"""The controller is killed before any of its writes, by SIGKILL; the next look completes what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.rollout.control import act
from everloop.rollout.start import rollout_id_of, start_rollout
from tests.unit.rollout.places import LOOP, NOW, Places, open_places
from tests.unit.rollout.test_control import LATER, OPEN, begin, counted, shown
from tests.unit.rollout.trials import estimate

WRITES = ("advance", "start", "end", "swap", "measured", "record")
PRIMARY = {"wins": estimate(0.01, 0.09), "loses": estimate(-0.2, -0.1)}


class Deadly:
    """A store of a process that dies before its n-th write."""

    left = 0

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            if Deadly.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            Deadly.left -= 1
        return getattr(self._store, name)


def look(places: Places, how: str) -> None:
    record = places.rollouts.rollout(rollout_id_of(LOOP, "default", "one"))
    act(OPEN, places, LATER, shown(record, primary=PRIMARY[how]))


def prepared(folder: Path) -> Places:
    places = open_places(folder)
    for name in ("old", "one", "two", "three"):
        places.checkpoint(name)
    record = begin(places)
    counted(places, record)
    for hours, name in enumerate(("two", "three"), 1):
        moment = NOW + timedelta(hours=hours)
        start_rollout(OPEN, places.manifest(name), places, moment, places.manifest("old", None))
    return places


@pytest.mark.parametrize(("how", "after"), [("wins", 1), ("loses", 0), ("loses", 2), ("loses", 3)])
def test_a_killed_controller_leaves_what_the_next_look_completes(
    tmp_path: Path, how: str, after: int
) -> None:
    places = prepared(tmp_path)
    died = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.test_controller_killed",
            str(tmp_path),
            how,
            str(after),
        ],
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    # a winner is swapped and measured; a loser is advanced, measured, and the next begins and ends another
    assert died.returncode == -signal.SIGKILL
    look(places, how)
    look(places, how)
    states = {record.candidate: record.state for record in places.rollouts.rollouts(LOOP)}
    kinds = [event.kind for event in places.deployments.events(LOOP)]
    kept = places.deployments.deployment(places.manifest("one").deployment_id)
    assert kept.measured == PRIMARY[how]
    if how == "wins":
        assert states == {"one": "promoted", "two": "waiting", "three": "waiting"}
        assert (kinds.count("promoted"), places.active(), kept.outcome) == (1, "one", "promoted")
    else:
        assert states == {"one": "rolled_back", "two": "ended", "three": "started"}
        assert (kinds.count("rolled_back"), places.active()) == (1, "old")
        assert places.candidate() == "three"


if __name__ == "__main__":
    folder, how, left = sys.argv[1:]
    Deadly.left = int(left)
    opened = open_places(Path(folder))
    opened.rollouts = Deadly(opened.rollouts)  # type: ignore[assignment]
    opened.deployments = Deadly(opened.deployments)  # type: ignore[assignment]
    look(opened, how)
