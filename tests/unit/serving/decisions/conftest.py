"""A workspace's models, made by hand, and an engine on them whose clocks the test winds."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.loading import ACTIVE
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.end import CANDIDATE
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.question import Question
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.decisions import SqlDecisionStore
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.oversights import SqlOversightStore
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from everloop.storage.sql.tallies import SqlTallyStore
from everloop.wiring import Workspace
from tests.made_policies import made_policy

START = datetime(2026, 3, 10, 12, tzinfo=UTC)


def loop(name: str = "coach", **changes: Any) -> LoopSpec:
    """Five actions: silence, two events, a harmless and a safety-critical intervention."""
    return LoopSpec.model_validate(
        {
            "name": name,
            "version": 1,
            "context": [
                {"name": "x", "kind": "number", "low": -1, "high": 1},
                {"name": "group", "kind": "category", "choices": ["a", "b"]},
            ],
            "actions": [
                {"id": "wait", "kind": "no_action"},
                {"id": "walk", "kind": "recommend_hive", "event_id": "w1"},
                {"id": "music", "kind": "recommend_hive", "event_id": "m1"},
                {"id": "cheer", "kind": "intervention", "tone": "warm", "message": "Well done."},
                {
                    "id": "alarm",
                    "kind": "intervention",
                    "tone": "calm",
                    "message": "Are you safe?",
                    "safety_critical": True,
                },
            ],
            "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
            **changes,
        }
    )


@dataclass
class Clock:
    """Stands until it is told to go."""

    at: datetime = START
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.at += timedelta(seconds=seconds)


@dataclass
class Jobs:
    """The two figures of ``JobStore`` that the engine asks for; ``questions`` counts the costly one."""

    episodes: dict[str, int] = field(default_factory=dict)
    last: int = 0
    questions: int = 0

    def last_episode(self, tenant: str = "default") -> int:
        return self.last

    def new_episodes(self, loop: str, after: int, at_most: int, tenant: str = "default") -> int:
        self.questions += 1
        return min(self.episodes.get(loop, 0), at_most)


@dataclass
class World:
    """Registry, blobs and rollouts of a workspace, with what tests do to them."""

    home: Path
    registry: SqlRegistry
    blobs: LocalBlobStore
    rollouts: SqlRolloutStore
    jobs: Jobs
    clock: Clock
    database: Engine
    decisions: SqlDecisionStore
    deployments: SqlDeploymentStore
    tallies: SqlTallyStore
    oversights: SqlOversightStore
    engines: list[DecisionEngine] = field(default_factory=list)

    def checkpoint(
        self, spec: LoopSpec, version: str, tenant: str = "default", **policy: Any
    ) -> ModelCheckpoint:
        """Register a policy; ``policy`` goes to ``made_policy``, ``provenance`` to the checkpoint."""
        provenance = policy.pop("provenance", Provenance.PRIVATE_RELEASE)
        path = made_policy(spec, version, self.home / f"{version}.onnx", **policy)
        card = self.home / "card.json"
        card.write_text("{}")
        return register(
            Candidate(
                loop=spec.name,
                model_type=ModelType.INTERVENTION,
                files={"policy.onnx": path, "card.json": card},
                served="policy.onnx",
                performance_metrics={},
                lineage=dict.fromkeys(REQUIRED_LINEAGE, version),
                provenance=provenance,
                verdict="continue",
                training_date=START,
                tenant=tenant,
            ),
            self.registry,
            self.blobs,
        )

    def point(
        self, spec: LoopSpec, to: str | None, alias: str = ACTIVE, tenant: str = "default"
    ) -> int:
        generation = self.registry.alias(spec.name, alias, tenant)[1]
        return self.registry.set_alias(spec.name, alias, to, generation, "a test", tenant)

    def deploy(
        self, spec: LoopSpec, version: str, tenant: str = "default", **policy: Any
    ) -> ModelCheckpoint:
        made = self.checkpoint(spec, version, tenant, **policy)
        self.point(spec, made.checkpoint_id, tenant=tenant)
        return made

    def trial(
        self,
        spec: LoopSpec,
        version: str,
        percent: float,
        tenant: str = "default",
        **policy: Any,
    ) -> RolloutRecord:
        made = self.checkpoint(spec, version, tenant, **policy)
        record = self.rollouts.start(
            RolloutRecord(
                rollout_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant}/{version}")),
                loop=spec.name,
                candidate=made.checkpoint_id,
                active=self.registry.alias(spec.name, ACTIVE, tenant)[0],
                state="started",
                traffic_percent=percent,
                reasons=(),
                recorded_at=START,
                tenant=tenant,
            )
        )
        self.point(spec, made.checkpoint_id, CANDIDATE, tenant)
        return record

    def blob(self, checkpoint: ModelCheckpoint) -> Path:
        return self.home / "blobs" / checkpoint.weights_sha256[:2] / checkpoint.weights_sha256

    def damage(self, checkpoint: ModelCheckpoint) -> bytes:
        """Flip a byte of the weights; what they were."""
        path = self.blob(checkpoint)
        good = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        return good

    def engine(self, *loops: LoopSpec, seed: int = 7, **more: Any) -> DecisionEngine:
        made = DecisionEngine(
            cast("Workspace", self),
            {spec.name: spec for spec in loops},
            self.clock,
            poll_s=more.pop("poll_s", 3600.0),
            rng=random.Random(seed),
            monotonic=self.clock.monotonic,
            **more,
        )
        made.start()
        self.engines.append(made)
        return made


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database: copying it is faster than migrating one for every test."""
    path = tmp_path_factory.mktemp("empty") / "state.db"
    open_workspace_database(path).dispose()
    return path


@pytest.fixture
def world(tmp_path: Path, migrated: Path) -> Iterator[World]:
    shutil.copy(migrated, tmp_path / "state.db")
    database = open_workspace_database(tmp_path / "state.db")
    made = World(
        tmp_path,
        SqlRegistry(database),
        LocalBlobStore(tmp_path / "blobs"),
        SqlRolloutStore(database),
        Jobs(),
        Clock(),
        database,
        SqlDecisionStore(database),
        SqlDeploymentStore(database),
        SqlTallyStore(database),
        SqlOversightStore(database),
    )
    yield made
    for engine in made.engines:
        engine.close()
    database.dispose()


def person(number: int) -> str:
    return f"{number:064x}"


def question(
    spec: LoopSpec,
    who: int = 1,
    context: Mapping[str, Json] | None = None,
    valid: Sequence[str] | None = None,
    **more: Any,
) -> Question:
    return Question(
        decision_id=str(uuid.uuid4()),
        spec=spec,
        user_id=person(who),
        context={"x": 0.0, "group": "a"} if context is None else context,
        request_sha256="0" * 64,
        valid_actions=None if valid is None else tuple(valid),
        **more,
    )
