"""How much there is to learn is told by people who teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from components._voice_data import choose_for
from components._voice_persona import collect_voice
from everloop import settings
from everloop.adaptation.building import FIGURES_FILE, TRAIN_FILE
from everloop.adaptation.collected import read_collected
from everloop.adaptation.instance_file import write_instances
from everloop.contracts.documents import write
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.voices import Strategy
from everloop.loops.sections import voice_of
from everloop.wiring import open_workspace
from tests import made_voices as made
from tests.feedback_records import put
from tests.spoken_records import person, spoken

PEOPLE = range(1, 25)


def test_who_judges_is_not_counted_and_what_was_left_of_the_draw_is(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "home")
    place, spec, mine = open_workspace(tmp_path / "home"), made.spec(), {"persona": "companion"}
    for number in PEOPLE:
        said: Any = spoken(number, FeedbackType.CORRECTION, f"Take road {number}.", by=number)
        put(place.engine, replace(said.interaction, **mine), replace(said.feedback, **mine))
    collection, data = tmp_path / "collection", tmp_path / "data"
    collect_voice(spec, place, "default", collection)
    data.mkdir()
    write_instances([], data / TRAIN_FILE)
    write(made.data(undrawn={"own_texts": 31.0}, unseen=7), data / FIGURES_FILE)
    judges = read_collected(collection).judges(voice_of(spec).data.held_out_share)
    teach = sum(not judges(person(number)) for number in PEOPLE)
    assert 0 < teach < len(PEOPLE)
    choice = choose_for(spec, place, "default", collection, data)
    assert (choice.volume.praised, choice.volume.people) == (teach, teach)
    assert (choice.volume.own_texts, choice.volume.unseen) == (31.0, 7)
    assert Strategy.SFT in choice.chosen
