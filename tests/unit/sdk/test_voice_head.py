"""A voice that is taken back takes its persona back, byte for byte, and once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.personas import PersonaRevision
from everloop.loops import load
from everloop.persona.adjustment import adjusted
from everloop.persona.graph import graph_of
from everloop.persona.prompt_artefact import FILE, write_prompt
from everloop.persona.revisions import begun, revised
from everloop.registry.promotion import promote
from everloop.registry.registration import Candidate, register
from everloop.sdk.voice_head import REVISION, follow_voice
from everloop.wiring import Workspace, open_workspace

NOW = datetime(2026, 3, 28, tzinfo=UTC)
SPEC = load("companion")
assert SPEC.voice is not None
VOICE = SPEC.voice


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def moved(place: Workspace, cause: str) -> PersonaRevision:
    return revised(
        place.personas,
        VOICE,
        lambda graph: adjusted(graph, VOICE, "formality", -0.2, 1.0, NOW),
        cause,
        "somebody asked",
        NOW,
    )


def serve(place: Workspace, folder: Path, revision: PersonaRevision) -> str:
    file = write_prompt(revision, folder)
    made = Candidate(
        loop=SPEC.name,
        model_type=ModelType.PROMPT,
        files={FILE: file},
        served=FILE,
        performance_metrics={},
        lineage={
            "dataset": "d",
            "loop_spec": "s",
            "code": "c",
            "version": f"r{revision.number}",
            REVISION: str(revision.number),
        },
        provenance=Provenance.CONSENTED_TEXT,
        verdict="continue",
        training_date=NOW,
    )
    row = register(made, place.registry, place.blobs)
    promote(row.checkpoint_id, place.registry, place.blobs, place.deployments, "better")
    return row.checkpoint_id


def follow(place: Workspace) -> PersonaRevision:
    follow_voice(place, SPEC, place.deployments.head(SPEC.name), ())
    newest = place.personas.newest(VOICE.persona)
    assert newest is not None
    return newest


def test_a_rollback_brings_the_persona_back_to_the_byte(place: Workspace, tmp_path: Path) -> None:
    first = begun(place.personas, VOICE, NOW)
    old = serve(place, tmp_path / "first", first)
    second = moved(place, "feedback 1")
    serve(place, tmp_path / "second", second)
    during = moved(place, "feedback 2")
    assert follow(place) == during  # what people move stays while nothing goes back
    promote(old, place.registry, place.blobs, place.deployments, "worse than thought")
    back = follow(place)
    assert back.content == first.content
    assert back.number == during.number + 1
    assert follow(place) == back
    later = moved(place, "feedback 3")
    assert follow(place) == later
    trait = graph_of(later.content).trait("formality")
    assert trait is not None
    assert trait.value < 0
