"""What every ``LedgerStore`` must do."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.ledger_ports import JournalMark, LedgerStore
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.storage.ledger_tables import APPEND_ONLY
from everloop.storage.sql.engine import writing
from everloop.storage.sql.ledger_store import SqlLedgerStore
from tests.conformance.memory_ledger_store import MemoryLedgerStore
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

DAY = date(2026, 3, 1)
ANN, BEN, CY = (letter * 64 for letter in "abc")


def row(sequence: int, release: str = "r1", status: str = "reserved") -> LedgerRow:
    return LedgerRow(
        sequence=sequence,
        release_id=release,
        pipeline="companion/default",
        logical_date=DAY + timedelta(days=int(release[1:])),
        stage="user_model",
        configuration_sha256="c" * 64,
        dataset_id="d" * 64,
        mechanism={"kind": "gaussian", "sigma": 0.1 + 0.2, "clip": 1.0, "steps": 4},
        mu_squared=1 / 3,
        delta=1e-5,
        people=2,
        people_commitment="e" * 64,
        status=ReleaseStatus(status),
        recorded_at=datetime(2026, 3, 1, 4, 5, 6, 789, tzinfo=UTC),
        library="everloop 0.1.0",
        previous_sha256="0" * 64,
        row_sha256="f" * 64,
    )


class LedgerStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Callable[[], LedgerStore]:
        """A function that opens the same store again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], LedgerStore]:
        return self.opener(tmp_path)

    def test_starts_empty(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            assert list(ledger.rows()) == []
            assert ledger.last_row() is None
            assert ledger.people() == ()
            assert dict(ledger.charges_by_release()) == {}
            assert ledger.charged("r1") == ()
            assert ledger.sealed("r1") is None
            assert ledger.output("r1") is None
            assert ledger.spent((ANN,), date.min, date.max) == ({}, {})

    def test_rows_come_back_as_they_were(self, reopen: Callable[[], LedgerStore]) -> None:
        rows = [row(1), row(2, status="spent"), row(3, "r2")]
        with reopen().transaction() as ledger:
            for one in rows:
                ledger.append(one)
        with reopen().transaction() as ledger:
            assert list(ledger.rows()) == rows
            assert ledger.last_row() == rows[-1]

    @pytest.mark.parametrize(
        "again", [row(1, "r2"), row(2, "r1")], ids=["sequence", "release and status"]
    )
    def test_repeated_rows_are_conflicts(
        self, reopen: Callable[[], LedgerStore], again: LedgerRow
    ) -> None:
        with reopen().transaction() as ledger:
            ledger.append(row(1))
        with pytest.raises(ShouldResolveConflict), reopen().transaction() as ledger:
            ledger.append(again)
        with reopen().transaction() as ledger:
            assert [r.sequence for r in ledger.rows()] == [1]

    def test_charges_add_up_by_window_and_for_ever(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            ledger.charge((ANN, BEN), "r1", DAY, 0.5)
            ledger.charge((BEN, CY), "r2", DAY + timedelta(days=3), 0.25)
        with reopen().transaction() as ledger:
            window, total = ledger.spent((ANN, BEN, "d" * 64), DAY, DAY + timedelta(days=3))
            assert dict(window) == {ANN: 0.0, BEN: 0.25}
            assert dict(total) == {ANN: 0.5, BEN: 0.75}
            window, _ = ledger.spent((BEN,), DAY - timedelta(days=1), DAY)
            assert dict(window) == {BEN: 0.5}
            assert ledger.people() == (ANN, BEN, CY)
            assert ledger.charged("r2") == (BEN, CY)
            assert dict(ledger.charges_by_release()) == {"r1": (2, 1.0), "r2": (2, 0.5)}

    def test_who_took_part_is_told_by_release(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            ledger.charge((ANN, CY), "r1", DAY, 0.5)
            ledger.charge((BEN,), "r2", DAY, 0.25)
        with reopen().transaction() as ledger:
            asked = ("d" * 64, CY, BEN, ANN)
            found = [part.tolist() for part in ledger.participation(asked, ("r2", "unknown", "r1"))]
            assert found == [[False, False, True, False], [False] * 4, [False, True, False, True]]
            assert list(ledger.participation(asked, ())) == []
            assert dict(ledger.first_known_as((ANN, "d" * 64))) == {ANN: ANN, "d" * 64: "d" * 64}

    def test_numbers_are_dense_and_stay(self, reopen: Callable[[], LedgerStore]) -> None:
        anew = "1" * 64
        with reopen().transaction() as ledger:
            assert dict(ledger.numbers((ANN,))) == {}
            ledger.charge((BEN, ANN), "r1", DAY, 0.5)
        with pytest.raises(ShouldResolveConflict), reopen().transaction() as ledger:
            ledger.charge(("9" * 64,), "r1", DAY, 0.5)
        with reopen().transaction() as ledger:
            ledger.charge((ANN, CY), "r3", DAY, 0.5)
            ledger.rename({ANN: anew})
        with reopen().transaction() as ledger:
            asked = (anew, ANN, BEN, CY)
            assert dict(ledger.numbers(asked)) == {BEN: 1, anew: 2, CY: 3}

    def test_which_journal_follows_is_kept(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            assert ledger.journal() == JournalMark()
            ledger.note_journal(JournalMark("j", 1, "key"))
            ledger.note_journal(JournalMark("j", 2, "key2"))
        with reopen().transaction() as ledger:
            assert ledger.journal() == JournalMark("j", 2, "key2")

    def test_renamed_people_keep_what_they_spent(self, reopen: Callable[[], LedgerStore]) -> None:
        anew, again = "1" * 64, "2" * 64
        with reopen().transaction() as ledger:
            ledger.charge((ANN, BEN), "r1", DAY, 0.5)
            ledger.rename({ANN: anew, "d" * 64: "3" * 64})
        with reopen().transaction() as ledger:
            ledger.rename({anew: again})
            assert ledger.people() == (again, BEN)
            assert ledger.spent((ANN, anew, again), date.min, date.max) == (
                {again: 0.5},
                {again: 0.5},
            )
            assert ledger.charged("r1") == (again, BEN)
            assert dict(ledger.first_known_as((again, BEN))) == {again: ANN, BEN: BEN}
        with pytest.raises(ShouldResolveConflict), reopen().transaction() as ledger:
            ledger.rename({BEN: again})

    def test_what_was_added_to_rows_comes_back(self, reopen: Callable[[], LedgerStore]) -> None:
        full = dataclasses.replace(
            row(1),
            epsilon=0.1 + 0.2,
            period_days=365,
            key_id="0123456789abcdef",
            event={"class": "SelfComposedDpEvent", "fields": {"count": 4, "x": [1.5, None]}},
            rdp_version=1,
            rdp=(1e-300, 1 / 3, 7.0),
        )
        with reopen().transaction() as ledger:
            ledger.append(full)
        with reopen().transaction() as ledger:
            assert ledger.last_row() == full

    def test_more_people_than_a_statement_holds(self, reopen: Callable[[], LedgerStore]) -> None:
        crowd = tuple(f"{number:064x}" for number in range(1203))
        with reopen().transaction() as ledger:
            ledger.charge(crowd, "r1", DAY, 0.5)
        with reopen().transaction() as ledger:
            window, total = ledger.spent(crowd, date.min, DAY)
            assert set(window) == set(total) == set(crowd)
            assert ledger.charged("r1") == crowd

    def test_nobody_pays_twice_for_a_release(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            ledger.charge((ANN,), "r1", DAY, 0.5)
        with pytest.raises(ShouldResolveConflict), reopen().transaction() as ledger:
            ledger.charge((BEN, ANN), "r1", DAY, 0.5)
        with reopen().transaction() as ledger:
            assert ledger.spent((ANN, BEN), date.min, date.max) == ({ANN: 0.5}, {ANN: 0.5})

    @pytest.mark.parametrize(("on", "cost"), [(DAY, 0.25), (DAY + timedelta(days=1), 0.5)])
    def test_a_release_costs_everyone_the_same(
        self, reopen: Callable[[], LedgerStore], on: date, cost: float
    ) -> None:
        with reopen().transaction() as ledger:
            ledger.charge((ANN,), "r1", DAY, 0.5)
        with pytest.raises(ShouldFixArgument), reopen().transaction() as ledger:
            ledger.charge((BEN,), "r1", on, cost)

    def test_seeds_are_kept_until_destroyed(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            ledger.seal("r1", bytes(range(32)))
            ledger.charge((ANN,), "r1", DAY, 0.5)
        with reopen().transaction() as ledger:
            assert ledger.sealed("r1") == bytes(range(32))
            ledger.unseal("r1")
        with reopen().transaction() as ledger:
            assert ledger.sealed("r1") is None
            assert ledger.charged("r1") == (ANN,)

    def test_outputs_are_kept(self, reopen: Callable[[], LedgerStore]) -> None:
        with reopen().transaction() as ledger:
            ledger.charge((ANN,), "r1", DAY, 0.5)
            ledger.charge((ANN,), "r2", DAY, 0.5)
            ledger.store_output("r1", "blob:x", "a" * 64)
        with reopen().transaction() as ledger:
            assert ledger.output("r1") == ("blob:x", "a" * 64)
            assert ledger.output("r2") is None
            assert ledger.finished() == {"r1"}

    def test_a_failed_transaction_leaves_nothing(self, reopen: Callable[[], LedgerStore]) -> None:
        store = reopen()

        def fail() -> None:
            with store.transaction() as ledger:
                ledger.append(row(1))
                ledger.charge((ANN,), "r1", DAY, 0.5)
                ledger.seal("r1", bytes(32))
                ledger.store_output("r1", "blob:x", "a" * 64)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        for again in (store, reopen()):
            with again.transaction() as ledger:
                assert list(ledger.rows()) == []
                assert ledger.people() == ()
                assert ledger.sealed("r1") is None
                assert ledger.output("r1") is None


class TestMemoryLedgerStore(LedgerStoreSuite):
    def opener(self, folder: Path) -> Callable[[], LedgerStore]:
        store = MemoryLedgerStore()
        return lambda: store


class SqlLedgerStoreSuite(LedgerStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Callable[[], LedgerStore]:
        engines = self.engines(folder)
        return lambda: SqlLedgerStore(engines())

    @pytest.mark.parametrize("table", APPEND_ONLY)
    @pytest.mark.parametrize("verb", ["DELETE FROM {table}", "UPDATE {table} SET {column} = 1"])
    def test_the_database_refuses_changes(self, tmp_path: Path, table: str, verb: str) -> None:
        engine = self.engines(tmp_path)()
        with SqlLedgerStore(engine).transaction() as ledger:
            ledger.append(row(1))
            ledger.charge((ANN,), "r1", DAY, 0.5)
        column = {"privacy_ledger": "people", "privacy_charges": "release"}[table]
        with pytest.raises(IntegrityError, match="append-only"), writing(engine) as connection:
            connection.exec_driver_sql(verb.format(table=table, column=column))

    def test_a_slot_is_reserved_once(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        other = dataclasses.replace(row(2, "r2"), logical_date=row(1).logical_date)
        with store.transaction() as ledger:
            ledger.append(row(1))
        with pytest.raises(ShouldResolveConflict), store.transaction() as ledger:
            ledger.append(other)


class TestSqlLedgerStore(OnSqlite, SqlLedgerStoreSuite):
    pass


class TestSqlLedgerStoreOnPostgresql(OnPostgresql, SqlLedgerStoreSuite):
    pass
