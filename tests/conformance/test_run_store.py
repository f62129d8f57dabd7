"""What every ``RunStore`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import RunRecord, StageRecord
from everloop.contracts.ports import RunStore
from everloop.storage.sql.runs import SqlRunStore
from tests.log_records import NOON
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], RunStore]


def run(number: int = 1, **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": f"walk-2026-03-{number:02}",
        "pipeline": "daily-learning",
        "loop": "walk",
        "logical_date": f"2026-03-{number:02}",
        "started_at": NOON + timedelta(days=number),
        "finished_at": None,
        "status": "running",
        "verdict": "",
        "parameters": {"window_days": 28, "seed": 7.5, "tags": ["a"], "note": None},
        "stages": (
            StageRecord("extract_episodes", "succeeded", 0.5, "10 episodes", {"rows": 10.0}),
        ),
        "report": "",
    }
    return RunRecord(**(values | changes))


class RunStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> RunStore:
        return reopen()

    def test_what_was_saved_is_read_as_it_was(self, store: RunStore, reopen: Opener) -> None:
        store.save(run())
        assert reopen().run("walk-2026-03-01") == run()

    def test_saving_again_replaces(self, store: RunStore) -> None:
        store.save(run())
        finished = run(status="succeeded", verdict="hold", finished_at=NOON + timedelta(days=2))
        store.save(finished)
        assert store.run("walk-2026-03-01") == finished
        assert store.runs() == (finished,)

    def test_runs_come_newest_first(self, store: RunStore) -> None:
        for number in (2, 3, 1):
            store.save(run(number))
        store.save(run(9, loop="jog"))
        assert store.runs() == (run(9, loop="jog"), run(3), run(2), run(1))
        assert store.runs("walk", limit=2) == (run(3), run(2))
        assert store.runs("swim") == ()

    def test_an_unknown_run_names_the_nearest(self, store: RunStore) -> None:
        for number in (1, 2, 3):
            store.save(run(number))
        store.save(run(9, run_id="other"))
        with pytest.raises(ShouldFixArgument) as refused:
            store.run("walk-2026-03-0")
        assert "'walk-2026-03-0'" in refused.value.message
        assert "walk-2026-03-03" in refused.value.remedy
        assert "other" not in refused.value.remedy
        with pytest.raises(ShouldFixArgument, match="wolk-2026-03-02") as refused:
            store.run("wolk-2026-03-02")
        assert "walk-2026-03-02" in refused.value.remedy

    def test_without_runs_the_remedy_says_how_to_list_them(self, store: RunStore) -> None:
        with pytest.raises(ShouldFixArgument, match="everloop runs list"):
            store.run("anything")


class SqlRunStoreSuite(RunStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda: SqlRunStore(engines())


class TestSqlRunStore(OnSqlite, SqlRunStoreSuite):
    pass


class TestSqlRunStoreOnPostgresql(OnPostgresql, SqlRunStoreSuite):
    pass
