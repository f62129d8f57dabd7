"""A voice's run that is killed after it registered an adapter and before its trial has taught nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components import _voice_registering as registering
from components._voice_data import choose_for
from components._voice_persona import collect_voice
from everloop import settings
from everloop.adaptation.building import FIGURES_FILE, TRAIN_FILE
from everloop.adaptation.instance_file import write_instances
from everloop.contracts.documents import write
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import SignalVolume
from everloop.wiring import Workspace, open_workspace
from tests import made_voices as made
from tests.feedback_records import put
from tests.log_records import uuid_of
from tests.spoken_records import person, spoken
from tests.unit.components.test_voice_registering import _inputs
from tests.voice_instances import said

PEOPLE = range(1, 7)
RUN = ("2026-03-28", "default", "code")


def run_night(home: Path, folder: Path) -> None:
    """Register the night's adapter and begin its trial."""
    place, spec = open_workspace(home), made.spec()
    names = (
        "collection",
        "data",
        "strategy",
        "scorer",
        "adapter",
        "measure",
        "findings",
        "verdict",
    )
    inputs = tuple(folder / name for name in names)
    registering.register_candidate_voice(spec, place, RUN, inputs, folder / "out")
    registering.begin_voice_trial(
        spec, place, RUN[:2], (folder / "measure", folder / "verdict", folder / "out")
    )


def night(place: Workspace, base: BaseFolder, folder: Path) -> None:
    """What the steps before registration leave of a night that may be tried."""
    collection, data, *_, verdict = _inputs(folder, base, len(PEOPLE))
    (data / TRAIN_FILE).unlink()
    corrections(data)
    collect_voice(made.spec(), place, "default", collection)
    passed = (Check("data", CheckStatus.PASSED, "Enough."),)
    write(Verdict(Decision.CONTINUE, passed), verdict)


def corrections(data: Path) -> None:
    """What everybody's correction teaches."""
    rows = [
        replace(said(n, person(n)), source_ids=(uuid_of(n, "feedback"),), instance_id=f"i{n}")
        for n in PEOPLE
    ]
    write_instances(rows, data / TRAIN_FILE)


def volume(place: Workspace, folder: Path) -> SignalVolume:
    """What the next night finds to learn."""
    collection, data = folder / "collection", folder / "data"
    data.mkdir(parents=True)
    corrections(data)
    write(made.data(), data / FIGURES_FILE)
    collect_voice(made.spec(), place, "default", collection)
    return choose_for(made.spec(), place, "default", collection, data).volume


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Everybody corrected one answer of their own."""
    settings.initialise(tmp_path / "home")
    opened = open_workspace(tmp_path / "home")
    mine: dict[str, Any] = {"persona": "companion"}
    for number in PEOPLE:
        row = spoken(number, FeedbackType.CORRECTION, f"Take road {number}.", by=number)
        put(opened.engine, replace(row.interaction, **mine), replace(row.feedback, **mine))
    return opened


def test_what_no_trial_came_of_is_learned_again(
    place: Workspace, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    home, folder = tmp_path / "home", tmp_path / "night"
    night(place, tiny_voice, folder)
    died = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_voice_run_killed", str(home), str(folder)],
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert died.returncode == -signal.SIGKILL
    (left,) = place.voices.versions("companion")
    assert left.forgets == 0
    assert not place.rollouts.rollouts("companion")
    again = volume(place, tmp_path / "again")
    assert (again.people, again.corrections) == (len(PEOPLE), len(PEOPLE))
    # The same run, begun again, comes to the trial of the same adapter.
    run_night(home, folder)
    (record,) = place.rollouts.rollouts("companion")
    assert record.state == "started"
    (version,) = place.voices.versions("companion")
    assert version.model_id == record.candidate
    learned = volume(place, tmp_path / "later")
    assert (learned.people, learned.corrections) == (0, 0)


if __name__ == "__main__":

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(registering, "start_rollout", die):
        run_night(Path(sys.argv[1]), Path(sys.argv[2]))
