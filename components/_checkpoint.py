"""A trained candidate and all that was found out about it, as a registered checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components._evaluation import COMPARED
from components._heads import register_heads
from components._private import provenance_of, released_note
from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.documents import read, write, write_atomically
from everloop.contracts.evaluation import PolicyEvaluation, Verdict
from everloop.contracts.figures import QualityFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.sweeps import SweepTable
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
    sweep: Any = None,
) -> ModelCheckpoint:
    """Register the candidate with its files, figures and lineage.

    ``artefacts`` are those of ``components/register.py``: dataset, user model, profiles, quality,
    policy, evaluation, comparison, heads, verdict. The checkpoint and its card are written into the
    folder ``out`` too; the heads become rows of their own. ``sweep``: the artifact of the search whose best
    trial the policy is.
    """
    dataset, user_model, profiles, quality, policy, evaluation, comparison, heads, verdict = (
        artefacts
    )
    folder = Path(policy.path)
    card = read(PolicyCard, folder / "policy.json")
    manifest = read(DatasetManifest, dataset.path)
    found = read(PolicyEvaluation, evaluation.path)
    compared = read(PolicyComparison, comparison.path)
    answer = read(Verdict, verdict.path)
    searched = read(SweepTable, sweep.path) if sweep else None
    lineage: dict[str, str] = {
        "dataset": manifest.dataset_id,
        "user_model_release": released_note(user_model.path).release_id,
        "profiles_release": released_note(profiles.path).release_id,
        "loop_spec": card.spec_sha256,
        "code": code,
        "encoder": card.encoder,
        "seed": str(card.seed),
        "weights": card.weights_sha256,
        "version": card.version,
        "learner": card.learner,
        COMPARED: " ".join(sorted(policy.version for policy in compared.policies)),
        "logical_date": manifest.logical_date.isoformat(),
        **(searched.lineage if searched else {}),
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
            comparison=compared,
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
            performance_metrics=_figures(found, card)
            | _compared(compared)
            | (_searched(searched) if searched else {}),
            lineage=lineage,
            provenance=provenance,
            verdict=answer.decision.value,
            training_date=datetime.now(UTC),
        ),
        workspace.registry,
        workspace.blobs,
    )
    write(row, out / CHECKPOINT)
    register_heads(spec, workspace, tenant, Path(heads.path), lineage, answer.decision.value)
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
    for rate in found.rates:
        figures |= {
            rate.name: rate.value,
            f"{rate.name}_low": rate.low,
            f"{rate.name}_high": rate.high,
            f"{rate.name}_n": float(rate.n),
        }
    return figures


def _searched(table: SweepTable) -> dict[str, float]:
    """What the best trial earned in simulation when judged again, of how many trials."""
    again = table.judged_again
    return {
        "trials": float(len(table.trials)),
        "simulated_return": again.value,
        "simulated_return_low": again.low,
        "simulated_return_high": again.high,
    }


def _compared(compared: PolicyComparison) -> dict[str, float]:
    """What every learner would have earned more than the baseline, and what privacy cost."""
    figures = {"compared": float(len(compared.policies))}
    named = [(f"difference_of_{p.learner}", p.evaluation.difference) for p in compared.policies]
    if compared.privacy_cost is not None:
        named.append(("privacy_cost", compared.privacy_cost))
    for name, estimate in named:
        figures |= {
            name: estimate.value,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
        }
    return figures
