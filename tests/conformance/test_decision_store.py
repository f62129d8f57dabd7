"""What every ``DecisionStore`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.ports import EventLog
from everloop.contracts.service_ports import DecisionStore
from everloop.contracts.serving import RecentDecision
from everloop.storage.service_tables import decisions
from everloop.storage.sql.decisions import SqlDecisionStore
from everloop.storage.sql.engine import open_database, reading
from everloop.storage.sql.event_log import SqlEventLog
from tests.feedback_records import decision, put
from tests.log_records import ANN, BEN, NOON, SetClock, episode, uuid_of


@dataclass(frozen=True)
class Opened:
    engine: Engine
    decisions: DecisionStore
    log: EventLog

    def stored(self) -> int:
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(decisions)) or 0


Opener = Callable[[], Opened]


def opened(engine: Engine) -> Opened:
    return Opened(engine, SqlDecisionStore(engine), SqlEventLog(engine, SetClock()))


class DecisionStoreSuite(ABC):
    @abstractmethod
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opener]:
        connect = self.connector(tmp_path, request)
        with ExitStack() as closing:

            def reopen() -> Opened:
                engine = connect()
                closing.callback(engine.dispose)
                return opened(engine)

            yield reopen

    @pytest.fixture
    def store(self, reopen: Opener) -> Opened:
        return reopen()

    def test_what_was_decided_is_read_as_it_was(self, store: Opened, reopen: Opener) -> None:
        full = decision(
            1,
            at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5))),
            propensity=0.1 + 0.2,
            context_snapshot={"é": [1, 2.5, None], "nested": {"b": True}},
            action_arguments={"user_ids": ["b" * 64]},
            arm=Arm.HOLDOUT,
            fallback="checksum differs",
            epsilon=1 / 3,
            request_sha256="ab" * 32,
        )
        put(store.engine, full, decision(2))
        again = reopen().decisions
        assert again.decision(uuid_of(1)) == full
        assert again.decision(uuid_of(1).upper()) == full
        assert again.decision(uuid_of(2)) == decision(2)

    @pytest.mark.parametrize("wanted", [uuid_of(2), "no-uuid", ""])
    def test_what_was_not_decided_is_unknown(self, store: Opened, wanted: str) -> None:
        put(store.engine, decision(1))
        with pytest.raises(ShouldNameKnownId, match="default"):
            store.decisions.decision(wanted)

    def test_tenants_do_not_see_each_others(self, store: Opened) -> None:
        put(store.engine, decision(1, tenant="acme"), decision(1, tenant="bolt", epsilon=0.5))
        assert store.decisions.decision(uuid_of(1), "acme").epsilon == 0.05
        assert store.decisions.decision(uuid_of(1), "bolt").epsilon == 0.5
        with pytest.raises(ShouldNameKnownId):
            store.decisions.decision(uuid_of(1))

    def test_many_are_read_at_once_by_the_ids_given(self, store: Opened) -> None:
        put(store.engine, *(decision(n) for n in range(1, 700)), decision(701, tenant="acme"))
        asked = [*(uuid_of(n) for n in range(1, 702)), uuid_of(3).upper(), uuid_of(3), "no-uuid"]
        found = store.decisions.decisions(asked)
        assert set(found) == {*(uuid_of(n) for n in range(1, 700)), uuid_of(3).upper()}
        assert found[uuid_of(3).upper()] == found[uuid_of(3)] == decision(3)
        assert found[uuid_of(699)] == decision(699)
        assert list(store.decisions.decisions([uuid_of(701)], "acme")) == [uuid_of(701)]
        assert store.decisions.decisions([]) == {}

    def test_what_a_model_decided_is_counted_to_a_bound(self, store: Opened) -> None:
        later = NOON + timedelta(hours=1)
        put(store.engine, *(decision(n, later) for n in range(3)), decision(3))
        put(store.engine, decision(4, later, model_version="v2"), decision(5, later, loop="run"))
        put(store.engine, decision(6, later, tenant="acme"))
        assert store.decisions.served("walk", "v1", NOON, 99) == 4
        assert store.decisions.served("walk", "v1", later, 99) == 3
        assert store.decisions.served("walk", "v1", NOON, 2) == 2
        assert store.decisions.served("walk", "v1", NOON, 99, "acme") == 1
        assert store.decisions.served("walk", "v3", NOON, 99) == 0

    def test_what_a_person_met_is_found_by_action_and_time(self, store: Opened) -> None:
        late, moment = NOON + timedelta(hours=1), timedelta(microseconds=1)
        put(store.engine, decision(1, NOON), decision(2, NOON - moment), decision(3, late))
        put(store.engine, decision(4, late, action_taken="right"))
        put(store.engine, decision(5, late, user_id=BEN), decision(6, late, loop="run"))
        put(store.engine, decision(7, late, tenant="acme"))
        ann = {
            RecentDecision(uuid_of(1), NOON, "left"),
            RecentDecision(uuid_of(3), late, "left"),
        }
        found = store.decisions.recent("walk", [ANN, BEN, ANN, "0" * 64], ["left"], NOON)
        assert {who: set(made) for who, made in found.items()} == {
            ANN: ann,
            BEN: {RecentDecision(uuid_of(5), late, "left")},
        }
        assert set(store.decisions.recent("walk", [ANN], ["left", "right"], NOON)[ANN]) == ann | {
            RecentDecision(uuid_of(4), late, "right")
        }
        assert store.decisions.recent("walk", [ANN], ["rest"], NOON) == {}
        assert store.decisions.recent("walk", [], ["left"], NOON) == {}
        assert len(store.decisions.recent("run", [ANN], ["left"], NOON)[ANN]) == 1
        assert len(store.decisions.recent("walk", [ANN], ["left"], NOON, "acme")[ANN]) == 1

    def test_what_was_confirmed_or_logged_without_us_counts_once(self, store: Opened) -> None:
        put(store.engine, decision(1, NOON))
        put(store.engine, episode(1, at=NOON), episode(2, at=NOON))
        expected = {RecentDecision(uuid_of(n), NOON, "left") for n in (1, 2)}
        assert set(store.decisions.recent("walk", [ANN], ["left"], NOON)[ANN]) == expected
        store.decisions.forget_unconfirmed(NOON + timedelta(days=1))
        assert set(store.decisions.recent("walk", [ANN], ["left"], NOON)[ANN]) == expected

    def test_many_people_are_read_at_once(self, store: Opened) -> None:
        people = [f"{n:064x}" for n in range(1200)]
        put(store.engine, *(decision(n, user_id=person) for n, person in enumerate(people)))
        found = store.decisions.recent("walk", people, ["left"], NOON)
        assert {who: len(made) for who, made in found.items()} == dict.fromkeys(people, 1)

    def test_old_ones_are_forgotten_and_their_episodes_stay(self, store: Opened) -> None:
        moment = timedelta(microseconds=1)
        put(store.engine, decision(1, NOON - moment), decision(2, NOON), decision(3, NOON - moment))
        put(store.engine, episode(1, at=NOON - moment))
        assert store.decisions.forget_unconfirmed(NOON) == 2
        assert store.decisions.decision(uuid_of(2)) == decision(2)
        assert store.stored() == 1
        assert [e.episode_id for e in store.log.episodes_of(ANN)] == [uuid_of(1)]
        assert store.decisions.forget_unconfirmed(NOON) == 0

    def test_forgets_of_one_tenant_alone(self, store: Opened) -> None:
        put(store.engine, decision(1, tenant="acme"), decision(1, tenant="bolt"))
        assert store.decisions.forget_unconfirmed(NOON + timedelta(days=1), "acme") == 1
        assert store.decisions.decision(uuid_of(1), "bolt").tenant == "bolt"
        assert store.decisions.forget_unconfirmed(NOON + timedelta(days=1)) == 1

    @pytest.mark.parametrize("old", [2000, 4001])
    def test_forgets_more_than_one_transaction_holds(self, store: Opened, old: int) -> None:
        put(store.engine, *(decision(n) for n in range(old)))
        put(store.engine, decision(old, NOON + timedelta(hours=1)))
        assert store.decisions.forget_unconfirmed(NOON + timedelta(minutes=1)) == old
        assert store.stored() == 1


class TestOnSqlite(DecisionStoreSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        return lambda: open_database("", folder / "state.db")


class TestOnPostgresql(DecisionStoreSuite):
    def connector(self, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Engine]:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)
