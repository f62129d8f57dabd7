"""The manifest of a registered candidate, and of what serves while it is tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from components._checkpoint import CHECKPOINT
from everloop.contracts.documents import read
from everloop.contracts.evaluation import PolicyEvaluation, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import (
    POLICY,
    Artefact,
    Deployment,
    RolloutRecord,
    deployment_id_of,
)
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

    ``artefacts``: evaluation, verdict, checkpoint.
    """
    evaluation, verdict, checkpoint = artefacts
    row = read(ModelCheckpoint, Path(checkpoint.path) / CHECKPOINT)
    deployment = candidate_deployment(
        workspace,
        row,
        read(Verdict, verdict.path),
        read(PolicyEvaluation, evaluation.path),
        run_id,
        now,
    )
    serving = serving_deployment(workspace, row.loop, row.tenant, now)
    return start_rollout(spec, deployment, workspace, now, serving)


def candidate_deployment(
    workspace: Workspace,
    checkpoint: ModelCheckpoint,
    verdict: Verdict,
    evaluation: PolicyEvaluation,
    run_id: str,
    made_at: datetime,
) -> Deployment:
    """What would serve with the candidate: its policy, and all else as it serves today."""
    serves = serving_deployment(workspace, checkpoint.loop, checkpoint.tenant, made_at)
    others = () if serves is None else tuple(a for a in serves.artefacts if a.role != POLICY)
    made = _deployment(checkpoint, (artefact_of(POLICY, checkpoint), *others), made_at)
    return replace(
        made,
        verdict=verdict,
        predicted=evaluation.difference,
        baseline=evaluation.baseline,
        run_id=run_id,
    )


def serving_deployment(
    workspace: Workspace, loop: str, tenant: str, made_at: datetime
) -> Deployment | None:
    """What serves as a manifest; None where no policy does."""
    head = workspace.deployments.head(loop, tenant)
    parts = {
        role: workspace.registry.checkpoint(serves.checkpoint_id)
        for role, serves in sorted(head.serves.items())
        if serves.checkpoint_id is not None
    }
    if POLICY not in parts:
        return None
    artefacts = tuple(artefact_of(role, row) for role, row in parts.items())
    return _deployment(parts[POLICY], artefacts, made_at)


def artefact_of(role: str, row: ModelCheckpoint) -> Artefact:
    """A checkpoint as one part of a manifest."""
    return Artefact(
        role=role,
        artefact_id=row.checkpoint_id,
        version=row.lineage.get("version", ""),
        sha256=row.weights_sha256,
        encoder=row.lineage.get("encoder", ""),
    )


def _deployment(
    policy: ModelCheckpoint, artefacts: tuple[Artefact, ...], made_at: datetime
) -> Deployment:
    return Deployment(
        deployment_id=deployment_id_of(policy.loop, policy.tenant, artefacts),
        loop=policy.loop,
        artefacts=artefacts,
        made_at=made_at,
        tenant=policy.tenant,
    )
