"""A workspace from before there were deployments goes on serving, and its trial can be ended."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, text

from everloop.contracts.rollouts import Serves, Stay
from everloop.storage import migrations
from everloop.storage.column_types import microseconds
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_database
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from tests.deployment_records import deployment, part, registered
from tests.log_records import NOON
from tests.postgresql_server import PostgresqlServer, close_connections

BEFORE = "0006_recent_decisions"
ACTIVE, CANDIDATE = registered(1), registered(2)


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def fill(connection: Connection) -> None:
    """What serves, a trial of another policy and one that is over, as they were written then."""
    postgresql = connection.dialect.name == "postgresql"
    at = NOON if postgresql else microseconds(NOON)
    for made in (ACTIVE, CANDIDATE):
        connection.execute(
            text(
                "INSERT INTO model_checkpoints (tenant, checkpoint_id, loop, model_type, "
                "weights_url, weights_sha256, performance_metrics, training_date, active, "
                "provenance, lineage, files, verdict, schema_version, payload_sha256) VALUES "
                "('default', :id, 'walk', 'intervention', :url, :sha256, '{}', :at, :active, "
                "'private_release', :lineage, '{}', 'continue', 1, :payload)"
            ),
            {
                "id": made.checkpoint_id,
                "url": made.weights_url,
                "sha256": made.weights_sha256,
                "at": at,
                "active": made is ACTIVE,
                "lineage": json.dumps(dict(made.lineage)),
                "payload": b"\0" * 32,
            },
        )
    for alias, made in (("active", ACTIVE), ("candidate", CANDIDATE)):
        connection.execute(
            text("INSERT INTO model_aliases VALUES ('default', 'walk', :alias, :id, 3)"),
            {"alias": alias, "id": made.checkpoint_id},
        )
    for name, state, percent in (("trial", "started", 5.0), ("over", "ended", 0.0)):
        connection.execute(
            text(
                "INSERT INTO rollouts (tenant, rollout_id, loop, candidate, active, state, "
                "traffic_percent, reasons, recorded_at) VALUES "
                "('default', :name, 'walk', :candidate, :active, :state, :percent, '[]', :at)"
            ),
            {
                "name": name,
                "candidate": CANDIDATE.checkpoint_id,
                "active": ACTIVE.checkpoint_id,
                "state": state,
                "percent": percent,
                "at": at,
            },
        )


class OldWorkspaceSuite:
    @pytest.fixture
    @abstractmethod
    def engine(self) -> Engine:
        """A database that was made before and is opened now."""

    def test_it_serves_what_it_served(self, engine: Engine) -> None:
        head = SqlDeploymentStore(engine).head("walk")
        assert (head.revision, head.deployment_id) == (0, "")
        assert head.serves == {"policy": Serves(ACTIVE.checkpoint_id, 3)}
        assert head.trial is not None
        assert (head.trial.rollout_id, head.trial.generation) == ("trial", 0)
        assert head.trial.percent_at(NOON) == 5.0
        assert head.trial.history == (Stay("started", 5.0, NOON),)
        assert SqlDeploymentStore(engine).heads() == (head,)

    def test_its_trial_goes_on_and_ends(self, engine: Engine) -> None:
        rollouts = SqlRolloutStore(engine)
        trial = rollouts.rollout("trial")
        further = rollouts.advance(replace(trial, traffic_percent=25.0), "step", "well", "cli:test")
        assert (further.generation, further.history) == (1, trial.history)
        assert rollouts.rollout("trial") == further
        rollouts.end("trial", "enough")
        assert SqlRegistry(engine).alias("walk", "candidate") == (None, 4)
        assert SqlDeploymentStore(engine).head("walk").revision == 2

    def test_its_first_swap_moves_what_it_must(self, engine: Engine) -> None:
        deployments = SqlDeploymentStore(engine)
        head = deployments.swap(deployment(part(2)), 0, "deployed", "better", "cli:test")
        assert head.serves == {"policy": Serves(CANDIDATE.checkpoint_id, 4)}
        assert SqlRegistry(engine).checkpoint(CANDIDATE.checkpoint_id).active


class TestOnSqlite(OldWorkspaceSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        before = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
        with before.begin() as connection:
            upgrade(connection, BEFORE)
            fill(connection)
        before.dispose()
        opened = open_database("", tmp_path / "state.db")
        yield opened
        opened.dispose()


class TestOnPostgresql(OldWorkspaceSuite):
    @pytest.fixture
    def engine(self, tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[Engine]:
        url = postgresql.new_database(migrated=False)
        before = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with before.begin() as connection:
            upgrade(connection, BEFORE)
            fill(connection)
        before.dispose()
        yield open_database(url, tmp_path)
        close_connections()
