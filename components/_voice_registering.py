"""A voice before the gate, in the registry and on trial."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from components._checkpoint import CHECKPOINT
from components._voice_data import failures_of
from components._voice_models import ADAPTER, FIGURES, version_of
from components._voice_persona import persona_of
from components._voice_scoring import scorer_files
from components._voice_trying import SEED, VARIED
from everloop.adaptation.building import TRAIN_FILE
from everloop.adaptation.collected import CollectedFigures, read_collected
from everloop.adaptation.failures import instances_of_failures
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.training.train import tasks_of
from everloop.contracts.documents import read, sha256_of, write, write_atomically
from everloop.contracts.evaluation import Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.oversight import OversightKind
from everloop.contracts.personas import PersonaRevision
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.sandboxes import SandboxReport
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import (
    AdapterFigures,
    DataFigures,
    ModelVersion,
    SourceType,
    StrategyChoice,
    TrainingDataInstance,
    VersionStatus,
    VoiceComparison,
)
from everloop.gates.voice import VoiceEvidence
from everloop.loops.sections import voice_of
from everloop.persona.prompt_artefact import FILE as PROMPT_FILE
from everloop.persona.prompt_artefact import write_prompt
from everloop.registry.manifest import voice_candidate_of
from everloop.registry.promotion import adopted
from everloop.registry.registration import Candidate, register
from everloop.rollout.start import start_rollout
from everloop.sandbox.choosing import scenarios_of
from everloop.speaking.adapters import ADAPTER_FILES, WEIGHTS
from everloop.trust.voice_card import (
    CARD_FILE,
    PUBLIC_CARD_FILE,
    public_voice_card,
    voice_card,
)
from everloop.wiring import Workspace

PROMPT = "prompt.json"
"""The prompt's checkpoint in a registration's output."""
ADAPTER_ROLE = "adapter"


def provenance_of(figures: AdapterFigures) -> Provenance:
    """A private training is a release; any other is made of what people agreed to."""
    private = figures.epsilon is not None and bool(figures.release_id)
    return Provenance.PRIVATE_RELEASE if private else Provenance.CONSENTED_TEXT


def voice_evidence(
    spec: LoopSpec, workspace: Workspace, tenant: str, inputs: tuple[Path, ...]
) -> VoiceEvidence:
    """Read what the gate may look at.

    Args:
        inputs: data, adapter, placebo, findings.
    """
    data, adapter, placebo, findings = inputs
    training = read(AdapterFigures, adapter / FIGURES)
    version = version_of(spec, training)
    words = [
        workspace.oversights.latest(
            spec.name, OversightKind.APPROVAL, deployment.deployment_id, tenant
        )
        for deployment in workspace.deployments.deployments(spec.name, tenant=tenant)
        if (part := deployment.artefact(ADAPTER_ROLE)) and part.version == version
    ]
    said = max((word for word in words if word), key=lambda word: word.at, default=None)
    return VoiceEvidence(
        provenance=provenance_of(training),
        adapter_sha256=training.adapter_sha256,
        data=read(DataFigures, data / FIGURES),
        training=training,
        placebo=read(AdapterFigures, placebo / FIGURES),
        sandbox=read(SandboxReport, findings),
        budget=_budget(spec, workspace) if training.release_id else None,
        approval=None if said is None or said.passed else said,
        inputs={
            "data": sha256_of(data / TRAIN_FILE),
            "adapter": training.adapter_sha256,
            "placebo": sha256_of(placebo / FIGURES),
            "findings": sha256_of(findings),
            "loop_spec": spec.checksum,
        },
    )


def _budget(spec: LoopSpec, workspace: Workspace) -> BudgetStatus:
    """What people have spent by now, the adapter's release included."""
    return workspace.ledger.status(spec, datetime.now(UTC).date())


