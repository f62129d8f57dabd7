"""Everything that a voice's report shows, read from its steps' outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from components._checkpoint import CHECKPOINT
from components._private import refusal_of
from everloop.adaptation.collected import read_collected
from everloop.contracts.documents import read
from everloop.contracts.evaluation import Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.sandboxes import SandboxReport
from everloop.contracts.voices import (
    AdapterFigures,
    DataFigures,
    RewardModelFigures,
    StrategyChoice,
    VoiceComparison,
)
from everloop.reporting.voice import VoiceEvidence
from everloop.reporting.wording import interval

FIGURES = "figures.json"
T = TypeVar("T")


def run_evidence(
    spec: LoopSpec, run: tuple[str, str, str], artefacts: tuple[Any, ...]
) -> VoiceEvidence:
    """Read what the steps left; those that were not reached are None.

    Args:
        run: logical date, tenant, code.
        artefacts: those of ``components/voice_report.py``, in its order.
    """
    (
        collection, data, strategy, scorer, adapter, placebo, measure, findings, verdict,
        checkpoint, rollout,
    ) = artefacts  # fmt: skip
    logical_date, tenant, code = run
    collected = read_collected(Path(collection.path)).figures
    refusal = refusal_of(adapter.path) if adapter else None
    training = None if refusal else _document(AdapterFigures, adapter, FIGURES)
    row = _document(ModelCheckpoint, checkpoint, CHECKPOINT)
    lineage = {
        "collection": collected.collected_id,
        "loop_spec": spec.checksum,
        "code": code,
        "tenant": tenant,
    }
    if training is not None:
        lineage |= {"base": training.base_sha256, "adapter": training.adapter_sha256}
    if row is not None:
        lineage |= {"checkpoint": row.checkpoint_id, **row.lineage}
    return VoiceEvidence(
        spec=spec,
        run_id=f"{spec.name}-voice-{logical_date}",
        logical_date=logical_date,
        choice=_document(StrategyChoice, strategy),
        data=_document(DataFigures, data, FIGURES),
        training=training,
        refused="" if refusal is None else refusal.reason,
        placebo=_document(AdapterFigures, placebo, FIGURES),
        comparison=_document(VoiceComparison, measure),
        sandbox=_document(SandboxReport, findings),
        verdict=_document(Verdict, verdict),
        checkpoint=row,
        rollout=_document(RolloutRecord, rollout),
        reward_model=_scorer(_document(RewardModelFigures, scorer, FIGURES)),
        lineage=lineage,
    )


def _document(kind: type[T], artefact: Any, file: str = "") -> T | None:
    if not artefact:
        return None
    return read(kind, Path(artefact.path) / file if file else artefact.path)


def _scorer(found: RewardModelFigures | None) -> Mapping[str, str]:
    if found is None:
        return {}
    if found.refused:
        return {"none": found.refused}
    known = "not measured" if found.accuracy is None else interval(found.accuracy)
    return {
        "accuracy on held-out people": known,
        "pairs": f"{found.train_pairs:,} to learn from, {found.held_out_pairs:,} to judge on",
    }
