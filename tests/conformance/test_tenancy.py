"""What every ``Tenancy`` must do."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, insert, text

from everloop.contracts.errors import ShouldFixArgument
from everloop.storage import rollout_tables, schema, service_tables
from everloop.storage.column_types import CanonicalJson, UtcTime
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.engine import open_database, reading, writing
from everloop.storage.sql.tenancy import KINDS, SqlTenancy, owner_query
from tests.log_records import ANN, NOON, uuid_of

Opener = Callable[[], Engine]

TABLES: dict[str, tuple[Table, str]] = {
    "episode": (schema.training_episodes, "episode_id"),
    "signal": (schema.reward_signals, "signal_id"),
    "decision": (service_tables.decisions, "decision_id"),
    "interaction": (service_tables.interactions, "log_id"),
    "feedback": (service_tables.feedback, "feedback_id"),
    "checkpoint": (schema.model_checkpoints, "checkpoint_id"),
    "job": (service_tables.training_jobs, "job_id"),
    "synthetic_job": (service_tables.synthetic_jobs, "job_id"),
    "review": (rollout_tables.reviews, "review_id"),
    "deployment": (rollout_tables.deployments, "deployment_id"),
    "rollout": (schema.rollouts, "rollout_id"),
    "experiment": (rollout_tables.variant_experiments, "experiment_id"),
}


def _value(column: Any, seq: int) -> Any:
    if column.name == "seq":
        return seq
    if column.name in {"propensity", "confidence", "epsilon"}:
        return 0.5
    if isinstance(column.type, UtcTime):
        return NOON
    if isinstance(column.type, CanonicalJson):
        return {}
    kind = column.type.python_type
    samples = {
        str: {"user_id": ANN, "kind": "generate"}.get(column.name, "x"),
        bytes: b"\0" * 32,
        date: NOON.date(),
    }
    return samples[kind] if kind in samples else kind(1)


def put(connection: Connection, kind: str, row_id: str, tenant: str, **values: Any) -> None:
    """Insert a row of a kind with its ingest number, and the episode that a signal or review needs."""
    table, column = TABLES[kind]
    if kind in {"signal", "review"}:
        values["episode_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, row_id))
        put(connection, "episode", values["episode_id"], tenant)
    seq = counters.advance(connection, tenant, kind, 1) if "seq" in table.c else 0
    row = {c.name: _value(c, seq) for c in table.c if not c.nullable}
    connection.execute(insert(table).values(row | values | {"tenant": tenant, column: row_id}))


class TenancySuite(ABC):
    @abstractmethod
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        """A function that opens the same database again and again."""

    @pytest.fixture
    def engine(self, tmp_path: Path, request: pytest.FixtureRequest) -> Engine:
        return self.opener(tmp_path, request)()

    def test_knows_every_kind(self) -> None:
        assert set(KINDS) == set(TABLES)

    @pytest.mark.parametrize("kind", KINDS)
    def test_tells_whose_row_it_is(self, engine: Engine, kind: str) -> None:
        tenancy = SqlTenancy(engine)
        assert tenancy.owner(kind, uuid_of(1)) is None
        with writing(engine) as connection:
            for number, tenant in ((1, "acme"), (2, "bolt"), (3, "acme")):
                put(connection, kind, uuid_of(number), tenant, **_apart(kind, number))
        assert [tenancy.owner(kind, uuid_of(n)) for n in (1, 2, 3, 4)] == [
            "acme",
            "bolt",
            "acme",
            None,
        ]
        assert tenancy.owner(kind, uuid_of(2).upper()) == "bolt"

    @pytest.mark.parametrize("row_id", ["", "nope", "' OR 1=1 --", "0" * 5000])
    def test_what_is_no_id_has_no_owner(self, engine: Engine, row_id: str) -> None:
        assert SqlTenancy(engine).owner("episode", row_id) is None

    def test_rows_of_another_kind_have_none(self, engine: Engine) -> None:
        with writing(engine) as connection:
            put(connection, "episode", uuid_of(1), "acme")
        assert SqlTenancy(engine).owner("decision", uuid_of(1)) is None
        with pytest.raises(ShouldFixArgument, match="'person'"):
            SqlTenancy(engine).owner("person", uuid_of(1))

    def test_an_id_of_two_tenants_has_the_first(self, engine: Engine) -> None:
        with writing(engine) as connection:
            for tenant in ("bolt", "acme"):
                put(connection, "decision", uuid_of(1), tenant)
        assert SqlTenancy(engine).owner("decision", uuid_of(1)) == "acme"


def _apart(kind: str, number: int) -> dict[str, Any]:
    """Only one job of a loop may be open."""
    return {"loop": f"walk{number}"} if kind == "job" else {}


class TestOnSqlite(TenancySuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        return lambda: open_database("", folder / "state.db")

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rollout"])  # one a day
    def test_no_table_of_events_is_scanned(self, engine: Engine, kind: str) -> None:
        table, column = TABLES[kind]
        query = owner_query(kind, uuid_of(1)).compile(
            engine, compile_kwargs={"literal_binds": True}
        )
        with reading(engine) as connection:
            plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
        (search,) = [step for step in plan if f" {table.name} " in f"{step} "]
        assert search.startswith(f"SEARCH {table.name} USING")
        assert f"{column}=?" in search
        scanned = {step.split()[1] for step in plan if step.startswith("SCAN")}
        assert scanned <= {"ingest_counters"}


class TestOnPostgresql(TenancySuite):
    def opener(self, folder: Path, request: pytest.FixtureRequest) -> Opener:
        url = request.getfixturevalue("postgresql_url")
        return lambda: open_database(url, folder)

    def test_no_table_of_events_is_scanned(self, engine: Engine) -> None:
        with writing(engine) as connection:
            put(connection, "decision", uuid_of(1), "acme")
            columns = [c.name for c in service_tables.decisions.c if c.name != "decision_id"]
            names = ", ".join(f'"{name}"' for name in columns)
            connection.execute(
                text(
                    f"INSERT INTO decisions (decision_id, {names}) SELECT gen_random_uuid()::text, "
                    f"{names} FROM decisions, generate_series(1, 20000)"
                )
            )
            connection.execute(text("ANALYZE decisions"))
            connection.execute(text("ANALYZE ingest_counters"))
        query = owner_query("decision", uuid_of(1)).compile(
            engine, compile_kwargs={"literal_binds": True}
        )
        with reading(engine) as connection:
            plan = "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {query}")))
        assert "pk_decisions" in plan
        assert "Seq Scan on decisions" not in plan
