"""``everloop voice speak`` gives a voice the prompt that the service gives it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.cli.voice_speaking import _graph
from everloop.contracts.voices import Message
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.persona.prompt import system_text
from everloop.registry.promotion import promote
from everloop.serving.personas import changing
from everloop.wiring import Workspace, open_workspace
from tests.fake_voices import fake_voices
from tests.log_records import ANN, NOON
from tests.unit.serving.test_erased_prompt import deployed

SPEC = load("companion")
VOICE = voice_of(SPEC)
SAID = (Message("user", "When does the Lisbon office close on Fridays?"),)
FACT = "The office in Lisbon closes at noon on Fridays."


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def prompts(place: Workspace, person: str) -> tuple[str, str]:
    """What the service says to the model, and what the command line does."""
    with closing(fake_voices(place)) as voices:
        served = voices.speaks(SPEC, "default", person).graph
    spoken = _graph(SPEC, place, "default", person)
    first, second = (system_text(VOICE, graph, SAID, person) for graph in (served, spoken))
    return first, second


def test_both_say_the_same_whatever_was_deployed_moved_remembered_or_erased(
    place: Workspace,
) -> None:
    now = datetime.now(UTC)
    service, by_hand = prompts(place, ANN)
    assert service == by_hand
    made = deployed(place, 1, ANN)
    promote(made.checkpoint_id, place.registry, place.blobs, place.deployments, "a test")
    for _ in range(3):
        changing.adjust(place, VOICE, VOICE.traits[0].name, 1.0, "ann", "more", now)
    changing.remember(place, VOICE, FACT, "ann", now)
    moved, by_hand = prompts(place, ANN)
    assert moved == by_hand
    assert FACT in moved
    assert "answer 1" in moved
    assert "style" in moved
    assert "answer 1" not in prompts(place, "b" * 64)[1]
    assert made.checkpoint_id in place.people.erase(ANN, "cli:ann", NOON).checkpoints
    service, by_hand = prompts(place, ANN)
    assert service == by_hand
    assert "answer 1" not in service
