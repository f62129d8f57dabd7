"""Whose prompt shows what people praised, and what is shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from components._voice_exemplars import show_exemplars
from everloop import settings
from everloop.adaptation.collected import JUDGING_FILE, collect
from everloop.adaptation.held_out import Judging, is_held_out, salt_of
from everloop.contracts.documents import write
from everloop.contracts.episodes import Consent
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voices import Message
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.persona.graph import graph_of
from everloop.persona.prompt import prompt_of
from everloop.wiring import Workspace, open_workspace
from tests.feedback_records import put
from tests.log_records import NOON
from tests.memory_voice_log import MemoryVoiceLog
from tests.spoken_records import person, spoken

SPEC = load("companion")
VOICE = voice_of(SPEC)
WANTED = "Sure, I will gladly help you with the garden today."
PRAISED = "A short walk before dinner would do you good."
_TEACHES = [
    number
    for number in range(1, 200)
    if not is_held_out(person(number), salt_of("default", "companion"), VOICE.data.held_out_share)
]
ANN, BEN, CYD, DAN = _TEACHES[:4]
(JUDGE, *_) = [number for number in range(1, 200) if number not in _TEACHES]
ABOUT = {"persona": "companion"}


def said() -> list[SpokenFeedback]:
    """A correction, a praise, and what nobody may be shown."""
    correction, thumb = FeedbackType.CORRECTION, FeedbackType.THUMB
    given = [
        spoken(1, correction, WANTED, by=ANN, asked="Would you help me in the garden?"),
        spoken(2, thumb, True, by=BEN, asked="What shall I do now?", answered=PRAISED),
        spoken(3, thumb, False, by=ANN, asked="What shall I cook?", answered="Cook rice tonight."),
        spoken(4, thumb, True, by=ANN, asked="And then?", answered=PRAISED, disputed=True),
        spoken(5, thumb, True, by=JUDGE, asked="What is next?", answered=PRAISED),
        spoken(6, correction, "Write to me at jo.smith@example.org today.", by=BEN, asked="Where?"),
        spoken(7, thumb, True, by=CYD, asked="What is there to do?", answered=PRAISED),
        spoken(8, thumb, True, by=DAN, asked="What is there to see?", answered=PRAISED),
    ]
    return [
        replace(
            each,
            feedback=replace(each.feedback, persona="companion"),
            interaction=replace(each.interaction, persona="companion"),
        )
        for each in given
    ]


@pytest.fixture
def collected(tmp_path: Path) -> tuple[Workspace, Path]:
    settings.initialise(tmp_path / "home")
    place, rows = open_workspace(tmp_path / "home"), said()
    # Dan's are gone since they were collected.
    for each in rows[:-1]:
        put(place.engine, each.interaction, each.feedback)
    place.log.record_consent(Consent(person(CYD), "train", False, NOON + timedelta(days=1)))
    collect(MemoryVoiceLog(rows), "companion", "default", tmp_path / "collected")
    return place, tmp_path / "collected"


def shown(place: Workspace, number: int) -> list[tuple[str, str]]:
    found = place.personas.newest("companion", person(number))
    if found is None:
        return []
    return [(each.asked, each.answered) for each in graph_of(found.content).exemplars]


def test_people_see_what_they_praised_themselves(collected: tuple[Workspace, Path]) -> None:
    place, folder = collected
    assert show_exemplars(SPEC, place, "default", folder) == 2
    assert shown(place, ANN) == [("Would you help me in the garden?", WANTED)]
    assert shown(place, BEN) == [("What shall I do now?", PRAISED)]
    for nobody in (JUDGE, CYD, DAN):
        assert shown(place, nobody) == []
    assert place.personas.newest("companion") is None, "nobody else's prompt changes"
    own = place.personas.newest("companion", person(ANN))
    assert own is not None
    assert own.cause == said()[0].feedback.feedback_id
    graph = graph_of(own.content)
    heard = str(prompt_of(VOICE, graph, (Message("user", "Hello."),), person(ANN)))
    assert WANTED in heard
    assert WANTED not in str(prompt_of(VOICE, graph, (Message("user", "Hello."),), person(BEN)))


def test_a_second_time_nothing_changes(collected: tuple[Workspace, Path]) -> None:
    place, folder = collected
    show_exemplars(SPEC, place, "default", folder)
    before = place.personas.newest("companion", person(ANN))
    assert show_exemplars(SPEC, place, "default", folder) == 0
    assert place.personas.newest("companion", person(ANN)) == before


def test_who_judges_by_now_is_who_judged_before(collected: tuple[Workspace, Path]) -> None:
    place, folder = collected
    write(Judging((person(ANN),)), folder / JUDGING_FILE)
    assert show_exemplars(SPEC, place, "default", folder) == 2
    assert shown(place, ANN) == []
    assert shown(place, JUDGE)
