"""The graph that a voice's prompts are built from: one for the service and for whoever asks by hand."""

from __future__ import annotations

from dataclasses import replace

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType
from everloop.contracts.personas import PersonaGraph
from everloop.contracts.rollouts import PROMPT, may_serve
from everloop.loops.sections import voice_of
from everloop.persona.graph import first_graph, graph_of, joined
from everloop.persona.prompt_artefact import FILE, read_prompt
from everloop.registry.loading import VerifiedModel, load
from everloop.wiring import Workspace


def spoken_graph(
    place: Workspace, loop: LoopSpec, tenant: str, person: str | None, prompt: str | None
) -> PersonaGraph:
    """What people moved since, and what is remembered, is heard at once; exemplars are the deployed ones.

    Args:
        person: pseudonym of who speaks; None: nobody.
        prompt: checkpoint of the prompt that serves; None where none does.

    Raises:
        ShouldRestoreArtefact, ShouldFixArgument: what serves is damaged, or may not serve.
        ShouldFixLoopSpec: the loop has no voice.
    """
    spec, personas = voice_of(loop), place.personas
    newest = personas.newest(spec.persona, None, tenant)
    graph = first_graph(spec, None, tenant) if newest is None else graph_of(newest.content)
    deployed = None if prompt is None else _deployed(place, loop, tenant, prompt)
    if deployed is not None:
        graph = replace(graph, exemplars=deployed.exemplars)
    own = None if person is None else personas.newest(spec.persona, person, tenant)
    return joined(graph, None if own is None else graph_of(own.content))


def serving_model(
    place: Workspace, loop: LoopSpec, tenant: str, checkpoint: str, kind: ModelType, role: str
) -> VerifiedModel:
    """A checkpoint, verified, that may serve in a role of a loop.

    Raises:
        ShouldRestoreArtefact: it is damaged.
        ShouldFixArgument: it is of another loop, tenant or kind, or may not leave the trust boundary.
    """
    found = load(checkpoint, place.registry, place.blobs)
    row = found.checkpoint
    if (row.tenant, row.loop, row.model_type) != (tenant, loop.name, kind):
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint} is of kind {row.model_type} and loop {row.loop!r}, where "
            f"kind {kind} of loop {loop.name!r} and tenant {tenant!r} is wanted.",
            "Deploy one of this loop and kind.",
        )
    if not may_serve(row.provenance, role):
        raise ShouldFixArgument(
            f"Checkpoint {checkpoint} has provenance {row.provenance.value!r}: it may not leave "
            "the trust boundary.",
            "Deploy one that consented texts or private releases made.",
        )
    return found


def _deployed(place: Workspace, loop: LoopSpec, tenant: str, prompt: str) -> PersonaGraph | None:
    """The graph of a checkpoint; None where an erasure took it, since it held somebody's words."""
    try:
        found = serving_model(place, loop, tenant, prompt, ModelType.PROMPT, PROMPT)
        return read_prompt(found.file(FILE), found.checkpoint.files[FILE])
    except ShouldRestoreArtefact:
        if not any(mark.artefact_id == prompt for mark in place.people.marks(tenant)):
            raise
        return None
