"""An extraction leaves the locks that its process holds on the database where they are."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.local.extraction_query import Bounds, small_result
from everloop.storage.local.extraction_sqlite import sqlite_reader
from everloop.storage.sql.dataset_pins import Pin
from everloop.storage.sql.engine import open_workspace_database, reading, writing
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import SetClock, episode, extraction, signal

ROOT = Path(__file__).parents[2]
BATCHES, EACH = 120, 5
WRITE_AT_ONCE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("began")
except sqlite3.OperationalError as problem:
    print(problem)
"""
LEAVE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT count(*) FROM training_episodes").fetchone()
connection.close()
"""
APPEND = """
import sys
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import SetClock, episode, signal
batches, each = int(sys.argv[2]), int(sys.argv[3])
for batch in range(batches):
    # Who leaves last takes the log of writes along: each batch comes and goes.
    engine = open_workspace_database(sys.argv[1])
    numbers = range(1 + batch * each, 1 + (batch + 1) * each)
    SqlEventLog(engine, SetClock()).append_batch(
        (episode(n) for n in numbers), (signal(n, of=n) for n in numbers)
    )
    engine.dispose()
    print(batch, flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(script: str, *arguments: object) -> str:
    return start(script, *arguments).communicate(timeout=60)[0].strip()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_workspace_database(tmp_path / "state.db")


def read_as_extraction_does(path: Path) -> int:
    bounds = Bounds(extraction(), Pin(10, 10, 10, datetime(2026, 3, 10, 23, tzinfo=UTC)))
    with sqlite_reader(path, bounds) as reader:
        return len(small_result(reader, reader.queries.episodes))


def test_a_writer_is_alone_also_after_an_extraction(engine: Engine, tmp_path: Path) -> None:
    SqlEventLog(engine, SetClock()).append_episodes([episode(1)])
    path = tmp_path / "state.db"
    with writing(engine):
        assert run(WRITE_AT_ONCE, path) == "database is locked"
        assert read_as_extraction_does(path) == 1
        assert run(WRITE_AT_ONCE, path) == "database is locked"
    assert run(WRITE_AT_ONCE, path) == "began"


def test_another_process_that_leaves_does_not_think_itself_the_last(
    engine: Engine, tmp_path: Path
) -> None:
    SqlEventLog(engine, SetClock()).append_episodes([episode(1)])
    path = tmp_path / "state.db"
    with reading(engine):
        pass
    assert read_as_extraction_does(path) == 1
    log = path.with_name("state.db-wal")
    before = log.stat().st_ino
    run(LEAVE, path)
    assert log.exists()
    assert log.stat().st_ino == before


def test_extractions_beside_another_process_that_writes_lose_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    ours = SqlEventLog(engine, SetClock())
    store = LocalDatasetStore(engine, tmp_path / "datasets", SetClock())
    ours.append_batch([episode(0)], [signal(0, of=0)])
    other = start(APPEND, path, BATCHES, EACH)
    seen, mine = [], 0
    while other.poll() is None:
        seen.append(store.extract(extraction(refresh=True)).manifest.episodes)
        mine += 1
        ours.append_batch([episode(10_000 + mine)], [signal(10_000 + mine, of=10_000 + mine)])
    said = other.communicate(timeout=60)[0].split()
    assert said == [str(batch) for batch in range(BATCHES)]
    rows = 1 + BATCHES * EACH + mine
    assert store.extract(extraction(refresh=True)).manifest.episodes == rows
    assert ours.counts("walk") == (rows, rows)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    engine.dispose()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
