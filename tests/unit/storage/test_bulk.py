"""Rows that reach the ingest path's own statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from everloop.storage.schema import ingest_counters
from everloop.storage.service_tables import decisions
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.bulk import bulk_of
from everloop.storage.sql.engine import open_workspace_database, reading, writing
from everloop.storage.sql.ingest_kinds import DECISIONS, EPISODES, KINDS, SIGNALS
from everloop.storage.sql.row_values import values_of


def test_the_order_of_keys_does_not_matter(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with writing(engine) as connection:
        bulk_of(connection).insert(
            ingest_counters,
            [
                {"tenant": "a", "counter": "b", "last": 1},
                {"last": 2, "counter": "d", "tenant": "c"},
            ],
        )
    with reading(engine) as connection:
        rows = connection.execute(select(ingest_counters).order_by(ingest_counters.c.last))
        assert [tuple(row) for row in rows] == [("a", "b", 1), ("c", "d", 2)]


@pytest.mark.parametrize("row", [{"a": 1}, {"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}])
def test_a_row_of_other_columns_is_refused(row: dict[str, int]) -> None:
    assert list(values_of({"b": 2, "a": 1}, ("a", "b"))) == [1, 2]
    with pytest.raises(KeyError):
        values_of(row, ("a", "b"))


def test_the_door_and_the_log_number_their_rows_alike() -> None:
    assert (EPISODES.counter, SIGNALS.counter) == (counters.EPISODES, counters.SIGNALS)


def test_decisions_are_looked_up_where_they_are_stored() -> None:
    assert DECISIONS.table is decisions
    assert DECISIONS in KINDS
