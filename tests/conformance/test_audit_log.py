"""What every ``AuditLog`` must do."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from everloop.contracts.access import AuditEntry
from everloop.contracts.errors import ShouldFixArgument
from everloop.storage.sql.audit import SqlAuditLog, append_audit
from everloop.storage.sql.engine import open_database, reading, writing
from tests.log_records import ANN, NOON, SetClock

Opener = Callable[[], Engine]


class AuditLogSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path, request: pytest.FixtureRequest) -> Opener:
        return self.opener(tmp_path, request)

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock(NOON)

    @pytest.fixture
    def log(self, reopen: Opener, clock: SetClock) -> SqlAuditLog:
        return SqlAuditLog(reopen(), clock)

    def test_what_was_appended_is_read_as_it_was(self, log: SqlAuditLog, reopen: Opener) -> None:
        made = log.append("acme", "key:1", "episodes.append", "7..9", 3, {"loop": "é", "n": [1, 2]})
        expected = AuditEntry(
            tenant="acme",
            sequence=1,
            at=NOON,
            actor="key:1",
            action="episodes.append",
            resource="7..9",
            rows=3,
            detail={"loop": "é", "n": [1, 2]},
        )
        assert made == expected
        assert SqlAuditLog(reopen(), SetClock()).entries("acme") == (expected,)

    def test_each_tenant_is_numbered_from_one(self, log: SqlAuditLog, clock: SetClock) -> None:
        for tenant in ("a", "b", "a", "a", "b"):
            clock.moment -= timedelta(hours=1)  # a clock that steps back changes no order
            log.append(tenant, "key:1", "model.deploy", "m")
        assert [entry.sequence for entry in log.entries("a")] == [1, 2, 3]
        assert [entry.sequence for entry in log.entries("b")] == [1, 2]
        assert log.entries("c") == ()

    def test_is_read_page_by_page(self, log: SqlAuditLog) -> None:
        for number in range(1, 8):
            log.append("a", "key:1", "model.deploy", f"m{number}")
        assert [entry.resource for entry in log.entries("a", limit=3)] == ["m1", "m2", "m3"]
        assert [entry.resource for entry in log.entries("a", after=3, limit=3)] == [
            "m4",
            "m5",
            "m6",
        ]
        assert [entry.resource for entry in log.entries("a", after=6, limit=3)] == ["m7"]
        assert log.entries("a", after=7) == ()

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    def test_refuses_a_page_that_is_none_or_endless(self, log: SqlAuditLog, limit: int) -> None:
        with pytest.raises(ShouldFixArgument, match=f"limit={limit}"):
            log.entries("a", limit=limit)

    def test_names_no_person(self, log: SqlAuditLog) -> None:
        for resource, detail in ((ANN, {}), ("e1", {"who": ANN}), ("e1", {"of": {"all": [ANN]}})):
            with pytest.raises(ShouldFixArgument, match="would name a person") as refused:
                log.append("a", "key:1", "person.erase", resource, detail=detail)
            assert ANN not in str(refused.value)
        assert log.append("a", "key:1", "dataset.make", f"sha256:{ANN}").sequence == 1

    def test_an_entry_is_part_of_what_it_records(self, reopen: Opener, log: SqlAuditLog) -> None:
        def fail_after_appending() -> None:
            with writing(reopen()) as connection:
                append_audit(connection, "a", "key:1", "model.deploy", "m1", 1, None, NOON)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_after_appending()
        assert log.entries("a") == ()
        with writing(reopen()) as connection:
            first = append_audit(connection, "a", "key:1", "model.deploy", "m1", 1, None, NOON)
            second = append_audit(connection, "a", "key:1", "model.deploy", "m2", 1, {"n": 1}, NOON)
        assert log.entries("a") == (first, second)
        assert (first.sequence, second.sequence) == (1, 2)

    def test_numbers_have_no_gap_with_many_writers(self, reopen: Opener) -> None:
        def work() -> None:
            mine = SqlAuditLog(reopen(), SetClock())
            for _ in range(8):
                mine.append("a", "key:1", "model.deploy", "m")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = SqlAuditLog(reopen(), SetClock()).entries("a")
        assert [entry.sequence for entry in found] == list(range(1, 33))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit_log SET actor = 'nobody'",
            "UPDATE audit_log SET detail = detail WHERE sequence = 1",
            "DELETE FROM audit_log",
            "DELETE FROM audit_log WHERE sequence = 1",
        ],
    )
    def test_the_database_refuses_changes(
        self, reopen: Opener, log: SqlAuditLog, statement: str
    ) -> None:
        log.append("a", "key:1", "model.deploy", "m")
        before = log.entries("a")
        with pytest.raises(DBAPIError, match="append-only"), writing(reopen()) as connection:
            connection.execute(text(statement))
        assert log.entries("a") == before

    def test_a_number_is_given_once(self, reopen: Opener, log: SqlAuditLog) -> None:
        log.append("a", "key:1", "model.deploy", "m")
        columns = "tenant, sequence, at, actor, action, resource, rows, detail"
        copy = f"INSERT INTO audit_log ({columns}) SELECT {columns} FROM audit_log"
        with pytest.raises(DBAPIError), writing(reopen()) as connection:
            connection.execute(text(copy))
        with reading(reopen()) as connection:
            assert connection.execute(text("SELECT count(*) FROM audit_log")).scalar() == 1


class TestOnSqlite(AuditLogSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        return lambda: open_database("", folder / "state.db")

    def test_a_row_is_not_replaced(self, reopen: Opener, log: SqlAuditLog) -> None:
        """REPLACE deletes without the delete's trigger unless triggers are recursive."""
        log.append("a", "key:1", "model.deploy", "m")
        before = log.entries("a")
        columns = "tenant, sequence, at, actor, action, resource, rows, detail"
        values = "'a', 1, 0, 'nobody', 'x.y', 'z', 1, '{}'"
        with pytest.raises(DBAPIError), writing(reopen()) as connection:
            connection.execute(
                text(f"INSERT OR REPLACE INTO audit_log ({columns}) VALUES ({values})")
            )
        assert log.entries("a") == before


class TestOnPostgresql(AuditLogSuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)

    def test_the_table_is_not_truncated(self, reopen: Opener, log: SqlAuditLog) -> None:
        log.append("a", "key:1", "model.deploy", "m")
        with pytest.raises(DBAPIError, match="append-only"), writing(reopen()) as connection:
            connection.execute(text("TRUNCATE audit_log"))
        assert len(log.entries("a")) == 1
