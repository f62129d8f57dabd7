"""What was measured of a model: by the run that made it, and since it serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from everloop.contracts.documents import read
from everloop.contracts.errors import EverloopError
from everloop.contracts.evaluation import PolicyEvaluation, Verdict
from everloop.contracts.figures import HeadFigures
from everloop.contracts.models import ModelCheckpoint, ModelType, RunRecord
from everloop.contracts.rollouts import RolloutRecord
from everloop.serving.models.finding import is_active, version_of
from everloop.wiring import Workspace

MOST_COUNTED = 100_000
"""Decisions are counted to here: a model that serves millions must not make a figure cost minutes."""

_MOST_RUNS = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """Measured figures alone; what is not known is ``None``.

    Attributes:
        run: the run that registered the checkpoint, where its record and outputs are still there.
        active: whether it serves, under the alias of its kind.
        evaluation, verdict: that run's own, from the same outputs that its report shows; an evaluation is
            of policies alone.
        decisions: stored decisions that carry the model's version, counted to ``MOST_COUNTED``.
        rollout: its newest trial, or the refusal of one.
    """

    checkpoint: ModelCheckpoint
    active: bool
    run: RunRecord | None
    evaluation: PolicyEvaluation | None
    verdict: Verdict | None
    decisions: int
    rollout: RolloutRecord | None


def figures_of(workspace: Workspace, checkpoint: ModelCheckpoint) -> ModelFigures:
    """Read what is known of a checkpoint."""
    run = next(_runs(workspace, checkpoint), None)
    trials = workspace.rollouts.rollouts(checkpoint.loop, checkpoint.tenant)
    return ModelFigures(
        checkpoint=checkpoint,
        active=is_active(workspace, checkpoint),
        run=run,
        evaluation=(
            _output(PolicyEvaluation, run, "evaluate_policy", "evaluation")
            if checkpoint.model_type is ModelType.INTERVENTION
            else None
        ),
        verdict=_output(Verdict, run, "gate", "verdict"),
        decisions=_decisions(workspace, checkpoint),
        rollout=next((r for r in trials if r.candidate == checkpoint.checkpoint_id), None),
    )


def _runs(workspace: Workspace, checkpoint: ModelCheckpoint) -> Iterator[RunRecord]:
    """Runs that made this checkpoint, newest first."""
    on = checkpoint.lineage.get("logical_date", "")
    for run in workspace.runs.runs(checkpoint.loop, _MOST_RUNS):
        if (run.tenant, run.logical_date) == (checkpoint.tenant, on) and _made(run, checkpoint):
            yield run


def _made(run: RunRecord, checkpoint: ModelCheckpoint) -> bool:
    """Whether the run registered it: its policy by id, its other models by their file."""
    registered = _output(ModelCheckpoint, run, "register", "checkpoint", "checkpoint.json")
    if registered is None or checkpoint.model_type is ModelType.INTERVENTION:
        return registered is not None and registered.checkpoint_id == checkpoint.checkpoint_id
    heads = _output(HeadFigures, run, "export_heads", "heads", "heads.json")
    made = (checkpoint.model_type.value, checkpoint.weights_sha256)
    return heads is not None and made in [(h.model_type, h.sha256) for h in heads.models]


def _output(
    kind: type[T], run: RunRecord | None, stage: str, name: str, file: str = ""
) -> T | None:
    """A stage's output; ``None`` where the run did not get there or the file is gone or damaged."""
    for record in run.stages if run else ():
        if record.stage == stage and name in record.artefacts:
            with suppress(EverloopError, OSError):
                return read(kind, Path(record.artefacts[name]) / file)
    return None


def _decisions(workspace: Workspace, checkpoint: ModelCheckpoint) -> int:
    deployed = any(
        entry["checkpoint_id"] == checkpoint.checkpoint_id
        for entry in workspace.registry.deployment_log(checkpoint.loop, checkpoint.tenant)
    )
    if not deployed:
        return 0
    return workspace.decisions.served(
        checkpoint.loop,
        version_of(checkpoint),
        checkpoint.training_date,
        MOST_COUNTED,
        checkpoint.tenant,
    )
