"""A candidate voice measured on held-out people, and tried apart from everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from components._voice_models import (
    FIGURES,
    active_voice,
    base_of,
    speaker_with,
    trained_adapter,
    version_of,
)
from components._voice_persona import persona_of
from components._voice_scoring import scorer_sha256, trained_scorer
from everloop.adaptation.building import HELD_OUT_FILE
from everloop.adaptation.collected import Collected, read_collected
from everloop.adaptation.conversations import answered, asked
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.measuring import Voices, compare
from everloop.adaptation.own import golden_set
from everloop.adaptation.screens.language import BundledLanguageTeller
from everloop.adaptation.screens.pii import PersonalDataScreen
from everloop.adaptation.screens.toxicity import ProfanityScorer
from everloop.contracts.documents import read
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.sandboxes import SandboxReport, TestRunLog, VoiceOpening
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import AdapterFigures, VoiceComparison
from everloop.loops.sections import voice_of, voice_text
from everloop.opened_voice import FACTORY, service_configuration
from everloop.sandbox.choosing import scenarios_of
from everloop.sandbox.drift import RECENT
from everloop.sandbox.growing import LoggedFailure, scenarios_from
from everloop.sandbox.judges.llm import LlmJudge
from everloop.sandbox.panel import Screens
from everloop.sandbox.trying import Contestant, Surroundings, try_candidate
from everloop.settings import judge_access
from everloop.wiring import DATABASE, Workspace

SEED = 23
_GROWN = 20
"""Scenarios at most that are grown from what people disliked."""
VARIED = 12
"""Variants of scenarios that are added."""
_DISLIKED = -0.5
_CANDIDATE, _PLACEBO = "candidate", "placebo"


def measure_candidate(
    spec: LoopSpec, workspace: Workspace, tenant: str, inputs: tuple[Path, Path, Path, Path]
) -> VoiceComparison:
    """Candidate beside placebo and active voice.

    Args:
        inputs: data, adapter, placebo, scorer.
    """
    data, adapter, placebo, scorer = inputs
    voice, base = voice_of(spec), base_of(spec, workspace)
    active = active_voice(spec, workspace, tenant, base)
    candidate = trained_adapter(adapter, base, _CANDIDATE)
    other = trained_adapter(placebo, base, _PLACEBO)
    speaker = speaker_with(base, active.adapter, candidate, other)
    found = compare(
        speaker,
        tuple(read_instances(data / HELD_OUT_FILE)),
        golden_set(),
        Voices(_CANDIDATE, _PLACEBO, active.version),
        confidence=voice.thresholds.confidence,
        generation=voice.generation,
        seed=SEED,
        scorer=trained_scorer(base, scorer),
    )
    return replace(found, adapter_sha256=candidate.sha256, scorer_sha256=scorer_sha256(scorer))


def try_apart(
    spec: LoopSpec, workspace: Workspace, tenant: str, inputs: tuple[Path, Path, Path, Path]
) -> SandboxReport:
    """Every scenario with candidate and active voice, in a process without network.

    The placebo is loaded beside them: margins are told with its own, and what a swapped word moves in it
    is not laid at the candidate's door.

    Args:
        inputs: collection, adapter, placebo, measure.
    """
    collection, adapter, placebo, measure = inputs
    voice, base = voice_of(spec), base_of(spec, workspace)
    figures = read(AdapterFigures, adapter / FIGURES)
    active = active_voice(spec, workspace, tenant, base)
    candidate = trained_adapter(adapter, base, version_of(spec, figures))
    graph, comparison = persona_of(collection).content.decode(), read(VoiceComparison, measure)
    served = VoiceOpening(voice_text(spec), base, (candidate,), graph, comparison.scorer_sha256)
    other = trained_adapter(placebo, base, _PLACEBO)
    beside = (other,) if active.adapter is None else (other, active.adapter)
    opening = replace(served, adapters=(candidate, *beside))
    screens = Screens(ProfanityScorer(), PersonalDataScreen(), BundledLanguageTeller())
    disliked = _disliked(voice, read_collected(collection))
    grown = scenarios_from(disliked, screens.personal_data, _GROWN)
    scenarios = scenarios_of(voice, SEED, grown=grown.scenarios, varied=VARIED)
    journal = workspace.home / "training" / f"sandbox-{figures.adapter_sha256[:16]}"
    report = try_candidate(
        Contestant(figures.adapter_sha256, opening, candidate.version),
        Contestant(active.checkpoint_id, opening, active.version),
        scenarios,
        Surroundings(
            factory=FACTORY,
            service=service_configuration(served),
            running=workspace.voices.running(spec.name, datetime.now(UTC) - RECENT, tenant),
            screens=screens,
            outside=_judge(voice),
            guarded=_guarded(workspace),
            journal=journal,
            threads=torch.get_num_threads(),
            on_log=_Progress(2 * len(scenarios)),
        ),
        SEED,
        placebo=other.version,
        comparison=comparison,
    )
    shutil.rmtree(journal, ignore_errors=True)
    return report


def _judge(voice: VoiceSpec) -> LlmJudge | None:
    """The judge outside that the specification names, if it does."""
    if not voice.sandbox.llm_judge:
        return None
    access = judge_access()
    return LlmJudge(voice.sandbox.llm_judge, access.key, access.model)


def _guarded(workspace: Workspace) -> tuple[Path, ...]:
    named = (DATABASE, "secrets.env")
    return tuple(path for name in named if (path := workspace.home / name).exists())


def _disliked(voice: VoiceSpec, collected: Collected) -> Iterator[LoggedFailure]:
    """What people who judge nobody disliked: what fails here is learned from."""
    judges = collected.judges(voice.data.held_out_share)
    for spoken in collected.feedback():
        said = spoken.feedback
        told = [each.value for each in said.interpretations if each.value is not None]
        if spoken.disputed or not told or min(told) > _DISLIKED:
            continue
        if judges(said.user_id):
            continue
        if answer := answered(spoken.interaction):
            corrected = said.feedback_type is FeedbackType.CORRECTION
            yield LoggedFailure(
                feedback_id=said.feedback_id,
                asked=asked(spoken.interaction),
                answered=answer,
                wanted=str(said.value) if corrected else "",
                complaints=tuple(each.intent for each in said.interpretations),
            )


class _Progress:
    """Tells how many of the scenarios have run."""

    def __init__(self, whole: int) -> None:
        self._whole, self._done = whole, 0

    def __call__(self, log: TestRunLog) -> None:
        self._done += 1
        print(f"@progress {self._done}/{self._whole} {log.scenario_id} {log.status}", flush=True)
