"""A candidate from folders in the sandbox: tried with scenarios, or talked with.

A workspace gives the persona's graph, if there is one; without one the voice is as its specification says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.contracts.errors import ShouldFixArgument, ShouldInitWorkspace
from everloop.contracts.sandboxes import (
    Judge,
    RunningVoice,
    SandboxReport,
    TestRunLog,
    TestScenario,
    VoiceOpening,
)
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import VoiceComparison

if TYPE_CHECKING:
    from everloop.sandbox.apart.isolated import IsolatedVoice
    from everloop.sandbox.panel import Screens


@dataclass(frozen=True, slots=True)
class Contest:
    """A candidate and what serves. ``guarded``: the workspace's own files, where there is one;
    ``running``: what the services that work on it said lately that they speak with."""

    spec: VoiceSpec
    opening: VoiceOpening
    candidate: AdapterFolder | None
    active: AdapterFolder | None
    guarded: tuple[Path, ...]
    running: tuple[RunningVoice, ...] = ()


def contest(
    loop: str,
    home: str | None = None,
    tenant: str = "default",
    base: Path | None = None,
    candidate: Path | None = None,
    active: Path | None = None,
) -> Contest:
    """What is to be tried.

    Args:
        base: a prepared base; None: the loop's own, prepared where it is not yet.
        candidate, active: folders of adapters; None: the base alone.

    Raises:
        ShouldFixLoopSpec: nothing speaks for the loop.
        ShouldRestoreArtefact: a folder is damaged or does not fit the base.
    """
    from everloop import settings
    from everloop.loops.loader import load
    from everloop.loops.sections import voice_of, voice_text
    from everloop.speaking.adapters import open_adapter
    from everloop.speaking.base import open_base, prepare_base

    product = load(loop)
    spec, place = voice_of(product), Path(home) if home else settings.default_home()
    cache = settings.voice_cache(place) / "bases"
    found: BaseFolder = open_base(base) if base is not None else prepare_base(spec.base, cache)
    tried = open_adapter(candidate, found) if candidate is not None else None
    serves = open_adapter(active, found) if active is not None else None
    adapters = {each.version: each for each in (tried, serves) if each is not None}
    graph, running = _known(product.name, spec, place, tenant)
    opening = VoiceOpening(voice_text(product), found, tuple(adapters.values()), graph)
    guarded = tuple(
        path
        for name in (settings.DATABASE_FILE, settings.SECRETS_FILE)
        if (path := place / name).exists()
    )
    return Contest(spec, opening, tried, serves, guarded, running)


def try_contest(
    given: Contest,
    scenarios: Sequence[TestScenario],
    seed: int,
    threads: int,
    on_log: Callable[[TestRunLog], None] = lambda _log: None,
    comparison: VoiceComparison | None = None,
) -> SandboxReport:
    """Run the scenarios with both voices, apart from everything, and decide.

    Args:
        comparison: what the graph measured of the candidate on held-out people. Without it the effect of
            an adapter is not known, and a report of a candidate with an adapter says no go for that alone.

    Raises:
        ShouldFixArgument: the comparison is of another adapter.
    """
    from everloop.opened_voice import FACTORY, service_configuration
    from everloop.sandbox.trying import Contestant, Surroundings, try_candidate

    candidate, active = given.candidate, given.active
    adapters = () if candidate is None else (candidate,)
    scorer = "" if comparison is None else comparison.scorer_sha256
    served = replace(given.opening, adapters=adapters, scorer=scorer)
    own = candidate or AdapterFolder("", Path(), given.opening.base.sha256)
    _require_own(comparison, own)
    other = active or AdapterFolder("", Path(), given.opening.base.sha256)
    return try_candidate(
        Contestant(own.sha256, given.opening, own.version),
        Contestant(other.sha256, given.opening, other.version),
        scenarios,
        Surroundings(
            factory=FACTORY,
            service=service_configuration(served),
            screens=local_screens(),
            outside=judge_of(given.spec),
            guarded=given.guarded,
            threads=threads,
            on_log=on_log,
            running=given.running,
        ),
        seed,
        comparison=comparison,
        trained=candidate is not None,
    )


def _require_own(comparison: VoiceComparison | None, candidate: AdapterFolder) -> None:
    if comparison is None or comparison.adapter_sha256 in ("", candidate.sha256):
        return
    raise ShouldFixArgument(
        f"What was measured is of adapter {comparison.adapter_sha256}, not of {candidate.sha256}, "
        "which is tried.",
        "Give what the step measure_voice found of this adapter.",
    )


def apart(given: Contest, threads: int) -> IsolatedVoice:
    """The voices in a process of their own, not yet started; see ``IsolatedVoice``."""
    from everloop.opened_voice import FACTORY
    from everloop.sandbox.apart.isolated import IsolatedVoice

    return IsolatedVoice(FACTORY, given.opening, given.spec.sandbox, given.guarded, threads)


def local_screens() -> Screens:
    """The screens that training data goes through, too."""
    from everloop.adaptation.screens.language import BundledLanguageTeller
    from everloop.adaptation.screens.pii import PersonalDataScreen
    from everloop.adaptation.screens.toxicity import ProfanityScorer
    from everloop.sandbox.panel import Screens

    return Screens(ProfanityScorer(), PersonalDataScreen(), BundledLanguageTeller())


def judge_of(spec: VoiceSpec) -> Judge | None:
    """The judge outside that a specification names; None where it names none.

    Raises:
        ShouldProvideKey: it is named, and its key is not in the environment.
    """
    if not spec.sandbox.llm_judge:
        return None
    from everloop import settings
    from everloop.sandbox.judges.llm import LlmJudge

    access = settings.judge_access()
    return LlmJudge(spec.sandbox.llm_judge, access.key, access.model)


def _known(
    loop: str, spec: VoiceSpec, home: Path, tenant: str
) -> tuple[str, tuple[RunningVoice, ...]]:
    """The persona's newest content, "" where there is none yet, and what running services speak with;
    neither where there is no workspace."""
    from everloop.sandbox.drift import RECENT
    from everloop.wiring import open_workspace

    try:
        place = open_workspace(home)
    except ShouldInitWorkspace:
        return "", ()
    newest = place.personas.newest(spec.persona, None, tenant)
    running = place.voices.running(loop, datetime.now(UTC) - RECENT, tenant)
    return "" if newest is None else newest.content.decode(), running
