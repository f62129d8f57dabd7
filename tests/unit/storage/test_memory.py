"""Appending and extracting hold a chunk in memory, however long the log is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SMALL, LARGE = 20_000, 80_000
SIGNALS_PER_EPISODE = 10
MOST_GROWTH_MB = 150
MOST_MB = 700

APPEND = """
import resource, sys
from datetime import timedelta
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import NOON, SetClock, episode, signal
episodes, each = int(sys.argv[2]), int(sys.argv[3])
log = SqlEventLog(open_workspace_database(sys.argv[1] + "/state.db"), SetClock())
log.append_batch(
    (episode(n, at=NOON - timedelta(seconds=n)) for n in range(episodes)),
    (signal(n, of=n // each) for n in range(episodes * each)),
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
EXTRACT = """
import resource, sys
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.engine import open_workspace_database
from tests.log_records import SetClock, extraction
engine = open_workspace_database(sys.argv[1] + "/state.db")
store = LocalDatasetStore(engine, sys.argv[1] + "/datasets", SetClock())
manifest = store.extract(extraction(window_days=7)).manifest
assert (manifest.episodes, manifest.signals) == (int(sys.argv[2]), int(sys.argv[2]) * int(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_mb(script: str, folder: Path, episodes: int) -> int:
    """Largest resident set of a process of its own, in MiB."""
    folder.mkdir(exist_ok=True)
    finished = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(episodes), str(SIGNALS_PER_EPISODE)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(finished.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    appending = peak_mb(APPEND, small, SMALL), peak_mb(APPEND, large, LARGE)
    extracting = peak_mb(EXTRACT, small, SMALL), peak_mb(EXTRACT, large, LARGE)
    assert max(appending + extracting) < MOST_MB
    assert appending[1] - appending[0] < MOST_GROWTH_MB
    assert extracting[1] - extracting[0] < MOST_GROWTH_MB
