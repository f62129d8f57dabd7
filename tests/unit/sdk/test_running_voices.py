"""A sandbox that is started by hand knows the services that run on its workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everloop import opened_voice, settings
from everloop.contracts.sandboxes import VoiceConfiguration, VoiceOpening
from everloop.contracts.speaking import BaseFolder
from everloop.sandbox import trying
from everloop.sdk import sandboxed
from everloop.sdk.sandboxed import contest, try_contest
from everloop.wiring import open_workspace
from tests.made_voices import comparison


def test_a_candidate_is_compared_with_what_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_voice: BaseFolder
) -> None:
    home = tmp_path / "home"
    assert contest("companion", str(home), base=tiny_voice.path).running == ()
    settings.initialise(home)
    voices = open_workspace(home).voices
    for instance, code in (("pod-1", "old"), ("pod-2", "new")):
        voices.publish("companion", instance, VoiceConfiguration({"code": code}))
    voices.publish("another", "pod-3", VoiceConfiguration({}))
    voices.publish("companion", "pod-4", VoiceConfiguration({}), "elsewhere")
    given = contest("companion", str(home), base=tiny_voice.path)
    found = [(each.instance, each.configuration.settings["code"]) for each in given.running]
    assert found == [("pod-1", "old"), ("pod-2", "new")]
    seen: list[trying.Surroundings] = []

    def tried(
        _mine: object, _other: object, _scenarios: object, around: Any, *_: Any, **__: Any
    ) -> None:
        seen.append(around)

    monkeypatch.setattr(trying, "try_candidate", tried)
    monkeypatch.setattr(sandboxed, "local_screens", lambda: None)
    monkeypatch.setattr(opened_voice, "service_configuration", lambda _: VoiceConfiguration({}))
    try_contest(given, (), 1, 1)
    assert [around.running for around in seen] == [given.running]


def test_a_candidate_is_compared_with_the_scorer_that_was_measured_beside_it(
    monkeypatch: pytest.MonkeyPatch, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    given = contest("companion", str(tmp_path / "home"), base=tiny_voice.path)
    opened: list[VoiceOpening] = []

    def told(opening: VoiceOpening) -> VoiceConfiguration:
        opened.append(opening)
        return VoiceConfiguration({})

    monkeypatch.setattr(trying, "try_candidate", lambda *_, **__: None)
    monkeypatch.setattr(sandboxed, "local_screens", lambda: None)
    monkeypatch.setattr(opened_voice, "service_configuration", told)
    try_contest(given, (), 1, 1)
    try_contest(given, (), 1, 1, comparison=comparison(scorer_sha256="5" * 64))
    assert [each.scorer for each in opened] == ["", "5" * 64]
