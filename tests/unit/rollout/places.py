"""The controller's stores on a database of their own, with checkpoints whose files exist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollouts import POLICY, Artefact, Deployment, deployment_id_of
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.deployments import SqlDeploymentStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.oversights import SqlOversightStore
from everloop.storage.sql.registry import SqlRegistry
from everloop.storage.sql.rollouts import SqlRolloutStore
from everloop.storage.sql.tallies import SqlTallyStore

LOOP = "companion"
NOW = datetime(2025, 11, 21, 3, tzinfo=UTC)
GO = Verdict(Decision.CONTINUE, (Check("overlap", CheckStatus.PASSED, "Enough overlap."),))
HOLD = Verdict(Decision.HOLD, (Check("overlap", CheckStatus.FAILED, "Too little overlap."),))
ASKS = Verdict(
    Decision.HOLD,
    (
        *GO.checks,
        Check("parity", CheckStatus.INSUFFICIENT, "38 people.", person_decides=True),
    ),
)
PREDICTED = Estimate("difference", 0.02, -0.01, 0.05, 0.95, 900, 400, "dr")


@dataclass
class Places:
    """See ``TrialPlaces``."""

    folder: Path
    rollouts: SqlRolloutStore
    deployments: SqlDeploymentStore
    tallies: SqlTallyStore
    oversights: SqlOversightStore
    registry: SqlRegistry
    blobs: LocalBlobStore

    def checkpoint(self, name: str, **changes: Any) -> ModelCheckpoint:
        file = self.folder / f"{name}.onnx"
        file.write_bytes(name.encode())
        url, sha256 = self.blobs.put(file)
        made = ModelCheckpoint(
            checkpoint_id=name,
            model_type=ModelType.INTERVENTION,
            loop=LOOP,
            weights_url=url,
            weights_sha256=sha256,
            performance_metrics={},
            training_date=NOW,
            provenance=Provenance.PRIVATE_RELEASE,
            lineage={"version": f"v-{name}"},
            verdict="continue",
        )
        return self.registry.register(replace(made, **changes))

    def manifest(self, name: str, verdict: Verdict | None = GO, **changes: Any) -> Deployment:
        row = self.registry.checkpoint(name)
        parts = (Artefact(POLICY, name, f"v-{name}", row.weights_sha256, "enc"),)
        made = Deployment(
            deployment_id=deployment_id_of(row.loop, row.tenant, parts),
            loop=row.loop,
            artefacts=parts,
            made_at=NOW,
            tenant=row.tenant,
            verdict=verdict,
            predicted=PREDICTED,
        )
        return replace(made, **changes)

    def serve(self, name: str, tenant: str = "default") -> Deployment:
        """Deploy a checkpoint by hand."""
        made = self.manifest(name, None)
        revision = self.deployments.head(LOOP, tenant).revision
        self.deployments.swap(made, revision, "deployed", "by hand", "ann")
        return made

    def candidate(self, tenant: str = "default") -> str | None:
        return self.registry.alias(LOOP, "candidate", tenant)[0]

    def active(self, tenant: str = "default") -> str | None:
        return self.registry.alias(LOOP, "active", tenant)[0]


def open_places(folder: Path) -> Places:
    engine = open_workspace_database(folder / "state.db")
    return Places(
        folder=folder,
        rollouts=SqlRolloutStore(engine),
        deployments=SqlDeploymentStore(engine),
        tallies=SqlTallyStore(engine),
        oversights=SqlOversightStore(engine),
        registry=SqlRegistry(engine),
        blobs=LocalBlobStore(folder / "blobs"),
    )
