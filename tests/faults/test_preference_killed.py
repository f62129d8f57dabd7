"""A preference tuning that is killed goes on to the same bytes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

import pytest

from everloop.adaptation.training.checkpoints import newest_checkpoint
from everloop.adaptation.training.preference import tune_preferences
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import PreferenceSpec
from everloop.contracts.voices import StepLog, TrainingDataInstance
from tests.voice_instances import pair, thumb, voice

SPEC = voice(PreferenceSpec(learning_rate=5e-3), batch_size=2)
PAIRS = tuple(pair(number) for number in range(24))
THUMBS = tuple(thumb(number, number % 3 != 0) for number in range(24))


@pytest.mark.parametrize("instances", [PAIRS, THUMBS], ids=["dpo", "kto"])
def test_a_killed_tuning_goes_on_to_the_same_bytes(
    tiny_voice: BaseFolder, tmp_path: Path, instances: tuple[TrainingDataInstance, ...]
) -> None:
    whole, (phase,), steps = tune_preferences(
        tiny_voice, None, SPEC, instances, tmp_path / "whole", tmp_path / "quiet", 5
    )
    assert phase.steps == 6
    killed = os.fork()
    if killed == 0:
        _die_at_the_fourth_step(tiny_voice, tmp_path, instances)
    assert os.waitpid(killed, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "again").exists()
    (folder,) = (tmp_path / "work").iterdir()
    found = newest_checkpoint(folder)
    assert found is not None
    assert found.endswith("checkpoint-3")
    taken: list[int] = []
    again, (phase_again,), steps_again = tune_preferences(
        tiny_voice,
        None,
        SPEC,
        instances,
        tmp_path / "again",
        tmp_path / "work",
        5,
        lambda step, _: taken.append(step.step),
    )
    assert taken == [4, 5, 6]
    assert again.sha256 == whole.sha256
    assert steps_again == steps
    assert phase_again.tokens == phase.tokens


def _die_at_the_fourth_step(
    base: BaseFolder, place: Path, instances: tuple[TrainingDataInstance, ...]
) -> None:
    def die(step: StepLog, _: int) -> None:
        if step.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        tune_preferences(base, None, SPEC, instances, place / "again", place / "work", 5, die)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(1)


def test_another_run_never_goes_on_from_a_checkpoint(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    taken: list[int] = []
    for seed in (5, 6):
        tune_preferences(
            tiny_voice,
            None,
            SPEC,
            PAIRS,
            tmp_path / "out",
            tmp_path / "work",
            seed,
            lambda step, _: taken.append(step.step),
        )
    assert taken == [1, 2, 3, 4, 5, 6] * 2
