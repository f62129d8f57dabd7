"""What every ``Registry`` must do."""

from __future__ import annotations

import dataclasses
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import Clock, Registry
from everloop.storage.sql.registry import SqlRegistry
from tests.log_records import SetClock, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

TRAINED = datetime(2026, 3, 10, 4, tzinfo=UTC)
Opener = Callable[[Clock], Registry]


def checkpoint(number: int = 1, **changes: Any) -> ModelCheckpoint:
    values: dict[str, Any] = {
        "checkpoint_id": uuid_of(number, "checkpoint"),
        "model_type": ModelType.INTERVENTION,
        "loop": "walk",
        "weights_url": "blob:sha256/" + "a" * 64,
        "weights_sha256": "a" * 64,
        "performance_metrics": {"value": 0.1 + 0.2, "n": 200.0},
        "training_date": TRAINED + timedelta(days=number),
        "provenance": Provenance.PRIVATE_RELEASE,
        "lineage": {"dataset": "d" * 64, "seed": "7"},
        "verdict": "continue",
        "files": {"policy.onnx": "a" * 64, "card.json": "b" * 64},
    }
    return ModelCheckpoint(**(values | changes))


ONE, TWO = checkpoint(1).checkpoint_id, checkpoint(2).checkpoint_id


class RegistrySuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same registry again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def registry(self, reopen: Opener) -> Registry:
        return reopen(SetClock(TRAINED))

    def test_starts_empty(self, registry: Registry) -> None:
        assert registry.checkpoints("walk") == ()
        assert registry.alias("walk", "active") == (None, 0)
        assert registry.deployment_log("walk") == ()

    def test_what_was_registered_is_read_as_it_was(
        self, registry: Registry, reopen: Opener
    ) -> None:
        assert registry.register(checkpoint()) == checkpoint()
        assert reopen(SetClock()).checkpoint(ONE) == checkpoint()

    def test_registering_does_not_deploy(self, registry: Registry) -> None:
        assert registry.register(checkpoint(active=True)).active is False
        assert registry.checkpoint(ONE).active is False

    def test_registering_again_returns_the_first(self, registry: Registry) -> None:
        registry.register(checkpoint())
        registry.set_alias("walk", "active", ONE, 0, "first")
        later = checkpoint(training_date=TRAINED + timedelta(days=9))
        assert registry.register(later) == checkpoint(active=True)
        assert registry.checkpoints("walk") == (checkpoint(active=True),)

    @pytest.mark.parametrize(
        "changed",
        [
            {"weights_sha256": "c" * 64},
            {"performance_metrics": {"value": 0.3}},
            {"lineage": {"dataset": "e" * 64}},
            {"verdict": "hold"},
            {"tenant": "other"},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_another_payload_under_an_id_is_a_conflict(
        self, registry: Registry, changed: dict[str, Any]
    ) -> None:
        registry.register(checkpoint())
        with pytest.raises(ShouldResolveConflict, match=ONE):
            registry.register(checkpoint(**changed))
        assert registry.checkpoint(ONE) == checkpoint()

    def test_an_unknown_checkpoint_is_named(self, registry: Registry) -> None:
        with pytest.raises(ShouldRestoreArtefact, match=TWO):
            registry.checkpoint(TWO)

    def test_checkpoints_come_newest_first_and_by_loop_and_tenant(self, registry: Registry) -> None:
        for one in (
            checkpoint(2),
            checkpoint(3),
            checkpoint(1),
            checkpoint(4, loop="run"),
            checkpoint(5, tenant="other"),
        ):
            registry.register(one)
        found = [c.checkpoint_id for c in registry.checkpoints("walk")]
        assert found == [uuid_of(n, "checkpoint") for n in (3, 2, 1)]
        assert [c.loop for c in registry.checkpoints("run")] == ["run"]
        assert registry.loops() == ("run", "walk")
        assert registry.loops("nobody") == ()
        assert len(registry.checkpoints("walk", "other")) == 1

    def test_an_alias_moves_with_its_generation(self, registry: Registry) -> None:
        registry.register(checkpoint(1))
        registry.register(checkpoint(2))
        assert registry.set_alias("walk", "active", ONE, 0, "first") == 1
        assert registry.set_alias("walk", "active", TWO, 1, "better") == 2
        assert registry.alias("walk", "active") == (TWO, 2)
        assert registry.alias("walk", "candidate") == (None, 0)
        assert registry.alias("walk", "active", "other") == (None, 0)
        assert registry.set_alias("walk", "active", None, 2, "withdrawn") == 3
        assert registry.alias("walk", "active") == (None, 3)

    def test_active_follows_the_active_alias_alone(self, registry: Registry) -> None:
        registry.register(checkpoint(1))
        registry.register(checkpoint(2))
        registry.set_alias("walk", "active", ONE, 0, "first")
        registry.set_alias("walk", "candidate", TWO, 0, "on trial")
        assert (registry.checkpoint(ONE).active, registry.checkpoint(TWO).active) == (True, False)
        registry.set_alias("walk", "active", TWO, 1, "better")
        assert (registry.checkpoint(ONE).active, registry.checkpoint(TWO).active) == (False, True)
        registry.set_alias("walk", "active", None, 2, "withdrawn")
        assert [c.active for c in registry.checkpoints("walk")] == [False, False]

    @pytest.mark.parametrize("expected", [0, 2])
    def test_a_lost_compare_and_set_changes_nothing(
        self, registry: Registry, expected: int
    ) -> None:
        registry.register(checkpoint(1))
        registry.register(checkpoint(2))
        registry.set_alias("walk", "active", ONE, 0, "first")
        with pytest.raises(ShouldResolveConflict, match="generation 1"):
            registry.set_alias("walk", "active", TWO, expected, "late")
        assert registry.alias("walk", "active") == (ONE, 1)
        assert len(registry.deployment_log("walk")) == 1

    def test_an_alias_points_at_no_stranger(self, registry: Registry) -> None:
        registry.register(checkpoint(1, loop="run"))
        registry.register(checkpoint(2, tenant="other"))
        for stranger in (ONE, TWO, uuid_of(3, "checkpoint")):
            with pytest.raises(ShouldRestoreArtefact, match=stranger):
                registry.set_alias("walk", "active", stranger, 0, "wrong")
        assert registry.alias("walk", "active") == (None, 0)

    def test_the_log_tells_every_change_and_repetition(
        self, registry: Registry, reopen: Opener
    ) -> None:
        registry.register(checkpoint(1))
        registry.set_alias("walk", "active", ONE, 0, "first")
        reopen(SetClock(TRAINED + timedelta(hours=1))).set_alias(
            "walk", "active", ONE, 1, "confirmed"
        )
        assert registry.deployment_log("walk") == (
            {
                "alias": "active",
                "generation": 1,
                "checkpoint_id": ONE,
                "previous_checkpoint_id": None,
                "reason": "first",
                "recorded_at": "2026-03-10T04:00:00+00:00",
            },
            {
                "alias": "active",
                "generation": 2,
                "checkpoint_id": ONE,
                "previous_checkpoint_id": ONE,
                "reason": "confirmed",
                "recorded_at": "2026-03-10T05:00:00+00:00",
            },
        )
        assert registry.deployment_log("walk", "other") == ()
        assert registry.deployment_log("run") == ()

    def test_of_many_at_once_one_wins_each_generation(self, reopen: Opener) -> None:
        reopen(SetClock()).register(checkpoint(1))
        won: list[int] = []

        def race() -> None:
            registry = reopen(SetClock())
            for generation in range(10):
                try:
                    won.append(registry.set_alias("walk", "active", ONE, generation, "race"))
                except ShouldResolveConflict:
                    continue

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        registry = reopen(SetClock())
        assert len(won) == len(set(won)) == registry.alias("walk", "active")[1]
        assert len(registry.deployment_log("walk")) == len(won)

    def test_fields_added_later_do_not_break_replays(self, registry: Registry) -> None:
        registry.register(checkpoint())
        newer = dataclasses.replace(checkpoint(), schema_version=2)
        assert registry.register(newer).schema_version == 1


class SqlRegistrySuite(RegistrySuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda clock: SqlRegistry(engines(), clock)


class TestSqlRegistry(OnSqlite, SqlRegistrySuite):
    pass


class TestSqlRegistryOnPostgresql(OnPostgresql, SqlRegistrySuite):
    pass
