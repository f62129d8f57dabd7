"""What every ``JobStore`` must do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.ports import EventLog
from everloop.contracts.service_ports import AuditLog, JobStore
from everloop.contracts.serving import JobCause, JobState, TrainingJob
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database, open_workspace_database, writing
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.jobs import SqlJobStore
from tests.log_records import DAY, NOON, SetClock, episode, uuid_of

STALE_S = 60.0
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Opened:
    jobs: JobStore
    log: EventLog
    audit: AuditLog


Opener = Callable[[], Opened]


def job(number: int = 1, **changes: Any) -> TrainingJob:
    values: dict[str, Any] = {
        "job_id": uuid_of(number, "job"),
        "tenant": "default",
        "loop": "walk",
        "logical_date": DAY,
        "cause": JobCause.EPISODES,
        "state": JobState.QUEUED,
        "requested_by": "trigger",
        "watermark": 1000 * number,
        "created_at": NOON + timedelta(hours=number, microseconds=7),
    }
    return TrainingJob(**(values | changes))


def ended(one: TrainingJob, state: JobState = JobState.SUCCEEDED, **changes: Any) -> TrainingJob:
    return replace(one, state=state, finished_at=NOON + timedelta(hours=9), **changes)


class JobStoreSuite(ABC):
    @abstractmethod
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same stores again and again."""

    @pytest.fixture
    def reopen(self, request: pytest.FixtureRequest) -> Opener:
        return self.opener(request)

    @pytest.fixture
    def opened(self, reopen: Opener) -> Opened:
        return reopen()

    @pytest.fixture
    def jobs(self, opened: Opened) -> JobStore:
        return opened.jobs

    def run(self, jobs: JobStore, one: TrainingJob) -> None:
        """Request a job and end it."""
        assert jobs.request(one) == one
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        assert jobs.finish(ended(taken), "w")

    def test_a_requested_job_is_read_as_it_was(self, jobs: JobStore, reopen: Opener) -> None:
        asked = job(error="é", run_id="r")
        assert jobs.request(asked) == asked
        assert reopen().jobs.job(asked.job_id) == asked
        assert reopen().jobs.jobs() == reopen().jobs.jobs("walk") == (asked,)
        assert reopen().jobs.last("walk") == asked

    def test_one_job_is_open_per_loop_and_tenant(self, jobs: JobStore) -> None:
        assert jobs.request(job(1)) == job(1)
        assert jobs.request(job(2)) == job(1)
        for other in (job(3, loop="run"), job(4, tenant="other")):
            assert jobs.request(other) == other
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        assert jobs.request(job(5)) == taken
        assert jobs.finish(ended(taken, JobState.FAILED), "w")
        assert jobs.request(job(5)) == job(5)

    def test_what_was_counted_from_an_older_job_asks_for_nothing(self, jobs: JobStore) -> None:
        self.run(jobs, job(1))
        late = jobs.request(job(2), last_seen="")
        assert (late.job_id, late.state) == (job(1).job_id, JobState.SUCCEEDED)
        assert len(jobs.jobs()) == 1
        assert jobs.request(job(2), last_seen=job(1).job_id) == job(2)
        assert jobs.request(job(3, loop="run"), last_seen="") == job(3, loop="run")

    def test_only_queued_jobs_are_requested_and_only_ended_ones_finish(
        self, jobs: JobStore
    ) -> None:
        with pytest.raises(ShouldFixArgument, match="running"):
            jobs.request(job(state=JobState.RUNNING))
        jobs.request(job())
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        with pytest.raises(ShouldFixArgument, match="is running"):
            jobs.finish(taken, "w")

    def test_a_claim_takes_the_oldest_and_counts_attempts(self, jobs: JobStore) -> None:
        assert jobs.claim("w", NOON, STALE_S) is None
        for one in (job(2), job(1, loop="run")):
            jobs.request(one)
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken == job(
            1,
            loop="run",
            state=JobState.RUNNING,
            started_at=NOON,
            heartbeat_at=NOON,
            attempts=1,
        )
        assert jobs.job(taken.job_id) == taken
        second = jobs.claim("w", NOON, STALE_S)
        assert second is not None
        assert second.job_id == job(2).job_id
        assert jobs.claim("w", NOON, STALE_S) is None

    def test_a_worker_takes_jobs_of_its_loops_alone(self, jobs: JobStore) -> None:
        jobs.request(job(1))
        assert jobs.claim("w", NOON, STALE_S, loops=("run", "ride")) is None
        assert jobs.claim("w", NOON, STALE_S, loops=("run", "walk")) is not None

    def test_a_job_is_taken_over_once_its_heart_has_stopped(self, jobs: JobStore) -> None:
        jobs.request(job())
        jobs.claim("one", NOON, STALE_S)
        assert jobs.claim("two", NOON + MINUTE, STALE_S) is None
        beat = NOON + timedelta(seconds=30)
        assert jobs.heartbeat(job().job_id, "one", beat)
        assert jobs.claim("two", beat + MINUTE, STALE_S) is None
        later = beat + MINUTE + timedelta(microseconds=1)
        taken = jobs.claim("two", later, STALE_S)
        assert taken is not None
        assert (taken.attempts, taken.started_at, taken.heartbeat_at) == (2, NOON, later)
        assert not jobs.heartbeat(job().job_id, "one", later)
        assert not jobs.finish(ended(taken, error="lost"), "one")
        assert jobs.job(taken.job_id) == taken
        assert jobs.finish(ended(taken, run_id="r"), "two")

    def test_a_clock_that_stepped_back_leaves_no_job_behind(self, jobs: JobStore) -> None:
        jobs.request(job())
        jobs.claim("one", NOON, STALE_S)
        assert jobs.claim("two", NOON - MINUTE, STALE_S) is None
        assert jobs.claim("two", NOON - timedelta(days=1), STALE_S) is not None

    def test_an_end_is_stored_once(self, jobs: JobStore, reopen: Opener) -> None:
        jobs.request(job())
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        done = ended(taken, run_id="walk-1", error="")
        assert jobs.finish(done, "w")
        assert not jobs.finish(ended(taken, JobState.FAILED, error="again"), "w")
        assert not jobs.heartbeat(done.job_id, "w", NOON)
        assert reopen().jobs.job(done.job_id) == done
        assert jobs.claim("w", NOON + timedelta(days=9), STALE_S) is None

    def test_a_job_that_is_given_back_waits_again(self, jobs: JobStore) -> None:
        jobs.request(job())
        taken = jobs.claim("one", NOON, STALE_S)
        assert taken is not None
        assert jobs.finish(
            replace(taken, state=JobState.QUEUED, attempts=0, error="stopped"), "one"
        )
        assert not jobs.heartbeat(taken.job_id, "one", NOON)
        again = jobs.claim("two", NOON, STALE_S)
        assert again is not None
        assert (again.attempts, again.error) == (1, "stopped")

    def test_jobs_are_listed_newest_first_within_a_tenant(self, jobs: JobStore) -> None:
        for number in (2, 1, 3):
            self.run(jobs, job(number))
        self.run(jobs, job(4, tenant="other"))
        self.run(jobs, job(5, loop="run"))
        assert [one.watermark for one in jobs.jobs("walk")] == [3000, 2000, 1000]
        assert [one.watermark for one in jobs.jobs(limit=2)] == [5000, 3000]
        assert jobs.jobs("walk", tenant="nobody") == ()
        assert [one.watermark for one in jobs.jobs(tenant="other")] == [4000]

    def test_the_last_job_is_the_one_with_the_largest_watermark(self, jobs: JobStore) -> None:
        assert jobs.last("walk") is None
        self.run(jobs, job(1, watermark=9))
        self.run(jobs, job(3, watermark=8))
        self.run(jobs, job(2, watermark=9))
        self.run(jobs, job(4, watermark=99, loop="run"))
        self.run(jobs, job(5, watermark=99, tenant="other"))
        found = jobs.last("walk")
        assert found is not None
        assert found.job_id == job(2).job_id

    def test_an_unknown_job_is_named(self, jobs: JobStore) -> None:
        jobs.request(job(tenant="other"))
        with pytest.raises(ShouldNameKnownId, match=job().job_id):
            jobs.job(job().job_id)
        assert not jobs.heartbeat(uuid_of(9, "job"), "w", NOON)

    def test_an_episode_is_learnable_once_its_window_has_passed(self, opened: Opened) -> None:
        jobs = opened.jobs
        for number, (loop, minutes) in enumerate(
            [("walk", 0), ("walk", 5), ("run", 0), ("walk", 1), ("walk", 9)]
        ):
            opened.log.append_episodes([episode(number, NOON + minutes * MINUTE, loop=loop)])
        opened.log.append_episodes([episode(9, tenant="other")])

        def count(after: int, until: int, closed_after: int | None, closed_until: int) -> int:
            start = None if closed_after is None else NOON + closed_after * MINUTE
            return jobs.learnable_episodes(
                "walk", after, until, start, NOON + closed_until * MINUTE
            )

        assert count(0, 5, None, 9) == 4
        assert count(0, 5, None, 8) == 3
        assert count(0, 5, None, -1) == 0
        assert count(0, 4, None, 9) == 3
        assert count(2, 5, 0, 1) == 1  # 4 came since; 2 is open still
        assert count(2, 5, 0, 5) == 2  # 2 has closed since
        assert count(2, 5, 5, 9) == 2
        assert count(5, 5, 5, 9) == 1
        assert count(5, 5, 9, 9) == 0
        assert count(5, 5, None, 9) == 4

    def test_new_episodes_are_counted_by_loop_and_ingest_number(self, opened: Opened) -> None:
        jobs = opened.jobs
        assert (jobs.last_episode(), jobs.last_episodes()) == (0, {})
        opened.log.append_episodes([episode(n) for n in range(3)])
        opened.log.append_episodes([episode(n, loop="run") for n in range(3, 5)])
        opened.log.append_episodes([episode(2), episode(5)])
        opened.log.append_episodes([episode(1, tenant="other")])
        assert (jobs.last_episode(), jobs.last_episode("other")) == (6, 1)
        assert jobs.last_episode("nobody") == 0
        assert jobs.new_episodes("walk", 0, 99) == 4
        assert jobs.new_episodes("walk", 0, 3) == 3
        assert jobs.new_episodes("walk", 2, 99) == 2
        assert jobs.new_episodes("walk", 2, 99, until=5) == 1
        assert jobs.new_episodes("run", 0, 99) == 2
        assert jobs.new_episodes("walk", 6, 99) == 0
        assert jobs.new_episodes("walk", 0, 99, tenant="other") == 1
        assert jobs.last_episodes() == {"default": 6, "other": 1}

    def test_it_is_known_since_when_episodes_wait(self, reopen: Opener) -> None:
        clock = SetClock()
        log, jobs = self.clocked(reopen, clock)
        for number in range(3):
            clock.moment = NOON + timedelta(minutes=number)
            log.append_episodes([episode(number, loop="run" if number == 1 else "walk")])
        assert jobs.waiting_since("walk", 0, 3) == NOON
        assert jobs.waiting_since("walk", 1, 3) == NOON + timedelta(minutes=2)
        assert jobs.waiting_since("walk", 1, 2) is None
        assert jobs.waiting_since("walk", 3, 9) is None

    def clocked(self, reopen: Opener, clock: SetClock) -> tuple[EventLog, JobStore]:
        opened = reopen()
        log = opened.log
        log._clock = clock
        return log, opened.jobs

    def test_requests_and_ends_are_audited(self, opened: Opened) -> None:
        opened.jobs.request(job(requested_by="key:abc"))
        opened.jobs.request(job(2))
        taken = opened.jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        opened.jobs.finish(ended(taken, run_id="walk-1"), "w")
        entries = opened.audit.entries("default")
        assert [(e.actor, e.action, e.resource) for e in entries] == [
            ("key:abc", "training.request", job().job_id),
            ("worker:w", "training.finish", job().job_id),
        ]
        assert entries[1].detail["run_id"] == "walk-1"

    def test_of_many_at_once_one_requests_and_one_claims(self, reopen: Opener) -> None:
        reopen()
        asked: list[str] = []
        taken: list[TrainingJob | None] = []
        start = threading.Barrier(6)

        def race(number: int) -> None:
            store = reopen().jobs
            start.wait()
            asked.append(store.request(job(number), last_seen="").job_id)
            taken.append(store.claim(f"w{number}", NOON, STALE_S))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(asked)) == 1
        assert len([one for one in taken if one is not None]) == 1


