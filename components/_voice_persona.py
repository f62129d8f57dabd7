"""The persona that a run is about: one revision, kept with what was collected, for every step alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from everloop.adaptation.collected import (
    JUDGING_FILE,
    CollectedFigures,
    collect,
    read_collected,
)
from everloop.adaptation.held_out import Judging, is_held_out, salt_of
from everloop.contracts.documents import read, write
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.personas import PersonaRevision
from everloop.loops.sections import voice_of
from everloop.persona.revisions import begun
from everloop.registry.voice_status import require_own_persona
from everloop.wiring import Workspace

_FILE = "persona-revision.json"


def collect_voice(spec: LoopSpec, workspace: Workspace, tenant: str, out: Path) -> CollectedFigures:
    """What people said of the persona, who of them judges, and the persona's graph as it is now.

    People go on moving traits while a run lasts. What is learned under, tried and registered is this one.

    Raises:
        ShouldResolveConflict: the persona speaks for another loop.
    """
    voice = voice_of(spec)
    require_own_persona(workspace.voices, voice.persona, spec.name, workspace.registry, tenant)
    figures = collect(workspace.voice_log, voice.persona, tenant, out)
    collected, salt = read_collected(out), salt_of(tenant, voice.persona)
    first = {
        person: is_held_out(person, salt, voice.data.held_out_share)
        for person in collected.people()
    }
    judging = workspace.voices.judging(voice.persona, first, tenant)
    write(Judging(tuple(sorted(judging))), out / JUDGING_FILE)
    write(begun(workspace.personas, voice, datetime.now(UTC), tenant=tenant), out / _FILE)
    return figures


def persona_of(collection: Path) -> PersonaRevision:
    """The revision that was collected.

    Raises:
        ShouldRestoreArtefact: it is missing or damaged.
    """
    return read(PersonaRevision, collection / _FILE)
