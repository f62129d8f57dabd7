"""What every ``RolloutStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.rollout_ports import RolloutStore
from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.log_records import NOON
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
        engines = self.engines(folder)
        return lambda: SqlRolloutStore(engines())


class TestSqlRolloutStore(OnSqlite, SqlRolloutStoreSuite):
    pass


class TestSqlRolloutStoreOnPostgresql(OnPostgresql, SqlRolloutStoreSuite):
    pass
