"""What is sent to BigQuery: statements, schemas, labels and ids, without asking anybody."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldProvideKey,
    ShouldRetryLater,
    ShouldSlowDown,
)
from everloop.storage.gcp.bigquery import reader, statements
from everloop.storage.gcp.bigquery.failures import TableGone, named
from everloop.storage.gcp.bigquery.jobs import job_id_of, tidy
from everloop.storage.gcp.bigquery.log_rows import LogMark
from everloop.storage.gcp.bigquery.mirror import is_another
from everloop.storage.gcp.bigquery.state import NOTHING, MirrorState
from everloop.storage.gcp.bigquery.tables import (
    EPISODES,
    MIRRORED,
    Column,
    Kind,
    Table,
    stage_prefix,
)
from everloop.storage.gcp.bigquery.warehouse import on_stages, table_of
from everloop.storage.local.extraction_query import Bounds
from everloop.storage.sql.dataset_pins import Pin
from tests.log_records import extraction


def path(table: str) -> str:
    return f"`p.d.{table}`"


@pytest.mark.parametrize("table", MIRRORED, ids=lambda table: table.name)
def test_changes_are_bigquery_s_sql(table: Table) -> None:
    for text in (
        statements.merge(path, table, "stage_1", bounded=bool(table.partition)),
        statements.repair(path, table, "stage_1"),
        statements.blocks(path, table),
        statements.read_state(path),
        statements.begin_state(path),
        *statements.forget(path),
    ):
        sqlglot.parse_one(text, read="bigquery")
    merged = statements.merge(path, table, "stage_1", bounded=bool(table.partition))
    assert (f"BETWEEN @first_{table.name}" in merged) == bool(table.partition)
    assert all(f"s.{column.name}" in merged for column in table.columns)


def test_nothing_is_ever_loaded_into_a_partition_by_its_name() -> None:
    assert "$" not in statements.changed(path, [statements.merge(path, EPISODES, "s", True)])
    assert "$" not in stage_prefix("acme$20260101")


def test_a_change_begins_by_raising_the_generation_that_it_was_computed_at() -> None:
    text = statements.changed(path, ["DELETE FROM t WHERE TRUE"])
    fence, change = text.index("generation = @generation"), text.index("DELETE FROM t")
    assert text.index("BEGIN TRANSACTION") < fence < text.index("RAISE USING") < change
    assert change < text.index("COMMIT TRANSACTION") < text.index("ROLLBACK TRANSACTION")


def test_questions_are_bigquery_s_sql_and_know_every_bound() -> None:
    asked = reader.queries(path)
    given = reader.parameters(Bounds(extraction(date(2026, 3, 10)), Pin(1, 2, 3)))
    for text in (asked.opted_out, asked.days, asked.episodes, asked.signals, asked.reviews):
        tree = sqlglot.parse_one(text, read="bigquery")
        places = {place.name for place in tree.find_all(sqlglot.exp.Parameter)}
        assert places <= given.keys()


def test_ids_of_jobs_follow_from_what_they_do() -> None:
    assert job_id_of("load", "d", "x", 1) == job_id_of("load", "d", "x", 1)
    assert job_id_of("load", "d", "x", 1) != job_id_of("load", "d", "x", 2)
    assert job_id_of("load", "ab", "c") != job_id_of("load", "a", "bc")
    assert set(job_id_of("load", "ü$ ")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_labels_are_what_bigquery_takes() -> None:
    assert tidy({"loop": "Walk ü/2", "tenant": "t" * 99, "dataset": ""}) == {
        "loop": "walk___2",
        "tenant": "t" * 63,
        "application": "everloop",
    }


def test_a_table_names_only_its_columns() -> None:
    with pytest.raises(ShouldFixArgument, match="no column"):
        Table("t", (Column("a", Kind.STRING),), number="b")
    with pytest.raises(ShouldFixArgument, match="clustered"):
        Table("t", (Column("a", Kind.STRING),), clustering=("a",) * 5)


def test_stages_take_the_place_of_tables_under_their_names() -> None:
    told = on_stages(
        "WITH x AS (SELECT signals.v, spec.w FROM signals JOIN rules AS spec ON TRUE) SELECT * FROM x",
        "p-1.d",
        {"signals": "stage_a", "rules": "stage_b", "x": "stage_never"} | {"x": "stage_x"},
    )
    assert "`p-1`.`d`.`stage_a` AS signals" in told
    assert "`p-1`.`d`.`stage_b` AS spec" in told


def test_a_file_s_columns_become_a_table_s(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("a", pa.string(), nullable=False), pa.field("b", pa.float64())])
    pq.write_table(schema.empty_table(), tmp_path / "f.parquet")
    table = table_of("t", tmp_path / "f.parquet")
    assert table.columns == (Column("a", Kind.STRING), Column("b", Kind.FLOAT64, nullable=True))
    assert table.arrow == schema
    pq.write_table(pa.table({"a": pa.array([1], pa.int8())}), tmp_path / "g.parquet")
    with pytest.raises(ShouldFixArgument, match="int8"):
        table_of("t", tmp_path / "g.parquet")


@pytest.mark.parametrize(
    ("problem", "ours", "says"),
    [
        (api.Forbidden("Access Denied: Table p:d.t"), ShouldAskForScope, "jobUser"),
        (api.NotFound("Not found: Dataset p:d"), ShouldFixArgument, "EVERLOOP_BIGQUERY"),
        (api.NotFound("Not found: Table p:d.t"), TableGone, "Table"),
        (
            api.BadRequest("Query exceeded limit for bytes billed: 5. 10 or higher required."),
            ShouldFixArgument,
            "EVERLOOP_BIGQUERY_MAX_BYTES",
        ),
        (
            api.Forbidden("Quota exceeded", errors=[{"reason": "quotaExceeded"}]),
            ShouldSlowDown,
            "quota",
        ),
        (api.ServiceUnavailable("down"), ShouldRetryLater, "503"),
        (api.RetryError("gave up", api.BadGateway("down")), ShouldRetryLater, "502"),
        (api.BadRequest("refused signal of type x"), ShouldFixInput, "refused signal"),
        (ConnectionResetError("gone"), ShouldRetryLater, "could not be reached"),
        (auth.TransportError("no route"), ShouldRetryLater, "could not be reached"),
        (auth.DefaultCredentialsError("none"), ShouldProvideKey, "workload identity"),
    ],
)
def test_errors_say_what_to_do(problem: Exception, ours: type[Exception], says: str) -> None:
    with pytest.raises(ours, match=says) as caught, named("p.d", 5):
        raise problem
    if isinstance(caught.value, EverloopError):
        assert caught.value.remedy


KNOWN = MirrorState(3, "key", 1, {**NOTHING, "episodes": 9}, "tail")
SAME = LogMark("key", 1, {**NOTHING, "episodes": 12})


@pytest.mark.parametrize(
    ("mark", "tail", "another"),
    [
        (SAME, "tail", False),
        (SAME, "other", True),
        (LogMark("key", 2, SAME.ends), "other", False),  # who was erased may have been the last
        (LogMark("key", 0, SAME.ends), "tail", True),
        (LogMark("new", 1, SAME.ends), "tail", True),
        (LogMark("key", 1, {**NOTHING, "episodes": 8}), "tail", True),
    ],
)
def test_a_database_that_is_another_is_known(mark: LogMark, tail: str, another: bool) -> None:
    assert is_another(KNOWN, mark, tail) is another


def test_times_reach_the_file_exactly() -> None:
    moment = datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert pa.array([moment], Kind.TIMESTAMP.arrow).to_pylist() == [moment]
