"""The tables, the migrations that make them, and both databases."""

from __future__ import annotations

import io
import runpy
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from everloop.storage import (
    ledger_tables,  # noqa: F401  (its tables join the metadata)
    migrations,
    service_tables,  # noqa: F401
    voice_tables,  # noqa: F401
)
from everloop.storage.append_only import append_only_triggers
from everloop.storage.schema import metadata
from everloop.storage.sql.engine import open_workspace_database

SPECIFIED = {
    "training_episodes": {
        "episode_id",
        "user_id",
        "context_snapshot",
        "action_taken",
        "outcome",
        "reward_score",
        "timestamp",
        "model_version",
    },
    "reward_signals": {
        "signal_id",
        "episode_id",
        "signal_type",
        "value",
        "latency",
        "confidence",
    },
    "model_checkpoints": {
        "checkpoint_id",
        "model_type",
        "weights_url",
        "performance_metrics",
        "training_date",
        "active",
    },
    "synthetic_profiles": {
        "profile_id",
        "persona_vector",
        "traits",
        "interaction_history",
        "source",
    },
}
TABLES = pytest.mark.parametrize(
    "table",
    # The ledger's people are pseudonyms, which hold the tenant already; tenants share the keys.
    [
        table
        for table in metadata.sorted_tables
        if not table.name.startswith("privacy_") and table.name != "key_fingerprints"
    ],
    ids=lambda table: table.name,
)


def test_migrations_make_what_the_schema_says(tmp_path: Path) -> None:
    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return kind != "table" or name in metadata.tables

    with open_workspace_database(tmp_path / "state.db").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": ours}
        )
        assert compare_metadata(context, metadata) == []


def test_the_first_migration_is_written_for_postgresql_too() -> None:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    folder = Path(migrations.__file__).parent / "versions"
    migration = runpy.run_path(str(folder / "0001_events.py"))
    with Operations.context(context):
        migration["upgrade"]()
    sql = written.getvalue()
    assert all(f"CREATE TABLE {name} (" in sql for name in (*SPECIFIED, "dataset_pins", "rollouts"))
    assert "WHERE state = 'started'" in sql
    assert "EXECUTE FUNCTION deployment_log_is_append_only()" in sql


@pytest.mark.parametrize("name", SPECIFIED)
def test_the_specifications_columns_are_there(name: str) -> None:
    assert SPECIFIED[name] <= set(metadata.tables[name].columns.keys())


@TABLES
def test_every_primary_key_starts_with_the_tenant(table: Table) -> None:
    assert next(column.name for column in table.primary_key) == "tenant"


@TABLES
def test_every_column_says_whether_it_may_be_missing_and_keys_are_named(table: Table) -> None:
    assert all(constraint.name for constraint in table.constraints)
    assert all(not column.nullable for column in table.primary_key)


@TABLES
def test_the_tables_are_portable_to_postgresql(table: Table) -> None:
    ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "BLOB" not in ddl
    for column, kind in (
        ("timestamp", "TIMESTAMP WITH TIME ZONE"),
        ("context_snapshot", "JSON"),
        ("persona_vector", "DOUBLE PRECISION[]"),
    ):
        assert column not in table.columns or f"{column} {kind}" in ddl


def test_triggers_are_written_for_both_databases() -> None:
    sqlite = append_only_triggers("history", "sqlite")
    assert [statement.split(" BEGIN")[0] for statement in sqlite] == [
        "CREATE TRIGGER history_no_update BEFORE UPDATE ON history",
        "CREATE TRIGGER history_no_delete BEFORE DELETE ON history",
    ]
    function, trigger = append_only_triggers("history", "postgresql")
    assert "RAISE EXCEPTION 'history is append-only'" in function
    assert "BEFORE UPDATE OR DELETE OR TRUNCATE ON history" in trigger
