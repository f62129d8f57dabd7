"""What serves says nothing more of whom was erased."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.personas import Exemplar, PersonaRevision
from everloop.loops import load
from everloop.loops.sections import voice_of
from everloop.persona.graph import content_of, first_graph
from everloop.persona.prompt_artefact import FILE, write_prompt
from everloop.registry.registration import VOICE_LINEAGE, Candidate, register
from everloop.sdk.spoken_graph import spoken_graph
from everloop.wiring import Workspace, open_workspace
from tests.log_records import ANN, NOON

SPEC = load("companion")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def deployed(place: Workspace, number: int, person: str) -> ModelCheckpoint:
    """A revision with somebody's exemplar, and the checkpoint that it serves as."""
    voice = voice_of(SPEC)
    said = Exemplar("well?", f"answer {number}", f"source {number}", person)
    graph = replace(first_graph(voice), exemplars=(said,))
    told = PersonaRevision(number, voice.persona, content_of(graph), f"c{number}", "r", NOON)
    path = write_prompt(place.personas.append(told), place.home / f"{number}")
    candidate = Candidate(
        loop=SPEC.name,
        model_type=ModelType.PROMPT,
        files={FILE: path},
        served=FILE,
        performance_metrics={},
        lineage=dict.fromkeys(VOICE_LINEAGE, "made") | {"version": f"r{number}"},
        provenance=Provenance.CONSENTED_TEXT,
        verdict="continue",
        training_date=datetime.now(UTC),
    )
    return register(candidate, place.registry, place.blobs)


def test_a_graph_that_an_erasure_took_gives_way_to_the_live_one(place: Workspace) -> None:
    mine = deployed(place, 1, ANN)
    other = deployed(place, 2, "b" * 64)

    def answers(checkpoint: ModelCheckpoint) -> list[str]:
        graph = spoken_graph(place, SPEC, "default", "c" * 64, checkpoint.checkpoint_id)
        return [one.answered for one in graph.exemplars]

    assert answers(mine) == ["answer 1"]
    record = place.people.erase(ANN, "cli:ann", NOON)
    assert mine.checkpoint_id in record.checkpoints
    assert answers(mine) == answers(other) == ["answer 2"]


def test_a_graph_that_is_merely_damaged_serves_nobody(place: Workspace) -> None:
    made = deployed(place, 1, ANN)
    (blob,) = (place.home / "blobs").rglob(made.files[FILE])
    blob.unlink()
    with pytest.raises(ShouldRestoreArtefact):
        spoken_graph(place, SPEC, "default", ANN, made.checkpoint_id)
