"""The manifest of a registered candidate, and of what serves while it is tried."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from components._checkpoint import CHECKPOINT
from everloop.contracts.documents import read
from everloop.contracts.evaluation import PolicyEvaluation, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.manifest import candidate_of
from everloop.registry.promotion import adopted
from everloop.rollout.start import start_rollout
from everloop.wiring import Workspace


def begin_trial(
    spec: LoopSpec,
    workspace: Workspace,
    artefacts: tuple[Any, ...],
    run_id: str,
    now: datetime,
) -> RolloutRecord:
    """Record the candidate's manifest and act on its verdict.

    The manifest holds the policy, the heads of its night that may serve, and what serves on beside them.

    ``artefacts``: evaluation, verdict, checkpoint.
    """
    evaluation, verdict, checkpoint = artefacts
    row = read(ModelCheckpoint, Path(checkpoint.path) / CHECKPOINT)
    found = read(PolicyEvaluation, evaluation.path)
    _, serving = adopted(row.loop, row.tenant, workspace.registry, workspace.deployments)
    deployment = candidate_of(
        row,
        workspace.registry,
        serving,
        now,
        verdict=read(Verdict, verdict.path),
        predicted=found.difference,
        baseline=found.baseline,
        run_id=run_id,
    )
    return start_rollout(spec, deployment, workspace, now, serving)
