"""What every ``TallyStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.rollout_ports import TallyStore
from everloop.contracts.rollouts import TrialTally
from everloop.storage.sql.tallies import SqlTallyStore
from tests.log_records import NOON
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], TallyStore]


def tally(worker: str = "w-1", **changes: Any) -> TrialTally:
    values: dict[str, Any] = {
        "rollout_id": "r-1",
        "phase": "shadow",
        "worker": worker,
        "asked": 12,
        "failed": 1,
        "invalid": 2,
        "dropped": 3,
        "agreed": 4,
        "actions": {"wait": 5, "é": 1},
        "active_actions": {"wait": 6},
        "latency": {"0.5": 7, "inf": 1},
    }
    return TrialTally(**(values | changes))


class TallyStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> TallyStore:
        return reopen()

    def test_what_was_counted_is_read_as_it_was(self, store: TallyStore, reopen: Opener) -> None:
        store.add(tally(), NOON)
        assert reopen().tallies("r-1", "shadow") == (tally(),)

    def test_newer_counts_take_the_place_of_a_workers_earlier_ones(self, store: TallyStore) -> None:
        store.add(tally(), NOON)
        store.add(tally(asked=99, actions={"walk": 80}), NOON)
        assert store.tallies("r-1", "shadow") == (tally(asked=99, actions={"walk": 80}),)

    def test_every_worker_has_its_own_and_one_that_is_gone_still_counts(
        self, store: TallyStore
    ) -> None:
        store.add(tally("w-2", asked=7), NOON)
        store.add(tally("w-1"), NOON)
        assert store.tallies("r-1", "shadow") == (tally("w-1"), tally("w-2", asked=7))

    def test_rollouts_phases_and_tenants_are_apart(self, store: TallyStore) -> None:
        for other in ({"rollout_id": "r-2"}, {"phase": "trial"}, {"tenant": "other"}):
            store.add(tally(**other), NOON)
        assert store.tallies("r-1", "shadow") == ()
        assert store.tallies("r-1", "trial") == (tally(phase="trial"),)
        assert store.tallies("r-2", "shadow") == (tally(rollout_id="r-2"),)
        assert store.tallies("r-1", "shadow", "other") == (tally(tenant="other"),)

    def test_workers_that_write_at_once_lose_nothing(self, reopen: Opener) -> None:
        reopen()

        def count(number: int) -> None:
            store = reopen()
            for asked in range(1, 6):
                store.add(tally(f"w-{number}", asked=asked), NOON)

        threads = [threading.Thread(target=count, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [t.asked for t in reopen().tallies("r-1", "shadow")] == [5] * 4


class SqlTallyStoreSuite(TallyStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda: SqlTallyStore(engines())


class TestSqlTallyStore(OnSqlite, SqlTallyStoreSuite):
    pass


class TestSqlTallyStoreOnPostgresql(OnPostgresql, SqlTallyStoreSuite):
    pass
