"""A candidate tried from beginning to end in its process: a quick voice, and the service's own engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.sandboxes import (
    RunningVoice,
    RunStatus,
    VoiceConfiguration,
    VoiceOpening,
)
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voices import Message
from everloop.loops.loader import load
from everloop.loops.sections import voice_of, voice_text
from everloop.sandbox.drift import BEST_OF, GENERATION, NO_SCORER, SCORER, drawn, lasting
from everloop.sandbox.loading import shipped
from everloop.sandbox.trying import Contestant, Surroundings, try_candidate
from tests.unit.sandbox.screens import SCREENS

COMPANION = load("companion")


def quick(tmp_path: Path, factory: str = "quick") -> tuple[VoiceOpening, Surroundings]:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    base = BaseFolder("none", folder, "0" * 64, "MIT", 512)
    adapters = (AdapterFolder("new", folder, "1" * 64),)
    opening = VoiceOpening(voice_text(COMPANION), base, adapters, "{}")
    generation = drawn(voice_of(COMPANION).generation)
    told = {"base": "0" * 64, "graph": "{}", GENERATION: generation, BEST_OF: "1"}
    service = VoiceConfiguration(told | {SCORER: NO_SCORER})
    return opening, Surroundings(f"tests.sandboxed_voices:{factory}", service, SCREENS)


def test_both_voices_run_in_one_process_and_the_journal_is_kept(tmp_path: Path) -> None:
    opening, surroundings = quick(tmp_path)
    told: list[str] = []
    surroundings = replace(
        surroundings, journal=tmp_path / "journal", on_log=lambda log: told.append(log.scenario_id)
    )
    scenarios = shipped(["golden"])
    mine, active = Contestant("c", opening, "new"), Contestant("a", opening)
    report = try_candidate(mine, active, scenarios, surroundings, 1)
    assert [each.scenario_id for each in report.runs] == [each.id for each in scenarios]
    assert {each.model_id for each in report.active_runs} == {"a"}
    assert len(told) == 2 * len(scenarios)
    checks = {check.name: check.status for check in report.checks}
    assert checks["isolation"] is CheckStatus.PASSED
    assert checks["configuration_drift"] is CheckStatus.PASSED
    assert not report.go, "no safety, no effect"
    assert report.failures == tuple(
        each.test_run_id for each in report.runs if each.status is RunStatus.FAILED
    )
    again = try_candidate(mine, active, scenarios, surroundings, 1)
    assert len(told) == 2 * len(scenarios), "what stands in the journal is not run again"
    assert again.runs == report.runs


def test_answers_that_end_earlier_than_the_services_are_a_drift(tmp_path: Path) -> None:
    opening, surroundings = quick(tmp_path)
    spec = voice_of(COMPANION)
    shorter = spec.sandbox.model_copy(update={"max_new_tokens": 3})
    voice = spec.model_copy(update={"sandbox": shorter}).model_dump_json()
    opening = replace(opening, voice=voice)
    mine = Contestant("c", opening, "new")
    report = try_candidate(mine, mine, shipped(["golden"])[:1], surroundings, 1)
    assert set(report.drift.differing) == {GENERATION}
    assert '"max_new_tokens":3' in report.drift.differing[GENERATION][0].replace(" ", "")
    checks = {check.name: check.status for check in report.checks}
    assert checks["configuration_drift"] is CheckStatus.FAILED
    unused = replace(opening, voice=voice.replace('"max_new_tokens":3', '"max_new_tokens":4096'))
    mine = Contestant("c", unused, "new")
    same = try_candidate(mine, mine, shipped(["golden"])[:1], surroundings, 1)
    assert not same.drift.differing, "the service's own answers end before it"


def test_a_service_that_takes_the_best_of_several_answers_is_a_drift(tmp_path: Path) -> None:
    opening, surroundings = quick(tmp_path)
    several = {BEST_OF: "4", SCORER: "5" * 64}
    service = VoiceConfiguration(dict(surroundings.service.settings) | several)
    mine, scenarios = Contestant("c", opening, "new"), shipped(["golden"])[:1]
    report = try_candidate(mine, mine, scenarios, replace(surroundings, service=service), 1)
    assert report.drift.differing == {BEST_OF: ("1", "4"), SCORER: (NO_SCORER, "5" * 64)}
    checks = {check.name: check.status for check in report.checks}
    assert checks["configuration_drift"] is CheckStatus.FAILED


def test_a_service_that_runs_with_something_else_is_a_drift(tmp_path: Path) -> None:
    opening, surroundings = quick(tmp_path)
    mine, scenarios = Contestant("c", opening, "new"), shipped(["golden"])[:1]
    at = datetime(2026, 3, 28, tzinfo=UTC)
    same = RunningVoice("companion", "pod-1", at, lasting(surroundings.service))
    report = try_candidate(mine, mine, scenarios, replace(surroundings, running=(same,)), 1)
    assert not report.drift.differing
    assert report.drift.running == "pod-1 at 2026-03-28T00:00:00+00:00"
    old = VoiceConfiguration(dict(same.configuration.settings) | {"base": "9" * 64})
    running = replace(same, instance="pod-2", configuration=old)
    report = try_candidate(mine, mine, scenarios, replace(surroundings, running=(same, running)), 1)
    assert set(report.drift.differing) == {"base of pod-2"}
    checks = {check.name: check.status for check in report.checks}
    assert checks["configuration_drift"] is CheckStatus.FAILED


def test_a_voice_that_cannot_be_opened_is_no_go_with_the_reason(tmp_path: Path) -> None:
    opening, surroundings = quick(tmp_path, "nothing")
    mine = Contestant("c", opening, "new")
    report = try_candidate(mine, mine, shipped(["golden"]), surroundings, 1)
    assert not report.go
    assert report.runs == ()
    (check,) = report.checks
    assert "There is no factory 'tests.sandboxed_voices:nothing'" in check.reason


@pytest.mark.slow
def test_the_services_engine_says_the_same_inside_as_outside(tmp_path: Path) -> None:
    from everloop.contracts.speaking import SpeakRequest
    from everloop.opened_voice import FACTORY, open_voice, service_configuration
    from everloop.sandbox.apart.isolated import IsolatedVoice
    from tests.made_adapters import drawn_adapter
    from tests.tiny_voice import tiny_base

    base = tiny_base(tmp_path / "tiny")
    adapter = drawn_adapter(tmp_path / "adapter", base, 3)
    opening = VoiceOpening(voice_text(COMPANION), base, (adapter,))
    here = open_voice(opening)
    said = (Message("user", "How are you today?"),)
    with IsolatedVoice(FACTORY, opening, voice_of(COMPANION).sandbox) as apart:
        prompt = apart.prompt(said, {"warmth": 1.0}, "")
        assert prompt == here.prompt(said, {"warmth": 1.0}, "")
        for version in ("", adapter.version):
            request = SpeakRequest(prompt, version, seed=4)
            inside, outside = apart.answer((request,))[0], here.speaker.answer((request,))[0]
            assert (inside.text, inside.tokens) == (outside.text, outside.tokens)
        (one,), (two,) = (each.score((said,), ("Well.",)) for each in (apart, here.speaker))
        assert one.log_probability == pytest.approx(two.log_probability, abs=1e-4)
        assert apart.configuration == service_configuration(opening) == here.configuration
        assert apart.isolation.network_denied
