"""Nobody who once taught a voice ever judges it, whatever they are called and whatever share judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from components._voice_persona import collect_voice
from everloop import settings
from everloop.adaptation.building import HELD_OUT_FILE, TRAIN_FILE, build
from everloop.adaptation.collected import Collected, read_collected
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.privacy.renaming import renamed_arguments
from everloop.storage.sql.engine import writing
from everloop.storage.sql.renaming import Renaming
from everloop.wiring import Workspace, open_workspace
from tests.feedback_records import SESSION, put
from tests.log_records import uuid_of
from tests.spoken_records import person, spoken

PEOPLE = tuple(range(1, 61))
RENAMED = {person(number): person(1_000 + number) for number in PEOPLE}
SESSIONS = {SESSION: "5" * 64}


def spec(share: float = 0.2, private: bool = False) -> LoopSpec:
    loop = load("companion")
    voice = voice_of(loop)
    data = voice.data.model_copy(update={"held_out_share": share, "augment_below": 0})
    privacy = VoicePrivacySpec(epsilon=1.0) if private else voice.privacy
    voice = voice.model_copy(update={"data": data, "privacy": privacy})
    return loop.model_copy(update={"voice": voice})


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Everybody corrected one answer of their own."""
    settings.initialise(tmp_path / "home")
    opened = open_workspace(tmp_path / "home")
    for number in PEOPLE:
        said = spoken(
            number, FeedbackType.CORRECTION, f"Take the {uuid_of(number)[:8]} road.", by=number
        )
        put(
            opened.engine,
            replace(said.interaction, persona="companion"),
            replace(said.feedback, persona="companion"),
        )
    return opened


def collected(place: Workspace, loop: LoopSpec, out: Path) -> Collected:
    collect_voice(loop, place, "default", out)
    return read_collected(out)


def rename(place: Workspace) -> None:
    """What another key does to everybody."""
    with writing(place.engine) as connection:
        renaming = Renaming(connection, RENAMED | SESSIONS, renamed_arguments)
        assert renaming.uncovered() == {}
        renaming.carry_out()


def judging(known: Collected, share: float) -> set[str]:
    judges = known.judges(share)
    return {each for each in known.people() if judges(each)}


def test_sides_are_kept_under_other_pseudonyms_and_another_share(
    place: Workspace, tmp_path: Path
) -> None:
    first = judging(collected(place, spec(), tmp_path / "first"), 0.2)
    assert 0 < len(first) < len(PEOPLE)
    assert judging(collected(place, spec(0.6), tmp_path / "share"), 0.6) == first
    rename(place)
    after = collected(place, spec(0.6), tmp_path / "renamed")
    assert after.people() == set(RENAMED.values())
    assert judging(after, 0.6) == {RENAMED[each] for each in first}


class Screen:
    def reason(self, _: Sequence[str]) -> str:
        return ""


def taught_and_judging(loop: LoopSpec, known: Collected, out: Path) -> tuple[set[str], set[str]]:
    """Who teaches and who judges in what is built."""
    voice = voice_of(loop)
    near = NearDuplicates(voice.data.near_duplicate_jaccard)
    build(
        *(voice, known),
        corpora=(),
        screen=Screen(),
        near_duplicates=near,
        speaker=None,
        seed=1,
        out=out,
    )
    train, held_out = (
        {row.user_id for row in read_instances(out / name) if row.user_id is not None}
        for name in (TRAIN_FILE, HELD_OUT_FILE)
    )
    return train, held_out


@pytest.mark.parametrize("private", [False, True])
def test_nobody_whose_text_was_learned_judges_after_a_change_of_key_or_share(
    place: Workspace, tmp_path: Path, private: bool
) -> None:
    loop, wider = spec(private=private), spec(0.6, private)
    known = collected(place, loop, tmp_path / "first")
    taught, judged = taught_and_judging(loop, known, tmp_path / "a")
    assert len(judged) > 3
    rename(place)
    known = collected(place, wider, tmp_path / "second")
    train, judging = taught_and_judging(wider, known, tmp_path / "b")
    assert train == {RENAMED[each] for each in taught}
    assert judging == {RENAMED[each] for each in judged}
