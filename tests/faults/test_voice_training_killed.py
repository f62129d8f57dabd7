"""A voice's training killed at any step goes on to the same bytes; half a checkpoint is no checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.adaptation.training.checkpoints import mark_whole, newest_checkpoint
from everloop.adaptation.training.curriculum import train_curriculum
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import PhaseSpec
from everloop.contracts.voices import StepLog
from tests.voice_examples import corrections, voice

PHASES = (
    PhaseSpec(name="first", learning_rate=1e-3, max_steps=5),
    PhaseSpec(name="second", learning_rate=5e-4, max_steps=4),
)
KILLED, INTERRUPTED = ("first", 4), ("second", 3)
"""Each after a checkpoint of step 2, so that a step is lost."""


class _InterruptedError(Exception):
    pass


def train(
    base: BaseFolder, place: Path, ended: Callable[[StepLog], None] = lambda _: None
) -> bytes:
    """The published weights, where ``ended`` lets it come so far."""

    spec = voice(PHASES, accumulation=2)
    train_curriculum(
        base,
        spec,
        corrections(20),
        place / "out",
        place / "work",
        5,
        on_progress=lambda log, _: ended(log),
        checkpoint_steps=2,
    )
    return (place / "out" / "adapter_model.safetensors").read_bytes()


def test_a_killed_training_gives_the_same_bytes(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    """Dropout is on, so that the state of random numbers must come back too."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = train(tiny_voice, whole)

    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tiny_voice.path), str(killed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
    assert [path.name for path in _checkpoints(killed)] == ["checkpoint-2"]
    with pytest.raises(_InterruptedError):
        train(tiny_voice, killed, interrupt)
    assert not (killed / "out").exists()
    newest = _checkpoints(killed)[-1]
    (newest / "optimizer.pt").write_bytes(b"half")

    assert train(tiny_voice, killed) == expected
    assert not _checkpoints(killed)


def kill(log: StepLog) -> None:
    """End this process as an operator or the kernel would."""
    if (log.phase, log.step) == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(log: StepLog) -> None:
    """End the training and not the process."""
    if (log.phase, log.step) == INTERRUPTED:
        raise _InterruptedError


_CHILD = """
import sys
from pathlib import Path
from tests.faults import test_voice_training_killed as fault
from everloop.speaking.base import open_base
fault.train(open_base(Path(sys.argv[1])), Path(sys.argv[2]), fault.kill)
"""


def _checkpoints(place: Path) -> list[Path]:
    return sorted((place / "work").rglob("checkpoint-*"))


@pytest.mark.parametrize("damage", ["unmarked", "cut", "missing"])
def test_half_a_checkpoint_is_deleted(tmp_path: Path, damage: str) -> None:
    for step in (2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"state")
        (folder / "scheduler.pt").write_bytes(b"state")
        mark_whole(folder)
    newer = tmp_path / "checkpoint-10"
    assert newest_checkpoint(tmp_path) == str(newer)
    if damage == "unmarked":
        (newer / "whole.json").unlink()
    elif damage == "cut":
        (newer / "optimizer.pt").write_bytes(b"sta")
    else:
        (newer / "optimizer.pt").unlink()

    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert not newer.exists()


def test_a_training_without_checkpoints_begins_anew(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
