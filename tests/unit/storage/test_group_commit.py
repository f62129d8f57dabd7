"""What the writer's thread does when a commit fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from everloop.contracts.errors import EverloopError, ShouldRestoreArtefact, ShouldRetryLater
from everloop.contracts.serving import Receipt, Submission
from everloop.storage.sql import group_commit, wal
from everloop.storage.sql.engine import open_workspace_database, writing
from everloop.storage.sql.group_commit import GroupCommit
from everloop.storage.sql.ingest_faults import is_of_data
from everloop.storage.sql.wal import WalKeeper
from tests.log_records import SetClock, episode

Store = Callable[..., list[Receipt | EverloopError]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_workspace_database(tmp_path / "state.db")
    yield opened
    opened.dispose()


@pytest.fixture
def queue(engine: Engine) -> Iterator[GroupCommit]:
    opened = GroupCommit(engine, SetClock())
    yield opened
    opened.close()


def of(number: int) -> Submission:
    return Submission("default", "key:one", episodes=(episode(number),))


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Nothing commits within: what is submitted shares the next commit."""
    with writing(engine):
        yield


class Failing:
    """``store`` that fails as often as there are problems."""

    def __init__(self, problems: Sequence[Exception | None]) -> None:
        self.sizes: list[int] = []
        self._problems = list(problems)
        self._store: Store = group_commit.store

    def __call__(
        self, connection: Any, batch: Sequence[Any], now: Any
    ) -> list[Receipt | EverloopError]:
        self.sizes.append(len(batch))
        problem = self._problems.pop(0) if self._problems else None
        if problem is not None:
            raise problem
        return self._store(connection, batch, now)


def away() -> Exception:
    return OperationalError("SELECT 1", None, sqlite3.OperationalError("away"))


def outcomes(engine: Engine, queue: GroupCommit, numbers: range) -> list[object]:
    with held(engine):
        first = queue.submit(of(0))  # what the writer takes first waits for the lock alone
        while queue.waiting:
            threading.Event().wait(0.001)
        futures = [queue.submit(of(number)) for number in numbers]
    assert not wait([first, *futures], 30).not_done
    return [future.exception() or future.result() for future in futures]


def test_a_database_that_is_away_fails_everyone_at_once(
    engine: Engine, queue: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing([None, away()])
    monkeypatch.setattr(group_commit, "store", failing)
    found = outcomes(engine, queue, range(1, 101))
    assert failing.sizes == [1, 100]
    assert {type(outcome) for outcome in found} == {ShouldRetryLater}
    assert isinstance(queue.failure, ShouldRetryLater)
    assert queue.figures.failed == 100
    assert queue.submit(of(200)).result(30).new == 1
    assert queue.failure is None


def test_a_record_that_fails_alone_fails_nobody_else(
    engine: Engine, queue: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_data = IntegrityError("INSERT", None, sqlite3.IntegrityError("NOT NULL"))
    failing = Failing([None, of_data, None, OverflowError("too large"), None])
    monkeypatch.setattr(group_commit, "store", failing)
    found = outcomes(engine, queue, range(1, 4))
    assert failing.sizes == [1, 3, 1, 1, 1]
    assert [type(outcome) for outcome in found] == [Receipt, ShouldRetryLater, Receipt]
    assert queue.failure is None


def test_storing_alone_ends_when_the_database_goes_away(
    engine: Engine, queue: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing([None, TypeError("odd"), None, away()])
    monkeypatch.setattr(group_commit, "store", failing)
    found = outcomes(engine, queue, range(1, 51))
    assert failing.sizes == [1, 50, 1, 1]
    assert [type(outcome) for outcome in found] == [Receipt] + [ShouldRetryLater] * 49
    assert queue.figures.failed == 49


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (away(), False),
        (RuntimeError("no"), False),
        (OSError("no"), False),
        (sqlite3.ProgrammingError("type 'object' is not supported"), True),
        (ValueError("no"), True),
    ],
)
def test_whose_fault_a_failure_is(problem: Exception, expected: bool) -> None:
    assert is_of_data(problem) is expected


def test_nothing_is_acknowledged_into_a_file_without_a_name(
    engine: Engine, queue: GroupCommit, tmp_path: Path
) -> None:
    assert queue.submit(of(1)).result(30).new == 1
    (tmp_path / "state.db").rename(tmp_path / "moved.db")
    with pytest.raises(ShouldRestoreArtefact):
        queue.submit(of(2)).result(30)
    assert isinstance(queue.failure, ShouldRestoreArtefact)
    assert not (tmp_path / "state.db").exists()


def test_an_outcome_that_cannot_be_told_does_not_end_the_writer(queue: GroupCommit) -> None:
    def gone(_: object) -> None:
        raise RuntimeError("Event loop is closed")

    queue.enqueue(of(1), gone, None)
    assert queue.submit(of(2)).result(30).new == 1
    assert queue.alive


def test_the_writer_waits_for_no_reader(engine: Engine, queue: GroupCommit) -> None:
    taken = [engine.connect() for _ in range(20)]
    try:
        assert queue.submit(of(1)).result(5).new == 1
    finally:
        for connection in taken:
            connection.close()


def test_the_keeper_of_the_log_survives_everything(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)

    def broken(_: WalKeeper) -> None:
        looked.release()
        raise RuntimeError("odd")

    monkeypatch.setattr(wal, "_PAUSE_S", 0.001)
    monkeypatch.setattr(WalKeeper, "_write_back", broken)
    keeper = WalKeeper(engine, largest=-1)
    for _ in range(3):
        assert looked.acquire(timeout=10)
    assert keeper.alive
    keeper.close()
    assert not keeper.alive


def test_a_queue_whose_log_nobody_keeps_is_not_alive(queue: GroupCommit) -> None:
    assert queue.alive
    queue._wal.close()
    assert not queue.alive
