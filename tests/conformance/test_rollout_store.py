"""What every ``RolloutStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.rollout_ports import RolloutStore
from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.storage.sql.audit import SqlAuditLog
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import writing
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.deployment_records import fill, registered
from tests.log_records import NOON, SetClock
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], RolloutStore]


def rollout(number: int = 1, **changes: Any) -> RolloutRecord:
    values: dict[str, Any] = {
        "rollout_id": f"r{number}",
        "loop": "walk",
        "candidate": f"candidate-{number}",
        "active": None,
        "state": "started",
        "traffic_percent": 1.0,
        "reasons": ("the lower bound is above the margin",),
        "recorded_at": NOON + timedelta(days=number),
    }
    values |= changes
    begun = Stay(values["state"], values["traffic_percent"], values["recorded_at"])
    return RolloutRecord(**({"history": (begun,)} | values))


class RolloutStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> RolloutStore:
        return reopen()

    def test_what_was_started_is_read_as_it_was(self, store: RolloutStore, reopen: Opener) -> None:
        record = rollout(active="m1", reasons=("é", "b"), traffic_percent=0.1 + 0.2)
        assert store.start(record) == record
        assert reopen().rollouts("walk") == (record,)

    def test_starting_again_returns_what_is_stored(self, store: RolloutStore) -> None:
        store.start(rollout())
        again = rollout(traffic_percent=50.0, recorded_at=NOON + timedelta(days=9))
        assert store.start(again) == rollout()
        assert store.rollouts("walk") == (rollout(),)

    def test_a_second_candidate_waits_without_traffic(self, store: RolloutStore) -> None:
        store.start(rollout(1))
        waiting = store.start(rollout(2))
        assert (waiting.state, waiting.traffic_percent) == ("waiting", 0.0)
        assert waiting.reasons[0] == "the lower bound is above the margin"
        assert "candidate-1" in waiting.reasons[1]
        assert store.rollouts("walk") == (waiting, rollout(1))
        assert store.start(rollout(2)) == waiting

    @pytest.mark.parametrize("state", ["refused", "waiting"])
    def test_only_a_started_one_makes_others_wait(self, store: RolloutStore, state: str) -> None:
        assert store.start(rollout(1, state=state, traffic_percent=0.0)).state == state
        assert store.start(rollout(2)).state == "started"
        assert store.start(rollout(3, state=state)) == rollout(3, state=state)

    def test_an_ended_trial_makes_room_for_the_next(
        self, store: RolloutStore, reopen: Opener
    ) -> None:
        store.start(rollout(1))
        ended = store.end("r1", "it serves")
        assert (ended.state, ended.traffic_percent) == ("ended", 0.0)
        assert ended.reasons == ("it serves", *rollout(1).reasons)
        assert reopen().rollouts("walk") == (ended,)
        assert store.end("r1", "again") == ended
        assert store.start(rollout(1)) == ended
        assert store.start(rollout(2)) == rollout(2)
        refused = store.start(rollout(3, state="refused", traffic_percent=0.0))
        assert store.end("r3", "no") == refused
        waiting = store.start(rollout(4))
        assert store.end("r4", "no more").reasons == ("no more", *waiting.reasons)
        for known, tenant in (("r9", "default"), ("r2", "other")):
            with pytest.raises(ShouldNameKnownId, match=known):
                store.end(known, "no", tenant)

    def test_loops_and_tenants_have_trials_of_their_own(self, store: RolloutStore) -> None:
        for record in (rollout(1), rollout(2, loop="run"), rollout(1, tenant="other")):
            assert store.start(record) == record
        assert store.rollouts("walk", "other") == (rollout(1, tenant="other"),)

    @pytest.mark.parametrize("live", ["shadow", "started", "paused"])
    def test_whoever_is_live_makes_others_wait(self, store: RolloutStore, live: str) -> None:
        first = store.start(rollout(1, state=live))
        waiting = store.start(rollout(2, state="shadow", traffic_percent=0.0))
        assert (first.state, waiting.state) == (live, "waiting")
        assert waiting.history == (Stay("waiting", 0.0, waiting.recorded_at),)

    def test_a_record_without_history_begins_one(self, store: RolloutStore) -> None:
        found = store.start(rollout(1, traffic_percent=5.0, history=()))
        assert found.history == (Stay("started", 5.0, found.recorded_at),)
        assert found.percent_at(found.recorded_at) == 5.0

    def test_everything_of_a_record_comes_back(self, store: RolloutStore, reopen: Opener) -> None:
        record = rollout(
            deployment_id="d1",
            previous_deployment="d0",
            step=2,
            holdout_percent=0.1 + 0.2,
            approved_by="Ann",
            approval_reason="é",
            history=(
                Stay("shadow", 0.0, NOON),
                Stay("started", 1.0, NOON + timedelta(microseconds=1)),
            ),
        )
        store.start(record)
        assert reopen().rollout("r1") == record
        with pytest.raises(ShouldNameKnownId, match="r1"):
            store.rollout("r1", "other")

    def test_each_advance_is_over_the_generation_that_it_saw(
        self, store: RolloutStore, reopen: Opener
    ) -> None:
        seen = store.start(rollout(1))
        step = replace(
            seen,
            traffic_percent=5.0,
            step=1,
            reasons=("went well",),
            history=(*seen.history, Stay("started", 5.0, NOON + timedelta(days=2))),
        )
        after = store.advance(step, "step", "went well", "cli:test")
        assert after == replace(step, generation=1)
        assert reopen().rollout("r1") == after
        for stale in (step, replace(step, generation=2)):
            with pytest.raises(ShouldResolveConflict, match="generation 1"):
                store.advance(replace(stale, traffic_percent=25.0), "step", "late", "cli:test")
        assert store.rollout("r1") == after
        with pytest.raises(ShouldNameKnownId, match="r9"):
            store.advance(replace(after, rollout_id="r9"), "step", "who", "cli:test")
        with pytest.raises(ShouldNameKnownId, match="r1"):
            store.advance(replace(after, tenant="other"), "step", "who", "cli:test")

    def test_what_is_tried_never_changes(self, store: RolloutStore) -> None:
        seen = store.start(rollout(1))
        other = replace(seen, candidate="another", loop="run", recorded_at=NOON)
        after = store.advance(other, "step", "a slip", "cli:test")
        assert after == replace(seen, generation=1)

    @pytest.mark.parametrize("over", ["promoted", "rolled_back", "ended", "refused"])
    def test_what_is_over_stays_over(self, store: RolloutStore, over: str) -> None:
        seen = store.start(rollout(1))
        after = store.advance(replace(seen, state=over), "ended", "enough", "cli:test")
        for state in ("started", over):
            with pytest.raises(ShouldResolveConflict, match="over"):
                store.advance(replace(after, state=state), "step", "again", "cli:test")
        assert store.end("r1", "again") == store.rollout("r1") == after
        assert store.start(rollout(2)).state == "started"

    def test_a_second_live_one_is_a_conflict(self, store: RolloutStore) -> None:
        first = store.start(rollout(1))
        waiting = store.start(rollout(2))
        with pytest.raises(ShouldResolveConflict, match="r1"):
            store.advance(replace(waiting, state="shadow"), "shadow", "my turn", "cli:test")
        assert store.rollout("r2") == waiting
        paused = store.advance(replace(first, state="paused"), "paused", "wait", "cli:test")
        with pytest.raises(ShouldResolveConflict, match="r1"):
            store.advance(replace(waiting, state="started"), "step", "my turn", "cli:test")
        store.advance(replace(paused, state="rolled_back"), "rolled_back", "bad", "cli:test")
        begun = store.advance(replace(waiting, state="shadow"), "shadow", "my turn", "cli:test")
        assert begun.live

    def test_an_end_is_a_stay_without_traffic(self, store: RolloutStore) -> None:
        begun = store.start(rollout(1, traffic_percent=5.0))
        ended = store.end("r1", "enough")
        assert ended.history[:-1] == begun.history
        assert (ended.history[-1].state, ended.history[-1].traffic_percent) == ("ended", 0.0)
        assert ended.generation == 1
        with pytest.raises(ShouldResolveConflict):
            store.advance(begun, "step", "late", "cli:test")

    def test_of_many_at_once_one_advances(self, reopen: Opener) -> None:
        seen = reopen().start(rollout(1))
        won: list[str] = []

        def advance(name: str) -> None:
            try:
                reopen().advance(replace(seen, approved_by=name), "step", "race", name)
            except ShouldResolveConflict:
                return
            won.append(name)

        threads = [threading.Thread(target=advance, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [reopen().rollout("r1").approved_by] == won

    def test_of_many_at_once_one_starts(self, reopen: Opener) -> None:
        reopen()
        states: list[str] = []

        def start(number: int) -> None:
            states.append(reopen().start(rollout(number)).state)

        threads = [threading.Thread(target=start, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(states) == ["started"] + ["waiting"] * 5


class SqlRolloutStoreSuite(RolloutStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        self._opened = self.engines(folder)
        return lambda: SqlRolloutStore(self._opened())

    def test_every_change_raises_the_head_and_is_told(self, store: RolloutStore) -> None:
        deployments = SqlDeploymentStore(self._opened())
        store.start(rollout(1, state="shadow", traffic_percent=0.0, deployment_id="d1"))
        assert store.start(rollout(1)).state == "shadow"  # asking again changes nothing
        begun = store.start(rollout(2))
        store.start(rollout(3, state="refused", traffic_percent=0.0))
        store.start(rollout(4, state="awaiting_approval", traffic_percent=0.0))
        assert begun.state == "waiting"
        seen = store.rollout("r1")
        store.advance(replace(seen, state="started"), "step", "1 %", "key:one", {"n": 3})
        with pytest.raises(ShouldResolveConflict):
            store.advance(seen, "hold", "late", "key:one")
        assert store.end("r1", "enough") == store.end("r1", "again")
        found = deployments.events("walk")
        assert [(event.kind, event.rollout_id) for event in found] == [
            ("shadow", "r1"),
            ("waiting", "r2"),
            ("refused", "r3"),
            ("hold", "r4"),
            ("step", "r1"),
            ("ended", "r1"),
        ]
        assert [event.sequence for event in found] == [1, 2, 3, 4, 5, 6]
        step = found[4]
        assert (step.actor, step.reason, step.evidence) == ("key:one", "1 %", {"n": 3})
        assert step.deployment_id == "d1"
        assert deployments.head("walk").revision == len(found)
        audited = SqlAuditLog(self._opened(), SetClock()).entries("default")
        assert [entry.action for entry in audited] == [f"rollout.{e.kind}" for e in found]
        assert (audited[4].actor, audited[4].resource) == ("key:one", "r1")

    def test_the_alias_follows_the_live_trial(self, store: RolloutStore) -> None:
        registry = SqlRegistry(self._opened())
        fill(registry)

        def candidate() -> str | None:
            return registry.alias("walk", "candidate")[0]

        one, two = registered(1).checkpoint_id, registered(2).checkpoint_id
        first = store.start(rollout(1, state="awaiting_approval", candidate=one))
        assert candidate() is None
        live = store.advance(replace(first, state="shadow"), "shadow", "approved", "cli:test")
        assert candidate() == one
        store.start(rollout(2, candidate=two))
        assert candidate() == one
        generation = registry.alias("walk", "candidate")[1]
        registry.set_alias("walk", "candidate", None, generation, "taken off by hand")
        live = store.advance(replace(live, state="started"), "step", "1 %", "cli:test")
        assert candidate() is None, "an operator is overruled"
        registry.set_alias("walk", "candidate", two, generation + 1, "by hand")
        store.advance(replace(live, state="rolled_back"), "rolled_back", "bad", "cli:test")
        assert candidate() == two, "another's alias is cleared"
        waiting = store.rollout("r2")
        store.advance(replace(waiting, state="started"), "step", "my turn", "cli:test")
        assert candidate() == two
        store.end("r2", "enough")
        assert candidate() is None
        store.start(rollout(3, candidate="nobody's"))
        assert candidate() is None

    def test_the_database_itself_refuses_a_second_live_one(self, store: RolloutStore) -> None:
        store.start(rollout(1))
        store.start(rollout(2))
        with pytest.raises(IntegrityError), writing(self._opened()) as connection:
            connection.execute(text("UPDATE rollouts SET state = 'paused' WHERE rollout_id = 'r2'"))


class TestSqlRolloutStore(OnSqlite, SqlRolloutStoreSuite):
    pass


class TestSqlRolloutStoreOnPostgresql(OnPostgresql, SqlRolloutStoreSuite):
    pass
