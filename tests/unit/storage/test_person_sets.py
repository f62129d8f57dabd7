"""Sets of people as compressed bits, and the migration that makes them of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from everloop.storage import migrations
from everloop.storage.person_sets import among, packed, unpacked
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.ledger_store import SqlLedgerTransaction
from tests.postgresql_server import OnSqlite, PostgresqlServer, SqlSuite, close_connections

PEOPLE = tuple(letter * 64 for letter in "abc")


@given(st.sets(st.integers(0, 3000)), st.lists(st.integers(-1, 4000)))
def test_sets_come_back(numbers: set[int], asked: list[int]) -> None:
    data = packed(sorted(numbers))
    assert set(np.flatnonzero(unpacked(data)).tolist()) == numbers
    found = among(data, np.array(asked, dtype=np.int64))
    assert found.tolist() == [number in numbers for number in asked]


def test_a_crowd_is_small() -> None:
    assert len(packed(range(1, 200_001))) < 1_000


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


OLD_ROWS = (
    "DROP TABLE privacy_charges",
    "CREATE TABLE privacy_charges (person INTEGER NOT NULL, release INTEGER NOT NULL)",
    "INSERT INTO privacy_people (number, person, mu_squared) VALUES "
    + ", ".join(f"({number}, '{person}', 0.75)" for number, person in enumerate(PEOPLE, 1)),
    "INSERT INTO privacy_releases (number, release_id, charged_on, mu_squared) VALUES "
    "(1, 'r1', '2026-03-01', 0.5), (2, 'r2', '2026-03-02', 0.25)",
    "INSERT INTO privacy_charges (person, release) VALUES (1, 1), (3, 1), (2, 2)",
)
"""A ledger as it was before: a row a person and release."""

ADDED = ("epsilon", "period_days", "key_id", "event", "rdp_version", "rdp")


class ChargesSuite(SqlSuite):
    def test_charges_of_an_older_database_become_sets(self, tmp_path: Path) -> None:
        engine = self.engines(tmp_path)()
        with writing(engine) as connection:
            for statement in OLD_ROWS:
                connection.execute(text(statement))
            for column in ADDED:
                connection.execute(text(f"ALTER TABLE privacy_ledger DROP COLUMN {column}"))
            connection.execute(text("ALTER TABLE privacy_people DROP COLUMN first_known_as"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0003_service'"))
            upgrade(connection, "0004_ledger_mechanisms")
        with reading(engine) as connection:
            ledger = SqlLedgerTransaction(connection)
            assert ledger.charged("r1") == (PEOPLE[0], PEOPLE[2])
            assert ledger.charged("r2") == (PEOPLE[1],)
            assert dict(ledger.charges_by_release()) == {"r1": (2, 1.0), "r2": (1, 0.25)}
            assert list(ledger.rows()) == []
        with pytest.raises(IntegrityError, match="append-only"), writing(engine) as connection:
            connection.execute(text("DELETE FROM privacy_charges"))


class TestOnSqlite(OnSqlite, ChargesSuite):
    pass


class TestOnPostgresql(ChargesSuite):
    """On a database of its own: it changes its schema."""

    @pytest.fixture(autouse=True)
    def take_a_database(self, postgresql: PostgresqlServer) -> Iterator[None]:
        self._url = postgresql.new_database()
        yield
        close_connections()

    def engines(self, folder: Path) -> Callable[[], Engine]:
        return lambda: open_database(self._url, folder)
