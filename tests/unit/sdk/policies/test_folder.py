"""A folder is written by one training at a time, and nobody's policy is lost in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldResolveConflict, ShouldWaitForWorker
from everloop.sdk.policies.folder import Question, held

OURS, THEIRS = Question("1" * 64, "ppo on a"), Question("2" * 64, "greedy on b")
RESULTS = ("policy.json", "checkpoint.json", "best")
HOLD = """
import sys; from pathlib import Path; from everloop.sdk.policies.folder import Question, held
with held(Path(sys.argv[1]), Question("2" * 64, "greedy on b"), (), False):
    print("held", flush=True); sys.stdin.read()
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said = rf"held by process {other.pid} on .* \(greedy on b\)\. Wait for it or stop it"
        for fresh in (False, True):
            with (
                pytest.raises(ShouldWaitForWorker, match=said),
                held(tmp_path, THEIRS, RESULTS, fresh),
            ):
                pytest.fail("two hold one folder")
        other.send_signal(signal.SIGKILL)
    with held(tmp_path, THEIRS, RESULTS, False):
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()
        assert len((tmp_path / ".lock").read_text().splitlines()) == 1


@pytest.mark.parametrize("left", ["policy.json", "checkpoint.json", "best"])
def test_what_another_training_left_is_kept_unless_it_may_be_replaced(
    tmp_path: Path, left: str
) -> None:
    with held(tmp_path, OURS, RESULTS, False):
        if left == "best":
            (tmp_path / left).mkdir()
        else:
            (tmp_path / left).write_text("ours")
        (tmp_path / "notes.txt").write_text("a person's")
    with held(tmp_path, OURS, RESULTS, False), held(tmp_path / "else", THEIRS, RESULTS, False):
        pass  # the same question goes on, and so does another one elsewhere
    with (
        pytest.raises(ShouldResolveConflict, match=rf"{left} of something else \(ppo on a\)"),
        held(tmp_path, THEIRS, RESULTS, False),
    ):
        pytest.fail("it was to be overwritten")
    assert (tmp_path / left).exists()
    with held(tmp_path, THEIRS, RESULTS, True):
        assert not (tmp_path / left).exists()
        assert (tmp_path / "notes.txt").exists()


def test_a_policy_of_nobody_known_is_kept(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    with (
        pytest.raises(ShouldResolveConflict, match=r"\(unknown\).*--fresh"),
        held(tmp_path, OURS, RESULTS, False),
    ):
        pytest.fail("it was to be overwritten")