def register_candidate_voice(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    inputs: tuple[Path, ...],
    out: Path,
) -> ModelCheckpoint:
    """Register adapter and prompt, and record both ways what the adapter learned from.

    Args:
        run: logical date, tenant, code.
        inputs: collection, data, strategy, scorer, adapter, measure, findings, verdict.
        out: receives the rows and the card.
    """
    collection, data, strategy, scorer, adapter, measure, findings, verdict = inputs
    logical_date, tenant, code = run
    voice, now = voice_of(spec), datetime.now(UTC)
    training = read(AdapterFigures, adapter / FIGURES)
    answer, compared = read(Verdict, verdict), read(VoiceComparison, measure)
    tried = read(SandboxReport, findings)
    choice = read(StrategyChoice, strategy)
    known = read_collected(collection).figures
    tried_with = persona_of(collection)
    lineage = {
        "dataset": known.collected_id,
        "data": sha256_of(data / TRAIN_FILE),
        "loop_spec": spec.checksum,
        "code": code,
        "base": training.base_sha256,
        "persona": tried_with.sha256,
        "logical_date": logical_date,
        "version": version_of(spec, training),
        "strategy": " ".join(way.value for way in choice.chosen),
    }
    if training.release_id:
        lineage["adapter_release"] = training.release_id
    files, judged = scorer_files(scorer, provenance_of(training))
    lineage |= judged
    out.mkdir(parents=True, exist_ok=True)
    card = write_atomically(
        voice_card(
            spec,
            voice,
            version=lineage["version"],
            provenance=provenance_of(training),
            lineage=lineage,
            data=read(DataFigures, data / FIGURES),
            training=training,
            comparison=compared,
            sandbox=tried,
            verdict=answer,
        ).encode(),
        out / CARD_FILE,
    )
    files |= {name: adapter / ADAPTER / name for name in ADAPTER_FILES}
    if provenance_of(training) is Provenance.PRIVATE_RELEASE:
        # The card and the figures above count people exactly: they stay in the run's own folder.
        told = public_voice_card(
            spec, voice, version=lineage["version"], lineage=lineage, training=training
        )
        files[PUBLIC_CARD_FILE] = write_atomically(told.encode(), out / PUBLIC_CARD_FILE)
    else:
        files |= {FIGURES: adapter / FIGURES, CARD_FILE: card}
    row = register(
        Candidate(
            loop=spec.name,
            tenant=tenant,
            model_type=ModelType.ADAPTER,
            files=files,
            served=WEIGHTS,
            performance_metrics=_figures(compared, tried),
            lineage=lineage,
            provenance=provenance_of(training),
            verdict=answer.decision.value,
            training_date=now,
        ),
        workspace.registry,
        workspace.blobs,
    )
    # A corpus is named by source and licence; what people said is found row by row.
    tasks = tasks_of(choice, voice.privacy.epsilon is not None)
    learned = tuple(
        example
        for example in read_instances(data / TRAIN_FILE)
        if example.source_type is not SourceType.CORPUS and example.task in tasks
    )
    write(row, out / CHECKPOINT)
    write(_register_prompt(spec, workspace, tenant, lineage, answer, tried_with, out), out / PROMPT)
    workspace.voices.add_version(version_row(voice, row, training, known, learned))
    workspace.voices.add_instances(learned, row.checkpoint_id)
    failed = instances_of_failures(tried.runs, scenarios_of(voice, SEED, varied=VARIED), tenant)
    workspace.voices.add_instances(failed, failures_of(voice))
    return row


def version_row(
    voice: VoiceSpec,
    row: ModelCheckpoint,
    training: AdapterFigures,
    known: CollectedFigures,
    learned: Iterable[TrainingDataInstance],
) -> ModelVersion:
    """A registered adapter as a version of its persona; the store numbers it."""
    return ModelVersion(
        model_id=row.checkpoint_id,
        persona=voice.persona,
        base_model_name=voice.base.name,
        version_number=1,
        creation_date=row.training_date,
        training_references=tuple(instance.instance_id for instance in learned),
        performance_metrics=row.performance_metrics,
        status=VersionStatus.EXPERIMENTAL,
        tenant=row.tenant,
        continued_from=training.continued_from or None,
        # What arrived while it was trained was not learned from.
        data_until=known.newest,
    )


def _register_prompt(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    lineage: dict[str, str],
    answer: Verdict,
    revision: PersonaRevision,
    out: Path,
) -> ModelCheckpoint:
    """The persona graph that was tried, byte for byte."""
    file = write_prompt(revision, out)
    version = f"{voice_of(spec).persona}-r{revision.number}"
    return register(
        Candidate(
            loop=spec.name,
            tenant=tenant,
            model_type=ModelType.PROMPT,
            files={PROMPT_FILE: file},
            served=PROMPT_FILE,
            performance_metrics={},
            lineage={
                "dataset": lineage["dataset"],
                "loop_spec": lineage["loop_spec"],
                "code": lineage["code"],
                "version": version,
                "revision": str(revision.number),
            },
            provenance=Provenance.CONSENTED_TEXT,
            verdict=answer.decision.value,
            training_date=datetime.now(UTC),
        ),
        workspace.registry,
        workspace.blobs,
    )


def begin_voice_trial(
    spec: LoopSpec, workspace: Workspace, run: tuple[str, str], inputs: tuple[Path, Path, Path]
) -> RolloutRecord:
    """Record the candidate's manifest, its prompt and what serves beside it, and act on the verdict.

    Args:
        run: logical date, tenant.
        inputs: measure, verdict, checkpoint.
    """
    measure, verdict, checkpoint = inputs
    now = datetime.now(UTC)
    adapter = read(ModelCheckpoint, checkpoint / CHECKPOINT)
    _, serving = adopted(spec.name, run[1], workspace.registry, workspace.deployments)
    deployment = voice_candidate_of(
        adapter,
        read(ModelCheckpoint, checkpoint / PROMPT),
        serving,
        now,
        verdict=read(Verdict, verdict),
        predicted=read(VoiceComparison, measure).effect,
        run_id=f"{spec.name} voice {run[0]}",
    )
    return start_rollout(spec, deployment, workspace, now, serving)


def _figures(compared: VoiceComparison, tried: SandboxReport) -> dict[str, float]:
    found = {f"perplexity_{name}": value for name, value in compared.perplexity.items()}
    for name, estimate in (
        ("effect", compared.effect),
        ("effect_at_equal_length", compared.length_adjusted),
        ("over_active", compared.over_active),
        ("forgetting", compared.golden),
        ("length_ratio", compared.length_ratio),
        *(() if compared.reward is None else (("reward", compared.reward),)),
    ):
        found |= {
            name: estimate.value,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
            f"{name}_n": float(estimate.n),
        }
    passed = sum(run.status.value == "passed" for run in tried.runs)
    return found | {"scenarios": float(len(tried.runs)), "scenarios_passed": float(passed)}
