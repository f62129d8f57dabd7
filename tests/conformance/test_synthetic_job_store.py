"""What every ``SyntheticJobStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldSlowDown,
)
from everloop.contracts.service_ports import AuditLog
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import (
    MOST_OPEN_JOBS,
    AugmentParameters,
    FileFormat,
    GenerateParameters,
    JobOutput,
    SyntheticJob,
    SyntheticJobStore,
    SyntheticKind,
    UsedRelease,
)
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.engine import open_database, open_workspace_database
from everloop.storage.sql.synthetic_jobs import SqlSyntheticJobStore
from tests.log_records import NOON, SetClock, uuid_of

STALE_S = 60.0
MINUTE = timedelta(minutes=1)
FILE = JobOutput("profiles.parquet", "blob:abc", "a" * 64, 10, 2000)


@dataclass(frozen=True)
class Opened:
    jobs: SyntheticJobStore
    audit: AuditLog


Opener = Callable[[], Opened]


def parameters(**changes: Any) -> GenerateParameters:
    values: dict[str, Any] = {
        "n": 10,
        "seed": 7,
        "edge_share": 0.05,
        "variance": 1.0,
        "days": 30,
        "format": FileFormat.PARQUET,
        "start": date(2026, 3, 2),
    }
    return GenerateParameters(**(values | changes))


def job(number: int = 1, **changes: Any) -> SyntheticJob:
    values: dict[str, Any] = {
        "job_id": uuid_of(number, "synthetic"),
        "tenant": "default",
        "loop": "walk",
        "state": JobState.QUEUED,
        "requested_by": "key:abc",
        "parameters": parameters(seed=number),
        "spec_sha256": "b" * 64,
        "created_at": NOON + timedelta(hours=number, microseconds=7),
        "releases": (
            UsedRelease("profiles", "c" * 32, date(2026, 3, 1)),
            UsedRelease("user_model", "d" * 32, date(2026, 3, 1)),
        ),
        "total": 10,
    }
    return SyntheticJob(**(values | changes))


def ended(one: SyntheticJob, state: JobState = JobState.SUCCEEDED, **changes: Any) -> SyntheticJob:
    return replace(one, state=state, finished_at=NOON + timedelta(hours=9), **changes)


class SyntheticJobStoreSuite(ABC):
    @abstractmethod
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, request: pytest.FixtureRequest) -> Opener:
        return self.opener(request)

    @pytest.fixture
    def opened(self, reopen: Opener) -> Opened:
        return reopen()

    @pytest.fixture
    def jobs(self, opened: Opened) -> SyntheticJobStore:
        return opened.jobs

    def claimed(self, jobs: SyntheticJobStore, worker: str = "w", **more: Any) -> SyntheticJob:
        taken = jobs.claim(worker, NOON, STALE_S, **more)
        assert taken is not None
        return taken

    def test_a_requested_job_is_read_as_it_was(
        self, jobs: SyntheticJobStore, reopen: Opener
    ) -> None:
        made = job(parameters=parameters(variance=0.5, format=FileFormat.JSON))
        inside = job(
            2, parameters=AugmentParameters(3, 2**53 - 1, date(2026, 3, 1)), releases=(), total=0
        )
        for one in (made, inside):
            assert jobs.request(one) == one
            assert reopen().jobs.job(one.job_id) == one
        assert reopen().jobs.jobs() == reopen().jobs.jobs("walk") == (inside, made)
        assert (made.kind, inside.kind) == (SyntheticKind.GENERATE, SyntheticKind.AUGMENT)

    def test_the_same_request_is_the_same_job(self, jobs: SyntheticJobStore) -> None:
        assert jobs.request(job()) == job()
        # the same id; and another id for the same while it is open
        assert jobs.request(job(created_at=NOON)) == job()
        assert jobs.request(job(2, parameters=job().parameters)) == job()
        # anything else is another job
        for number, changes in enumerate(
            (
                {"loop": "run"},
                {"tenant": "other"},
                {"spec_sha256": "e" * 64},
                {"releases": job().releases[:1]},
                {"parameters": parameters(seed=1, days=3)},
            ),
            start=3,
        ):
            another = job(number, **({"parameters": job().parameters} | changes))
            assert jobs.request(another) == another

    def test_an_id_keeps_what_was_asked_and_its_end(self, jobs: SyntheticJobStore) -> None:
        jobs.request(job())
        for changes in (
            {"parameters": parameters(seed=99)},
            {"loop": "run"},
            {"tenant": "other"},
        ):
            with pytest.raises(ShouldResolveConflict, match=job().job_id):
                jobs.request(job(**changes))
        done = ended(self.claimed(jobs), outputs=(FILE,), done=10)
        assert jobs.finish(done, "w")
        assert jobs.request(job(releases=())) == done
        assert jobs.request(job(2, parameters=job().parameters)).job_id == job(2).job_id

    def test_a_tenant_s_queue_has_an_end(self, jobs: SyntheticJobStore) -> None:
        for number in range(MOST_OPEN_JOBS):
            jobs.request(job(number))
        with pytest.raises(ShouldSlowDown, match="20 may"):
            jobs.request(job(MOST_OPEN_JOBS))
        assert jobs.request(job(3)) == job(3)
        assert jobs.request(job(50, tenant="other")) == job(50, tenant="other")
        jobs.finish(ended(self.claimed(jobs), JobState.FAILED), "w")
        assert jobs.request(job(MOST_OPEN_JOBS)) == job(MOST_OPEN_JOBS)

    def test_a_claim_takes_the_oldest_of_its_loops(self, jobs: SyntheticJobStore) -> None:
        assert jobs.claim("w", NOON, STALE_S) is None
        for one in (job(3), job(1, loop="run"), job(2)):
            jobs.request(one)
        taken = self.claimed(jobs, loops=("walk",))
        assert taken == job(
            2, state=JobState.RUNNING, started_at=NOON, heartbeat_at=NOON, attempts=1
        )
        assert self.claimed(jobs, job_id=job(3).job_id).job_id == job(3).job_id
        assert jobs.claim("w", NOON, STALE_S, job_id=job(3).job_id) is None
        assert self.claimed(jobs).job_id == job(1).job_id

    def test_a_job_is_taken_over_once_its_heart_has_stopped(self, jobs: SyntheticJobStore) -> None:
        jobs.request(job())
        self.claimed(jobs, "one")
        beat = NOON + timedelta(seconds=30)
        assert jobs.progress(job().job_id, "one", 4, 10, beat)
        assert jobs.claim("two", beat + MINUTE, STALE_S) is None
        later = beat + MINUTE + timedelta(microseconds=1)
        taken = jobs.claim("two", later, STALE_S)
        assert taken is not None
        assert (taken.attempts, taken.done, taken.heartbeat_at) == (2, 4, later)
        assert not jobs.heartbeat(job().job_id, "one", later)
        assert not jobs.progress(job().job_id, "one", 5, 10, later)
        assert not jobs.finish(ended(taken), "one")
        assert jobs.job(taken.job_id) == taken
        assert jobs.heartbeat(job().job_id, "two", later)
        assert jobs.finish(ended(taken), "two")

    def test_an_end_is_stored_once_with_its_files(
        self, jobs: SyntheticJobStore, reopen: Opener
    ) -> None:
        jobs.request(job())
        taken = self.claimed(jobs)
        with pytest.raises(ShouldFixArgument, match="is running"):
            jobs.finish(taken, "w")
        done = ended(taken, done=10, outputs=(FILE,))
        assert jobs.finish(done, "w")
        assert not jobs.finish(ended(taken, JobState.FAILED, error="again"), "w")
        assert not jobs.progress(done.job_id, "w", 1, 10, NOON)
        assert reopen().jobs.job(done.job_id) == done

    def test_a_job_that_is_given_back_waits_again(self, jobs: SyntheticJobStore) -> None:
        jobs.request(job())
        taken = self.claimed(jobs, "one")
        back = replace(taken, state=JobState.QUEUED, attempts=0, error="stopped")
        assert jobs.finish(back, "one")
        assert not jobs.heartbeat(taken.job_id, "one", NOON)
        again = self.claimed(jobs, "two")
        assert (again.attempts, again.error) == (1, "stopped")

    def test_jobs_are_listed_newest_first_within_a_tenant(self, jobs: SyntheticJobStore) -> None:
        for one in (job(2), job(1), job(3, loop="run"), job(4, tenant="other")):
            jobs.request(one)
        assert [one.parameters.seed for one in jobs.jobs()] == [3, 2, 1]
        assert [one.parameters.seed for one in jobs.jobs("walk", limit=1)] == [2]
        assert jobs.jobs(tenant="nobody") == ()
        with pytest.raises(ShouldNameKnownId, match=job(4).job_id):
            jobs.job(job(4).job_id)

    def test_only_queued_jobs_are_requested(self, jobs: SyntheticJobStore) -> None:
        with pytest.raises(ShouldFixArgument, match="running"):
            jobs.request(job(state=JobState.RUNNING))

    def test_requests_and_ends_are_audited(self, opened: Opened) -> None:
        opened.jobs.request(job())
        opened.jobs.request(job())
        opened.jobs.finish(ended(self.claimed(opened.jobs)), "w")
        entries = opened.audit.entries("default")
        assert [(e.actor, e.action, e.resource) for e in entries] == [
            ("key:abc", "synthetic.request", job().job_id),
            ("worker:w", "synthetic.finish", job().job_id),
        ]
        assert entries[0].detail["parameters"]["n"] == 10  # type: ignore[index,call-overload]

    def test_of_many_at_once_one_requests_and_one_claims(self, reopen: Opener) -> None:
        reopen()
        asked: list[str] = []
        taken: list[SyntheticJob | None] = []
        start = threading.Barrier(6)

        def race(number: int) -> None:
            store = reopen().jobs
            start.wait()
            asked.append(store.request(job(number, parameters=parameters())).job_id)
            taken.append(store.claim(f"w{number}", NOON, STALE_S))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(asked)) == 1
        assert len([one for one in taken if one is not None]) == 1


class TestSqliteSyntheticJobStore(SyntheticJobStoreSuite):
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        folder: Path = request.getfixturevalue("tmp_path")
        return lambda: _opened(open_workspace_database(folder / "state.db"))


class TestPostgresqlSyntheticJobStore(SyntheticJobStoreSuite):
    def opener(self, request: pytest.FixtureRequest) -> Opener:
        url: str = request.getfixturevalue("postgresql_url")
        return lambda: _opened(open_database(url, Path()))


def _opened(engine: Engine) -> Opened:
    clock = SetClock()
    return Opened(SqlSyntheticJobStore(engine, clock), SqlAuditLog(engine, clock))


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 0},
        {"n": 1_000_001},
        {"seed": -1},
        {"seed": 2**53},
        {"edge_share": 1.1},
        {"edge_share": float("nan")},
        {"variance": 0.0},
        {"variance": 4.1},
        {"days": 0},
        {"days": 367},
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument, match=next(iter(changes))):
        parameters(**changes)


def test_an_augmentation_names_no_file() -> None:
    for copies in (0, 101):
        with pytest.raises(ShouldFixArgument, match="per_person"):
            AugmentParameters(copies, 1, date(2026, 3, 1))
    with pytest.raises(ShouldFixArgument, match="stays inside"):
        job(parameters=AugmentParameters(1, 1, date(2026, 3, 1)), outputs=(FILE,))
