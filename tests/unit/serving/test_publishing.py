"""What a running service says of itself."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldRetryLater
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.sandboxes import RunningVoice, VoiceConfiguration
from everloop.contracts.speaking import BaseFolder
from everloop.loops import load
from everloop.serving.speaking.publishing import EVERY, Publishing, running_configuration
from everloop.serving.speaking.voices import Voices
from everloop.wiring import Workspace, open_workspace
from tests.fake_speaker import FakeSpeaker
from tests.fake_voices import WordScreen

SPEC = load("companion")
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
TOLD = VoiceConfiguration({"code": "c" * 64})


class Store:
    """Counts what is said; refuses where it is told to."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.away = False
        self.withdrawn: list[str] = []

    def withdraw(self, instance: str) -> None:
        self.withdrawn.append(instance)
        if self.away:
            raise ShouldRetryLater("It is away.", "Wait.")

    def publish(
        self, loop: str, instance: str, configuration: VoiceConfiguration, tenant: str = "default"
    ) -> None:
        self.said.append((loop, tenant))
        assert instance
        assert configuration == TOLD
        if self.away:
            raise ShouldRetryLater("It is away.", "Wait.")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def said(place: Workspace, tenant: str = "default") -> RunningVoice | None:
    found = place.voices.running(SPEC.name, EPOCH, tenant)
    assert len(found) <= 1
    return next(iter(found), None)


def test_a_voice_that_is_asked_says_what_it_speaks_with(place: Workspace) -> None:
    def told(loop: LoopSpec, base: BaseFolder) -> VoiceConfiguration:
        return VoiceConfiguration({"loop": loop.name, "base": base.sha256})

    speaker = FakeSpeaker()
    with closing(Voices(place, lambda _: speaker, lambda _: WordScreen(), told)) as voices:
        assert said(place) is None
        voices.speaks(SPEC, "default", "a" * 64)
        found = said(place)
        assert found is not None
        assert found.configuration.settings == {"loop": SPEC.name, "base": speaker.base.sha256}
        assert said(place, "other") is None
        voices.speaks(SPEC, "other", "a" * 64)
        place.voices.publish(SPEC.name, "another instance", TOLD)
        assert said(place, "other") is not None
    assert said(place, "other") is None
    left = said(place)
    assert left is not None
    assert left.instance == "another instance"


def test_of_a_speaker_that_is_not_ours_nothing_is_said(place: Workspace) -> None:
    with closing(Voices(place, lambda _: FakeSpeaker(), lambda _: WordScreen())) as voices:
        voices.speaks(SPEC, "default", "a" * 64)
        assert said(place) is None


def test_it_is_said_again_every_hour_and_no_answer_waits_for_a_store_that_is_away() -> None:
    store, now = Store(), [0.0]
    publishing = Publishing(store, lambda: now[0])  # type: ignore[arg-type]
    for tenant in ("default", "other", "default"):
        publishing.say("walk", tenant, TOLD)
    assert store.said == [("walk", "default"), ("walk", "other")]
    now[0], store.away = EVERY, True
    publishing.say("walk", "default", TOLD)
    publishing.say("walk", "default", TOLD)
    assert len(store.said) == 3


def test_what_was_said_is_taken_back_at_the_end_and_nothing_is_said_after_it() -> None:
    store = Store()
    publishing = Publishing(store)  # type: ignore[arg-type]
    publishing.close()
    assert not store.withdrawn, "nothing was said"
    publishing = Publishing(store)  # type: ignore[arg-type]
    publishing.say("walk", "default", TOLD)
    store.away = True
    publishing.close()
    assert len(store.withdrawn) == 1
    publishing.say("walk", "other", TOLD)
    assert store.said == [("walk", "default")]


def test_it_holds_all_but_what_changes_while_a_service_runs(tmp_path: Path) -> None:
    base = BaseFolder("b", tmp_path, "a" * 64, "MIT", 512)
    found = running_configuration(SPEC, base).settings
    assert found["base"] == "a" * 64
    assert {"code", "prompt", "generation", "voice", "device"} <= found.keys()
    assert "persona" not in found
