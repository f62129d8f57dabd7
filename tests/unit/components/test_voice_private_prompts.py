"""Whose complaints may stand in the prompt that everybody's examples begin with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from components._voice_data import _system_turn
from everloop.adaptation.building import TRAIN_FILE, build
from everloop.adaptation.collected import collect, read_collected
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.contracts.documents import write
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.personas import PersonaRevision, TraitValue
from everloop.contracts.voice_spec import DataSpec, VoicePrivacySpec
from everloop.contracts.voices import TrainingDataInstance
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.persona.graph import content_of, first_graph
from tests.memory_voice_log import MemoryVoiceLog
from tests.spoken_records import spoken

COMPANION = load("companion")


class Screen:
    def reason(self, texts: object) -> str:
        return ""


def taught(folder: Path, formality: float, epsilon: float | None) -> list[TrainingDataInstance]:
    """What ten people's corrections become where others moved a trait so far."""
    voice = voice_of(COMPANION).model_copy(
        update={
            "persona": "friend",
            "privacy": VoicePrivacySpec(epsilon=epsilon),
            "data": DataSpec(augment_below=0),
        }
    )
    spec = COMPANION.model_copy(update={"voice": voice})
    graph = first_graph(voice)
    moved = tuple(
        TraitValue(each.name, formality) if each.name == "formality" else each
        for each in graph.traits
    )
    collection = folder / f"{formality}"
    rows = [
        spoken(number, FeedbackType.CORRECTION, f"Number {number} is what I meant.", by=number)
        for number in range(1, 11)
    ]
    collect(MemoryVoiceLog(rows, (), ()), "friend", "default", collection)
    content = content_of(replace(graph, traits=moved))
    write(
        PersonaRevision(1, "friend", content, "feedback", "people said so", datetime.now(UTC)),
        collection / "persona-revision.json",
    )
    build(
        voice,
        read_collected(collection),
        corpora=(),
        screen=Screen(),
        near_duplicates=NearDuplicates(1.0),
        speaker=None,
        seed=7,
        out=folder / "data",
        render=_system_turn(spec, collection),
    )
    return list(read_instances(folder / "data" / TRAIN_FILE))


def test_one_persons_complaints_change_nobody_elses_private_examples(tmp_path: Path) -> None:
    before = taught(tmp_path, -0.05, epsilon=1.0)
    after = taught(tmp_path, -0.15, epsilon=1.0)
    assert before
    assert before == after


def test_without_privacy_examples_begin_as_the_service_does(tmp_path: Path) -> None:
    before = taught(tmp_path, -0.05, epsilon=None)
    after = taught(tmp_path, -0.15, epsilon=None)
    assert "informal" not in before[0].prompt[0].content
    assert "informal" in after[0].prompt[0].content