class TestSqliteJobStore(JobStoreSuite):
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        folder: Path = request.getfixturevalue("tmp_path")
        return lambda: _opened(open_workspace_database(folder / "state.db"))

    def test_a_process_killed_in_a_claim_leaves_the_job_to_the_next(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        jobs = SqlJobStore(open_workspace_database(path))
        jobs.request(job())
        context = multiprocessing.get_context("spawn")
        claimed = context.Event()
        worker = context.Process(target=_claim_and_hang, args=(str(path), claimed))
        worker.start()
        assert claimed.wait(60)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        assert jobs.job(job().job_id).state is JobState.QUEUED
        taken = jobs.claim("w", NOON, STALE_S)
        assert taken is not None
        assert taken.attempts == 1


class TestPostgresqlJobStore(JobStoreSuite):
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        url: str = request.getfixturevalue("postgresql_url")
        return lambda: _opened(open_database(url, Path()))


def _opened(engine: Engine) -> Opened:
    clock = SetClock()
    return Opened(
        SqlJobStore(engine, clock), SqlEventLog(engine, clock), SqlAuditLog(engine, clock)
    )


def _claim_and_hang(path: str, claimed: Event) -> None:
    """Claim within a transaction that never commits."""
    engine = open_workspace_database(path)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE training_jobs SET state = 'running', attempts = 1")
        claimed.set()
        signal.pause()
