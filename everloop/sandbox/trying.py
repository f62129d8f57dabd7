"""A candidate tried from beginning to end: closed, opened, run beside the active voice, judged, decided."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.errors import EverloopError
from everloop.contracts.sandboxes import (
    Isolation,
    Judge,
    RunningVoice,
    RunStatus,
    SandboxReport,
    TestRunLog,
    TestScenario,
    VoiceConfiguration,
    VoiceOpening,
)
from everloop.contracts.voice_spec import GenerationSpec, VoiceSpec
from everloop.contracts.voices import VoiceComparison
from everloop.sandbox.apart.isolated import IsolatedVoice, ShouldCloseSandbox
from everloop.sandbox.deciding import refused, report_of
from everloop.sandbox.drift import drift_of, spoken_with
from everloop.sandbox.journal import RunJournal
from everloop.sandbox.panel import Screens, local_panel
from everloop.sandbox.running import run_scenarios


@dataclass(frozen=True, slots=True)
class Contestant:
    """One voice in the sandbox. ``adapter``: version among the opening's; "" is the base alone."""

    model_id: str
    opening: VoiceOpening
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sandbox is given beside the voices.

    Attributes:
        factory: ``module:function`` that service and sandbox open a voice with.
        service: what the service would speak with, of the candidate.
        running: what each service that runs said lately that it speaks with.
        screens: local classifiers.
        outside: a judge outside, where one is configured.
        guarded: the workspace's own files, which the sandbox must be unable to open.
        journal: folder in which an interrupted run goes on where it was; None: it starts anew.
        threads: that the model may use.
        on_log: called with each scenario's log.
    """

    factory: str
    service: VoiceConfiguration
    screens: Screens
    outside: Judge | None = None
    guarded: tuple[Path, ...] = ()
    journal: Path | None = None
    threads: int = 1
    on_log: Callable[[TestRunLog], None] = lambda _log: None
    running: tuple[RunningVoice, ...] = ()


def try_candidate(
    candidate: Contestant,
    active: Contestant,
    scenarios: Sequence[TestScenario],
    surroundings: Surroundings,
    seed: int,
    *,
    placebo: str | None = None,
    comparison: VoiceComparison | None = None,
    trained: bool = True,
) -> SandboxReport:
    """Run every scenario with both voices, apart from everything, and decide.

    Both run in one process where they are opened alike; otherwise one after the other, each in its own.
    A sandbox that cannot be closed, or that something got out of, has run nothing: its report holds the
    failed check alone.

    Args:
        placebo: version of the candidate's placebo among its opening's adapters, for margins.
        comparison: measured on held-out people.
        trained: see ``checks_of``.
    """
    started, began = datetime.now(UTC), time.monotonic()
    spec = VoiceSpec.model_validate_json(candidate.opening.voice)
    together = active.opening == candidate.opening
    isolation = Isolation(False, False, False, ())
    try:
        with _apart(candidate, surroundings, spec) as voice:
            isolation = voice.isolation
            configuration = spoken_with(voice.configuration, _generation(spec))
            runs = _run(voice, candidate, scenarios, surroundings, seed, spec, placebo)
            if together:
                active_runs = _run(voice, active, scenarios, surroundings, seed, spec, None)
        if not together:
            with _apart(active, surroundings, spec) as voice:
                active_runs = _run(voice, active, scenarios, surroundings, seed, spec, None)
    except ShouldCloseSandbox as problem:
        isolation = problem.isolation
        return refused(candidate.model_id, active.model_id, started, isolation, problem.message)
    except EverloopError as problem:
        return refused(candidate.model_id, active.model_id, started, isolation, problem.message)
    return report_of(
        candidate.model_id,
        active.model_id,
        started,
        time.monotonic() - began,
        runs,
        active_runs,
        isolation,
        drift_of(configuration, surroundings.service, surroundings.running),
        spec.thresholds,
        comparison,
        trained=trained,
        failures=[run.test_run_id for run in runs if run.status is RunStatus.FAILED],
    )


def _apart(contestant: Contestant, surroundings: Surroundings, spec: VoiceSpec) -> IsolatedVoice:
    return IsolatedVoice(
        surroundings.factory,
        contestant.opening,
        spec.sandbox,
        surroundings.guarded,
        surroundings.threads,
    )


def _run(
    voice: IsolatedVoice,
    contestant: Contestant,
    scenarios: Sequence[TestScenario],
    surroundings: Surroundings,
    seed: int,
    spec: VoiceSpec,
    placebo: str | None,
) -> tuple[TestRunLog, ...]:
    panel = local_panel(
        voice, contestant.adapter, surroundings.screens, placebo, surroundings.outside
    )
    journal = _journal(surroundings.journal, contestant, voice, scenarios, seed, spec)
    done = journal.done() if journal is not None else {}

    def keep(log: TestRunLog) -> None:
        if journal is not None and log.status is not RunStatus.ERROR:
            journal.add(log)
        surroundings.on_log(log)

    return run_scenarios(
        voice,
        scenarios,
        contestant.adapter,
        voice.prompt,
        panel,
        seed,
        model_id=contestant.model_id,
        generation=_generation(spec),
        done=done,
        on_log=keep,
    )


def _generation(spec: VoiceSpec) -> GenerationSpec:
    """The service's, ended earlier where the sandbox's section says so; the drift check names it then."""
    most = spec.sandbox.max_new_tokens
    if most is None:
        return spec.generation
    shorter = min(most, spec.generation.max_new_tokens)
    return spec.generation.model_copy(update={"max_new_tokens": shorter})


def _journal(
    folder: Path | None,
    contestant: Contestant,
    voice: IsolatedVoice,
    scenarios: Sequence[TestScenario],
    seed: int,
    spec: VoiceSpec,
) -> RunJournal | None:
    if folder is None:
        return None
    told = {
        "model": contestant.model_id,
        "adapter": contestant.adapter,
        "configuration": dict(voice.configuration.settings),
        "scenarios": [each.model_dump(mode="json") for each in scenarios],
        "generation": _generation(spec).model_dump(mode="json"),
        "seed": seed,
    }
    of = hashlib.sha256(canonical_bytes(told)).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return RunJournal(folder / f"{of[:16]}.jsonl", of)
