"""What a run found, read from its steps' outputs: for the gate and for the report."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from components._checkpoint import CHECKPOINT
from components._evaluation import protected_groups
from components._explanations import SAMPLE, explained_share_of, explanations_total
from components._heads import FIGURES
from components._patterns import STATISTICS
from components._private import Refusal, provenance_of, refusal_of, released_file, released_note
from everloop.contracts.datasets import DatasetManifest, EncodedEpisodes, Float
from everloop.contracts.documents import read, sha256_of
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.evaluation import (
    PolicyEvaluation,
    TrainingExplanation,
    ValidationReport,
    Verdict,
)
from everloop.contracts.feedback import TrustFigures
from everloop.contracts.figures import (
    HeadFigures,
    QualityFigures,
    RewardFigures,
    SuccessFigure,
    TrainingFigures,
)
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, StageRecord
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.privacy import ReleaseNote
from everloop.contracts.rollouts import POLICY, RolloutRecord, alias_of
from everloop.contracts.simulation import UserModel
from everloop.contracts.sweeps import SweepTable
from everloop.gates.evidence import GateEvidence
from everloop.gates.plugins import fingerprint
from everloop.privacy.spent_by_day import spent_by_day
from everloop.reporting.evidence import DAILY, RunEvidence, logged_action_share
from everloop.reporting.success import success_figures, unmeasured
from everloop.wiring import Workspace
from rl.encoders import layout
from rl.policy_card import PolicyCard
from synthetic.profiles.group_patterns import group_patterns
from synthetic.profiles.statistics import load_statistics
from synthetic.user_model import load_user_model

T = TypeVar("T")
_ROWS: Final = 16_384


def gate_evidence(
    spec: LoopSpec, workspace: Workspace, tenant: str, now: datetime, artefacts: tuple[Any, ...]
) -> GateEvidence:
    """Read what the gate may look at: the steps before it, what serves, and what people said of it.

    ``artefacts`` are those of ``components/gate.py``, in its order.
    """
    names = (
        *("validation", "rewards", "user_model", "profiles", "quality"),
        *("policy", "evaluation", "explanations"),
    )
    found = dict(zip(names, artefacts, strict=True))
    notes = [released_note(found[name].path) for name in ("user_model", "profiles")]
    policy = Path(found["policy"].path)
    active, _ = workspace.registry.alias(spec.name, alias_of(POLICY), tenant)
    serving = workspace.registry.checkpoint(active) if active else None
    words = {
        "approval": rejection(workspace, spec, tenant, read(PolicyCard, policy / "policy.json")),
        "review": workspace.oversights.latest(spec.name, OversightKind.REVIEW, tenant=tenant),
        "adversarial_test": workspace.oversights.latest(
            spec.name, OversightKind.ADVERSARIAL_TEST, tenant=tenant
        ),
    }
    inputs = {name: sha256_of(artefact.path) for name, artefact in found.items()}
    inputs |= {name: word.sha256 for name, word in words.items() if word}
    inputs |= {"loop_spec": spec.checksum, "installed_checks": fingerprint()}
    inputs["active"] = serving.weights_sha256 if serving else ""
    return GateEvidence(
        provenance=provenance_of(found["policy"].path, notes),
        validation=read(ValidationReport, found["validation"].path),
        evaluation=read(PolicyEvaluation, found["evaluation"].path),
        quality=read(QualityFigures, found["quality"].path).checks,
        anomaly_share=read(
            RewardFigures, Path(found["rewards"].path) / "figures.json"
        ).anomaly_share,
        budget=max(
            (n.budget for n in notes), key=lambda b: (b.mu_squared_period, b.epsilon_tonight)
        ),
        explained_share=explained_share_of(found["explanations"].path),
        policy_sha256=sha256_of(policy / "policy.onnx"),
        active=serving,
        now=now,
        inputs={name: sha256 for name, sha256 in inputs.items() if sha256},
        **words,
    )


def rejection(
    workspace: Workspace, spec: LoopSpec, tenant: str, policy: PolicyCard
) -> Oversight | None:
    """The newest word on a deployment of the very same policy, where it is a no.

    Nights without a new release train the same policy again: whoever rejected it is not asked anew. A yes
    was said of one trial and starts no other.
    """
    words = [
        workspace.oversights.latest(
            spec.name, OversightKind.APPROVAL, deployment.deployment_id, tenant
        )
        for deployment in workspace.deployments.deployments(spec.name, tenant=tenant)
        if (part := deployment.artefact(POLICY)) and part.version == policy.version
    ]
    said = [word for word in words if word is not None]
    newest = max(said, key=lambda word: (word.at, not word.passed), default=None)
    return None if newest is None or newest.passed else newest


def run_evidence(
    spec: LoopSpec,
    workspace: Workspace,
    logical_date: str,
    tenant: str,
    code: str,
    artefacts: tuple[Any, ...],
    sweep: Any = None,
    graph: str = DAILY,
) -> RunEvidence:
    """Read everything that the report shows; steps that the run did not reach are None.

    ``artefacts`` are those of ``components/report.py``, in its order. Trust and opt-outs are read from
    the workspace, as known when the version was cut off. ``sweep``: an experiment's table of trials;
    ``graph``: whose run it is.
    """
    (
        dataset, validation, rewards, encoded, user_model, profiles, quality, heads, policy,
        evaluation, comparison, explanations, verdict, checkpoint, rollout,
    ) = artefacts  # fmt: skip
    manifest = read(DatasetManifest, dataset.path)
    episodes = load_encoded(encoded.path) if encoded else None
    trust = workspace.feedback.trust(manifest.known_until, tenant)
    refusal = _refusal(user_model) or _refusal(profiles)
    return RunEvidence(
        spec=spec,
        run_id=f"{spec.name} {logical_date}",
        logical_date=date.fromisoformat(logical_date),
        tenant=tenant,
        manifest=manifest,
        validation=_document(ValidationReport, validation),
        rewards=_document(RewardFigures, rewards, "figures.json"),
        user_model=_note(user_model),
        profiles=_note(profiles),
        quality=_document(QualityFigures, quality),
        heads=_document(HeadFigures, heads, FIGURES),
        training=_document(TrainingFigures, policy, "figures.json"),
        evaluation=_document(PolicyEvaluation, evaluation),
        comparison=_document(PolicyComparison, comparison),
        logged_action_share=logged_action_share(spec, episodes) if episodes else {},
        verdict=_document(Verdict, verdict),
        rollout=_document(RolloutRecord, rollout),
        checkpoint=_document(ModelCheckpoint, checkpoint, CHECKPOINT),
        explanations=_document(tuple[TrainingExplanation, ...], explanations, SAMPLE) or (),
        explanations_total=explanations_total(explanations.path) if explanations else 0,
        success=_success(spec, episodes, manifest, user_model, trust),
        lineage={
            "dataset": manifest.dataset_id,
            "loop specification": spec.checksum,
            "code": code,
        },
        stages=tuple(_record(artefact) for artefact in artefacts if _told(artefact)),
        spending=spent_by_day(
            spec,
            workspace.ledger.history(f"{spec.name}/{tenant}"),
            date.fromisoformat(logical_date),
        ),
        patterns=_patterns(spec, profiles),
        deployments=workspace.deployments.deployments(spec.name, tenant=tenant),
        ended_at=refusal.stage if refusal else "",
        ended_because=refusal.reason if refusal else "",
        sweep=_document(SweepTable, sweep),
        graph=graph,
    )


def _document(kind: type[T], artefact: Any, file: str = "") -> T | None:
    return read(kind, Path(artefact.path) / file) if artefact else None


def _refusal(artefact: Any) -> Refusal | None:
    return refusal_of(artefact.path) if artefact else None


def _note(artefact: Any) -> ReleaseNote | None:
    return released_note(artefact.path) if artefact and not refusal_of(artefact.path) else None


def _patterns(spec: LoopSpec, profiles: Any) -> tuple[GroupPattern, ...]:
    if _note(profiles) is None:
        return ()
    released = load_statistics(Path(profiles.path) / STATISTICS, layout(spec))
    return group_patterns(layout(spec), released, spec)


def _told(artefact: Any) -> bool:
    return bool(artefact) and "stage" in artefact.metadata


def _record(artefact: Any) -> StageRecord:
    told = artefact.metadata
    return StageRecord(
        stage=str(told["stage"]),
        outcome="succeeded",
        seconds=float(told["seconds"]),
        summary=str(told["summary"]),
    )


def _expected_signals(model: UserModel, episodes: EncodedEpisodes) -> Float:
    """(n, S) what the user model expects of every episode, a block of rows at a time: what it sees of a
    decision is several hundred numbers."""
    slate = episodes.slate
    parts = [
        model.expected_signals(
            episodes.context[rows], episodes.action[rows], None if slate is None else slate[rows]
        )
        for rows in (slice(at, at + _ROWS) for at in range(0, max(1, len(episodes)), _ROWS))
    ]
    return np.concatenate(parts)


def _success(
    spec: LoopSpec,
    episodes: EncodedEpisodes | None,
    manifest: DatasetManifest,
    user_model: Any,
    trust: TrustFigures,
) -> tuple[SuccessFigure, ...]:
    if episodes is None:
        return unmeasured(spec, "the run ended before its episodes were encoded", trust)
    predicted = None
    if _note(user_model) is not None:
        model = load_user_model(released_file(user_model.path), spec)
        predicted = _expected_signals(model, episodes)
    return success_figures(
        spec,
        episodes,
        manifest=manifest,
        predicted=predicted,
        groups=protected_groups(spec, episodes),
        trust=trust,
    )
