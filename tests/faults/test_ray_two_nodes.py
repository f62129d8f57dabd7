"""A training on two nodes loses one of them for good, and ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """Short enough for the paths of Ray's sockets."""
    with TemporaryDirectory(prefix="r2-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def trained_twice(place: Path, learners: int) -> dict[str, Any]:
    token = place / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_scheduler_spread_threshold": "0.0",  # workers go to both nodes
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(place),
    }
    with (
        (place / "stderr").open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.two_nodes", str(place), str(learners)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            shown, _ = process.communicate(timeout=800)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, (place / "stderr").read_text()[-3000:]
    return dict(json.loads(shown.strip().splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("learners", [0, 2])
def test_a_node_that_is_lost_changes_nothing(place: Path, learners: int) -> None:
    seen = trained_twice(place, learners)
    assert seen["killed"] != seen["driver"]
    assert len(seen["before"]) == len(seen["after"]) == 2 + learners
    assert set(seen["before"]) == {seen["killed"], seen["driver"]}
    assert set(seen["after"]) == {seen["driver"]} == set(seen["alive"])
    undisturbed, disturbed = seen["rewards"]
    assert disturbed == undisturbed
    assert len(set(seen["weights"])) == 1
