"""A registry, a blob store and a candidate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.ports import BlobStore, Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.registry.registration import REQUIRED_LINEAGE, VOICE_LINEAGE, Candidate
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.registry import SqlRegistry


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    return open_workspace_database(tmp_path / "state.db")


@pytest.fixture
def registry(database: Engine) -> Registry:
    return SqlRegistry(database)


@pytest.fixture
def deployments(database: Engine) -> DeploymentStore:
    return SqlDeploymentStore(database)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def make_candidate(tmp_path: Path) -> Callable[..., Candidate]:
    files = {"policy.onnx": b"onnx", "policy.safetensors": b"weights", "policy.json": b"{}"}
    paths = {}
    for name, content in files.items():
        paths[name] = tmp_path / name
        paths[name].write_bytes(content)

    def make(**changes: Any) -> Candidate:
        values: dict[str, Any] = {
            "loop": "walk",
            "model_type": ModelType.INTERVENTION,
            "files": paths,
            "served": "policy.onnx",
            "performance_metrics": {"value": 0.25},
            "lineage": dict.fromkeys((*REQUIRED_LINEAGE, *VOICE_LINEAGE), "x"),
            "provenance": Provenance.PRIVATE_RELEASE,
            "verdict": "continue",
            "training_date": datetime(2026, 3, 10, 4, tzinfo=UTC),
        }
        return Candidate(**(values | changes))

    return make


@pytest.fixture
def candidate(make_candidate: Callable[..., Candidate]) -> Candidate:
    return make_candidate()
