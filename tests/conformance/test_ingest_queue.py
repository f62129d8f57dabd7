"""What every ``IngestQueue`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, func, select

from everloop.contracts.errors import (
    ShouldDecideAgain,
    ShouldFixEpisode,
    ShouldFixFeedback,
    ShouldFixSignal,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.contracts.rollouts import SafetyBreaker
from everloop.contracts.serving import Receipt, Submission
from everloop.storage.schema import reward_signals, training_episodes
from everloop.storage.service_tables import audit_log, decisions, feedback, interactions
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.group_commit import GroupCommit
from tests.feedback_records import decision, interaction
from tests.feedback_records import feedback as said
from tests.log_records import ANN, BEN, NOON, SetClock, episode, signal, uuid_of

TENANT = "default"


def of(actor: str = "key:one", **records: Any) -> Submission:
    return Submission(TENANT, actor, **{kind: tuple(rows) for kind, rows in records.items()})


def rows(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def count(engine: Engine, table: Table) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


class IngestQueueSuite(ABC):
    @abstractmethod
    def engine_at(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        """The database of a test."""

    @pytest.fixture
    def engine(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
        opened = self.engine_at(tmp_path, request)
        yield opened
        opened.dispose()

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock()

    @pytest.fixture
    def queue(self, engine: Engine, clock: SetClock) -> Iterator[GroupCommit]:
        opened = GroupCommit(engine, clock)
        yield opened
        opened.close()

    @pytest.fixture
    def blocked(self, engine: Engine) -> Callable[[], Any]:
        """A context in which no commit ends: what is submitted in it shares the next."""

        @contextmanager
        def hold() -> Iterator[None]:
            entered, leave = threading.Event(), threading.Event()

            def occupy() -> None:
                with writing(engine):
                    entered.set()
                    leave.wait(30)

            thread = threading.Thread(target=occupy)
            thread.start()
            entered.wait(30)
            try:
                yield
            finally:
                leave.set()
                thread.join()

        return hold

    def test_everything_of_a_submission_is_stored(self, engine: Engine, queue: GroupCommit) -> None:
        receipt = queue.submit(
            of(
                episodes=[episode(1), episode(2)],
                signals=[signal(1, of=2)],
                decisions=[decision(9)],
                interactions=[interaction(1)],
                feedback=[said(1)],
            )
        ).result(30)
        assert (receipt.new, receipt.replayed) == (6, 0)
        log = SqlEventLog(engine)
        assert [e.episode_id for e in log.episodes_of(ANN)] == sorted([uuid_of(1), uuid_of(2)])
        assert log.signals_of([uuid_of(2)])[uuid_of(2)] == (signal(1, of=2),)
        assert [count(engine, t) for t in (decisions, interactions, feedback)] == [1, 1, 1]

    def test_what_the_log_stored_is_a_replay_here(self, engine: Engine, queue: GroupCommit) -> None:
        SqlEventLog(engine, SetClock()).append_batch([episode(1)], [signal(1)])
        receipt = queue.submit(of(episodes=[episode(1)], signals=[signal(1)])).result(30)
        assert (receipt.new, receipt.replayed) == (0, 2)

    def test_a_replay_is_answered_and_changes_nothing(
        self, engine: Engine, queue: GroupCommit
    ) -> None:
        for new, replayed in ((1, 0), (0, 1)):
            receipt = queue.submit(of(episodes=[episode(1)])).result(30)
            assert (receipt.new, receipt.replayed) == (new, replayed)
        assert count(engine, training_episodes) == 1
        assert [e.action for e in SqlAuditLog(engine, SetClock()).entries(TENANT)] == [
            "episodes.append"
        ]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"episodes": [episode(1)]}, {"episodes": [episode(1, propensity=0.5)]}),
            (
                {"episodes": [episode(1)], "signals": [signal(1)]},
                {"signals": [signal(1, value=0.25)]},
            ),
            (
                {"decisions": [decision(1)]},
                {"decisions": [replace(decision(1), request_sha256="cd" * 32)]},
            ),
            (
                {"interactions": [interaction(1)]},
                {"interactions": [interaction(1, persona="other")]},
            ),
            (
                {"interactions": [interaction(1)], "feedback": [said(1)]},
                {"feedback": [said(1, raw_value=False, value=False)]},
            ),
        ],
    )
    def test_the_same_id_with_another_payload_is_a_conflict(
        self, queue: GroupCommit, first: Any, second: Any
    ) -> None:
        queue.submit(of(**first)).result(30)
        with pytest.raises(ShouldResolveConflict):
            queue.submit(of(**second)).result(30)

    def test_a_refused_submission_leaves_nothing(self, engine: Engine, queue: GroupCommit) -> None:
        orphan = of(episodes=[episode(1)], signals=[signal(1, of=1), signal(2, of=7)])
        with pytest.raises(ShouldFixSignal, match=uuid_of(7)):
            queue.submit(orphan).result(30)
        with pytest.raises(ShouldFixFeedback, match="log_id"):
            queue.submit(of(feedback=[said(1, of=5)])).result(30)
        tables = (training_episodes, reward_signals, feedback, audit_log)
        assert [count(engine, table) for table in tables] == [0, 0, 0, 0]

    def test_a_refusal_does_not_touch_its_company(
        self, engine: Engine, queue: GroupCommit, blocked: Callable[[], Any]
    ) -> None:
        queue.submit(of(episodes=[episode(1)])).result(30)
        with blocked():
            good = queue.submit(of(episodes=[episode(2)]))
            conflict = queue.submit(of(episodes=[episode(3), episode(1, propensity=0.9)]))
            uses_refused = queue.submit(of(signals=[signal(1, of=3)]))
            uses_stored = queue.submit(of(signals=[signal(2, of=2)]))
        assert good.result(30).new == 1
        assert uses_stored.result(30).new == 1
        with pytest.raises(ShouldResolveConflict):
            conflict.result(30)
        with pytest.raises(ShouldFixSignal):
            uses_refused.result(30)
        assert {row["episode_id"] for row in rows(engine, training_episodes)} == {
            uuid_of(1),
            uuid_of(2),
        }

    def test_twice_in_one_commit_is_stored_once(
        self, engine: Engine, queue: GroupCommit, blocked: Callable[[], Any]
    ) -> None:
        with blocked():
            futures = [queue.submit(of(episodes=[episode(1)])) for _ in range(3)]
            other = queue.submit(of(episodes=[episode(1, propensity=1.0)]))
        assert sorted(f.result(30).new for f in futures) == [0, 0, 1]
        with pytest.raises(ShouldResolveConflict):
            other.result(30)
        assert count(engine, training_episodes) == 1

    def test_numbers_have_no_gaps_and_the_audit_log_names_them(
        self, engine: Engine, queue: GroupCommit, blocked: Callable[[], Any]
    ) -> None:
        with blocked():
            for number in range(12):
                actor = "key:even" if number % 2 == 0 else "key:odd"
                queue.submit(of(actor, episodes=[episode(number)]))
            last = queue.submit(of("key:odd", signals=[signal(1, of=3)]))
        last.result(30)
        assert sorted(row["seq"] for row in rows(engine, training_episodes)) == [*range(1, 13)]
        covered: list[int] = []
        for entry in SqlAuditLog(engine, SetClock()).entries(TENANT):
            first, _, end = entry.resource.partition("..")
            numbers = range(int(first), int(end) + 1)
            assert len(numbers) == entry.rows
            if entry.action == "episodes.append":
                covered.extend(numbers)
        assert sorted(covered) == [*range(1, 13)]

    def test_tenants_do_not_meet(self, engine: Engine, queue: GroupCommit) -> None:
        queue.submit(of(episodes=[episode(1)])).result(30)
        other = Submission("other", "key:two", signals=(signal(1, tenant="other"),))
        with pytest.raises(ShouldFixSignal):
            queue.submit(other).result(30)
        same_id = Submission(
            "other", "key:two", episodes=(episode(1, tenant="other", arm="active"),)
        )
        assert queue.submit(same_id).result(30).new == 1

    def test_a_decision_asked_again_is_the_stored_one(self, queue: GroupCommit) -> None:
        first = decision(1, action_taken="left")
        again = replace(first, action_taken="right", propensity=0.125)
        assert queue.submit(of(decisions=[first])).result(30).decisions == (first,)
        assert queue.submit(of(decisions=[again])).result(30).decisions == (first,)

    def test_decisions_of_what_no_longer_serves_are_refused(
        self, engine: Engine, queue: GroupCommit
    ) -> None:
        deployments = SqlDeploymentStore(engine)

        def decided(number: int, **under: int) -> Submission:
            return replace(of(decisions=[decision(number)]), decided_under=under)

        assert queue.submit(decided(1, walk=0)).result(30).new == 1
        opened = SafetyBreaker(True, "harm")
        deployments.set_breaker("walk", opened, 0, "cli:test", TENANT)
        with pytest.raises(ShouldDecideAgain, match="from revision 0 to 1"):
            queue.submit(decided(2, walk=0)).result(30)
        with pytest.raises(ShouldDecideAgain):  # nobody has been there yet
            queue.submit(decided(2, walk=2)).result(30)
        assert count(engine, decisions) == 1
        assert queue.submit(decided(2, walk=1)).result(30).new == 1
        assert queue.submit(decided(3, run=7)).result(30).new == 1, "it names no revision of walk"
        assert queue.figures.refused == 2

    def test_a_replayed_decision_is_answered_whatever_serves(
        self, engine: Engine, queue: GroupCommit
    ) -> None:
        deployments = SqlDeploymentStore(engine)
        first = decision(1, action_taken="left")
        queue.submit(replace(of(decisions=[first]), decided_under={"walk": 0})).result(30)
        deployments.set_breaker("walk", SafetyBreaker(True, "harm"), 0, "cli:test", TENANT)
        again = replace(of(decisions=[replace(first, action_taken="right")]))
        stale = replace(again, decided_under={"walk": 0})
        assert queue.submit(stale).result(30).decisions == (first,)
        mixed = replace(of(decisions=[first, decision(2)]), decided_under={"walk": 0})
        with pytest.raises(ShouldDecideAgain):
            queue.submit(mixed).result(30)
        assert count(engine, decisions) == 1, "a part of a refused submission is stored"

    def test_a_stale_decision_takes_nobody_with_it(
        self, engine: Engine, queue: GroupCommit, blocked: Callable[[], Any]
    ) -> None:
        SqlDeploymentStore(engine).set_breaker(
            "walk", SafetyBreaker(True, "harm"), 0, "cli:test", TENANT
        )
        with blocked():
            futures = [
                queue.submit(replace(of(decisions=[decision(n)]), decided_under=under))
                for n, under in enumerate(({"walk": 0}, {"walk": 1}, {}, {"walk": 2}))
            ]
            other = Submission(
                "other",
                "key:two",
                decisions=(decision(1, tenant="other"),),
                decided_under={"walk": 0},
            )
            theirs = queue.submit(other)
            elsewhere = replace(of(decisions=[decision(9, loop="run")]), decided_under={"run": 0})
            apart = queue.submit(elsewhere)
        for stale in (futures[0], futures[3]):
            with pytest.raises(ShouldDecideAgain):
                stale.result(30)
        assert [f.result(30).new for f in (futures[1], futures[2], theirs, apart)] == [1] * 4

    def test_an_episode_is_what_was_decided_under_its_id(self, queue: GroupCommit) -> None:
        decided = decision(1)
        queue.submit(of(decisions=[decided])).result(30)
        logged = episode(
            1,
            user_id=decided.user_id,
            action_taken=decided.action_taken,
            propensity=decided.propensity,
            model_version=decided.model_version,
            valid_actions=decided.valid_actions,
        )
        for change in ({"propensity": 0.9}, {"user_id": BEN}, {"model_version": "v9"}):
            with pytest.raises(ShouldResolveConflict, match="decided"):
                queue.submit(of(episodes=[replace(logged, **change)])).result(30)
        assert queue.submit(of(episodes=[logged])).result(30).new == 1

    def test_a_replay_may_be_judged_otherwise(self, queue: GroupCommit) -> None:
        queue.submit(of(interactions=[interaction(1)], feedback=[said(1)])).result(30)
        rejudged = said(1, quality=0.25, confidence=0.5, quality_reasons=("rapid",))
        assert queue.submit(of(feedback=[rejudged])).result(30).replayed == 1

    def test_the_future_is_refused_and_the_clock_never_falls(
        self, engine: Engine, queue: GroupCommit, clock: SetClock
    ) -> None:
        with pytest.raises(ShouldFixEpisode, match="ahead"):
            queue.submit(of(episodes=[episode(1, at=clock.moment + timedelta(minutes=6))])).result(
                30
            )
        queue.submit(of(episodes=[episode(2, at=NOON)])).result(30)
        before = clock.moment
        clock.moment = before - timedelta(hours=1)
        queue.submit(of(episodes=[episode(3, at=before)])).result(30)
        stored = {row["episode_id"]: row["ingested_at"] for row in rows(engine, training_episodes)}
        assert stored[uuid_of(3)] == before

    def test_a_full_queue_says_come_back(
        self, engine: Engine, clock: SetClock, blocked: Callable[[], Any]
    ) -> None:
        queue = GroupCommit(engine, clock, limit=10)
        futures: list[Future[Receipt]] = []
        with blocked():
            refused = None
            for number in range(40):
                try:
                    futures.append(queue.submit(of(episodes=[episode(number)])))
                except ShouldRetryLater as full:
                    refused = full
        assert refused is not None
        assert "limit is 10" in refused.message
        assert refused.retry_after > 0
        assert not wait(futures, 30).not_done
        assert count(engine, training_episodes) == len(futures)
        queue.close()

    def test_closing_stores_what_waits(self, engine: Engine, clock: SetClock) -> None:
        queue = GroupCommit(engine, clock, linger_s=0.2)
        futures = [queue.submit(of(episodes=[episode(n)])) for n in range(5)]
        queue.close()
        assert [f.result(0).new for f in futures] == [1] * 5
        with pytest.raises(ShouldRetryLater, match="stopping"):
            queue.submit(of(episodes=[episode(6)]))
        queue.close()

    def test_many_threads_lose_and_double_nothing(self, engine: Engine, queue: GroupCommit) -> None:
        acknowledged: list[int] = []

        def send(start: int) -> None:
            for number in range(start, start + 50):
                # every second one was sent by another thread too
                shared = number if number % 2 else number % 50
                queue.submit(of(episodes=[episode(shared)])).result(60)
                acknowledged.append(shared)

        threads = [threading.Thread(target=send, args=(start,)) for start in (0, 100, 200, 300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(acknowledged) == 200
        stored = [row["episode_id"] for row in rows(engine, training_episodes)]
        assert sorted(stored) == sorted({uuid_of(number) for number in acknowledged})


class TestOnSqlite(IngestQueueSuite):
    def engine_at(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database("", folder / "state.db")


class TestOnPostgresql(IngestQueueSuite):
    def engine_at(self, folder: Path, request: pytest.FixtureRequest) -> Engine:
        return open_database(request.getfixturevalue("postgresql_url"), folder)
