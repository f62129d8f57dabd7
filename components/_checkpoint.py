"""A trained candidate and all that was found out about it, as a registered checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components._private import provenance_of, released_note
from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read, write, write_atomically
from everloop.contracts.evaluation import PolicyEvaluation, Verdict
from everloop.contracts.figures import QualityFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.registry.registration import Candidate, register
from everloop.trust.model_card import AUDIENCES, CARD_FILES, model_card
from everloop.wiring import Workspace
from rl.policy_card import PolicyCard

CHECKPOINT = "checkpoint.json"


def register_candidate(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    code: str,
    artefacts: tuple[Any, ...],
    out: Path,
) -> ModelCheckpoint:
    """Register the candidate with its files, figures and lineage.

    ``artefacts`` are those of ``components/register.py``: dataset, user model, profiles, quality,
    policy, evaluation, verdict. The checkpoint and its card are written into the folder ``out`` too.
    """
    dataset, user_model, profiles, quality, policy, evaluation, verdict = artefacts
    folder = Path(policy.path)
    card = read(PolicyCard, folder / "policy.json")
    manifest = read(DatasetManifest, dataset.path)
    found = read(PolicyEvaluation, evaluation.path)
    answer = read(Verdict, verdict.path)
    lineage = {
        "dataset": manifest.dataset_id,
        "user_model_release": released_note(user_model.path).release_id,
        "profiles_release": released_note(profiles.path).release_id,
        "loop_spec": card.spec_sha256,
        "code": code,
        "encoder": card.encoder,
        "seed": str(card.seed),
        "weights": card.weights_sha256,
        "version": card.version,
        "logical_date": manifest.logical_date.isoformat(),
    }
    notes = (released_note(user_model.path), released_note(profiles.path))
    provenance = provenance_of(policy.path, notes)
    cards = {
        audience: model_card(
            spec,
            version=card.version,
            provenance=provenance,
            releases=notes,
            lineage=lineage,
            dataset=manifest,
            evaluation=found,
            verdict=answer,
            published=read(QualityFigures, quality.path).published,
            audience=audience,
        )
        for audience in AUDIENCES
    }
    card_files = [
        write_atomically(text.encode(), out / CARD_FILES[audience])
        for audience, text in cards.items()
    ]
    names = ("policy.onnx", "policy.safetensors", "policy.json")
    row = register(
        Candidate(
            loop=spec.name,
            tenant=tenant,
            model_type=ModelType.INTERVENTION,
            files={name: folder / name for name in names} | {f.name: f for f in card_files},
            served="policy.onnx",
            performance_metrics=_figures(found, card),
            lineage=lineage,
            provenance=provenance,
            verdict=answer.decision.value,
            training_date=datetime.now(UTC),
        ),
        workspace.registry,
        workspace.blobs,
    )
    write(row, out / CHECKPOINT)
    return row


def _figures(found: PolicyEvaluation, card: PolicyCard) -> dict[str, float]:
    figures = {
        "difference": found.difference.value,
        "difference_low": found.difference.low,
        "difference_high": found.difference.high,
        "baseline": found.baseline.value,
        "evaluated_decisions": float(found.difference.n),
        "evaluated_people": float(found.difference.clusters),
        "effective_sample": found.overlap.effective_sample,
        "simulated_reward": card.last_reward,
    }
    for estimate in found.estimates:
        figures |= {
            estimate.name: estimate.value,
            f"{estimate.name}_low": estimate.low,
            f"{estimate.name}_high": estimate.high,
        }
    return figures
