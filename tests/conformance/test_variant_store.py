"""What every ``VariantStore`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
)
from everloop.contracts.evaluation import Estimate
from everloop.contracts.rollout_ports import VariantStore
from everloop.contracts.variants import (
    Exposure,
    PersonaPerformanceMetrics,
    PersonaVariant,
    VariantExperiment,
)
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.variants import SqlVariantStore
from tests.log_records import ANN, NOON, uuid_of
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[], VariantStore]
BOB = "b" * 64


def experiment(number: int = 1, base: str = "guide", tenant: str = "default") -> VariantExperiment:
    return VariantExperiment(
        uuid_of(number, "experiment"),
        "walk",
        "persona",
        (
            PersonaVariant(base, base, {}, 60.0),
            PersonaVariant(base, "warm", {"warmth": 0.8, "é": [1, None]}, 40.0),
        ),
        NOON + timedelta(days=number),
        tenant=tenant,
    )


def met(number: int = 1, person: str = ANN, variant: str = "warm", minutes: int = 0) -> Exposure:
    at = NOON + timedelta(minutes=minutes)
    return Exposure(uuid_of(number, "experiment"), person, variant, at)


class VariantStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def store(self, reopen: Opener) -> VariantStore:
        return reopen()

    def test_what_was_created_is_read_as_it_was(self, store: VariantStore, reopen: Opener) -> None:
        made = experiment()
        assert store.create(made, "cli:ann") == made
        assert reopen().experiment(made.experiment_id) == made
        later = replace(made, started_at=made.started_at + timedelta(hours=1))
        assert store.create(later, "cli:ann") == made

    def test_figures_are_never_stored(self, store: VariantStore) -> None:
        base, warm = experiment().variants
        rated = PersonaPerformanceMetrics(3, 4, Estimate("warm", 0.5, 0.1, 0.9, 0.95, 4, 3, "t"))
        shown = replace(experiment(), variants=(base, replace(warm, metrics=rated)))
        assert store.create(shown, "cli:ann") == experiment()

    def test_an_id_is_of_one_experiment(self, store: VariantStore) -> None:
        store.create(experiment(), "cli:ann")
        with pytest.raises(ShouldResolveConflict, match="other terms"):
            store.create(replace(experiment(), alpha=0.1), "cli:ann")
        with pytest.raises(ShouldResolveConflict):
            store.create(replace(experiment(), tenant="acme"), "cli:ann")
        with pytest.raises(ShouldFixArgument, match="UUID"):
            store.create(replace(experiment(2), experiment_id="two"), "cli:ann")

    def test_one_runs_at_a_time_for_each_persona(self, store: VariantStore) -> None:
        first = store.create(experiment(1), "cli:ann")
        with pytest.raises(ShouldResolveConflict, match="running"):
            store.create(experiment(2), "cli:ann")
        store.create(experiment(3, base="coach"), "cli:ann")
        store.create(experiment(4, tenant="acme"), "cli:ann")
        store.advance(replace(first, state="stopped"), "cli:ann", "enough")
        store.create(experiment(2), "cli:ann")

    def test_of_two_who_change_it_one_wins(self, store: VariantStore, reopen: Opener) -> None:
        made = store.create(experiment(), "cli:ann")
        outcomes: list[str] = []

        def end(state: str) -> None:
            try:
                ended = replace(made, state=state, winner="warm")  # type: ignore[arg-type]
                reopen().advance(ended, "cli:ann", "because")
                outcomes.append(state)
            except ShouldResolveConflict:
                outcomes.append("lost")

        threads = [threading.Thread(target=end, args=(s,)) for s in ("promoted", "stopped")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert min(outcomes) == "lost"
        kept = store.experiment(made.experiment_id)
        assert kept.state in outcomes
        assert kept.generation == 1

    def test_unknown_ones_and_other_tenants_are_not_found(self, store: VariantStore) -> None:
        store.create(experiment(), "cli:ann")
        for tenant, number in (("acme", 1), ("default", 2)):
            with pytest.raises(ShouldNameKnownId):
                store.experiment(uuid_of(number, "experiment"), tenant)
        assert store.experiments("walk", "acme") == ()
        assert store.experiments("other") == ()
        with pytest.raises(ShouldNameKnownId):
            store.advance(experiment(2), "cli:ann", "because")

    def test_experiments_are_listed_newest_first(self, store: VariantStore) -> None:
        for number, base in ((1, "a"), (3, "b"), (2, "c")):
            store.create(experiment(number, base), "cli:ann")
        assert [e.variants[0].base_persona_id for e in store.experiments()] == ["b", "c", "a"]

    def test_the_first_meeting_stays(self, store: VariantStore) -> None:
        store.create(experiment(), "cli:ann")
        assert store.met(uuid_of(1, "experiment"), ANN) is None
        assert store.expose([met(minutes=5), met(person=BOB, variant="guide")]) == 2
        assert store.expose([met(variant="guide", minutes=9)]) == 0
        assert store.met(uuid_of(1, "experiment"), ANN) == "warm"
        assert store.exposures(uuid_of(1, "experiment")) == (
            met(person=BOB, variant="guide"),
            met(minutes=5),
        )

    def test_of_many_meetings_at_once_one_counts(self, store: VariantStore, reopen: Opener) -> None:
        store.create(experiment(), "cli:ann")
        new: list[int] = []

        def meet(variant: str) -> None:
            new.append(reopen().expose([met(variant=variant)]))

        threads = [threading.Thread(target=meet, args=(v,)) for v in ("warm", "guide") * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(new) == 1
        assert len(store.exposures(uuid_of(1, "experiment"))) == 1


class SqlVariantStoreSuite(VariantStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)
        return lambda: SqlVariantStore(engines(), SystemClock())


class TestSqlVariantStore(OnSqlite, SqlVariantStoreSuite):
    pass


class TestSqlVariantStoreOnPostgresql(OnPostgresql, SqlVariantStoreSuite):
    pass
