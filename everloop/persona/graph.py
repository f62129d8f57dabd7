"""Persona graphs as bytes: one text for one graph, so that a revision can be given back to the byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from everloop.contracts.canonical import Json, canonical_bytes
from everloop.contracts.documents import from_json
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.personas import PersonaGraph, TraitValue
from everloop.contracts.voice_spec import VoiceSpec


def content_of(graph: PersonaGraph) -> bytes:
    """Canonical JSON of a graph: UTF-8, sorted keys, no spaces.

    Revisions are compared by their bytes: a field that is ever added is written only where it is set.
    """
    told: dict[str, Json] = {
        "persona": graph.persona,
        "traits": [_trait(each) for each in graph.traits],
        "exemplars": [
            {
                "asked": each.asked,
                "answered": each.answered,
                "source_id": each.source_id,
                "user_id": each.user_id,
            }
            for each in graph.exemplars
        ],
        "memory": [
            {"text": each.text, "source_id": each.source_id, "user_id": each.user_id}
            for each in graph.memory
        ],
        "user_id": graph.user_id,
        "tenant": graph.tenant,
        "schema_version": graph.schema_version,
    }
    try:
        return canonical_bytes(told)
    except (ValueError, TypeError) as problem:
        raise ShouldFixArgument(
            f"Persona {graph.persona!r} is not finite JSON ({problem}).", "Correct its values."
        ) from None


def graph_of(content: bytes) -> PersonaGraph:
    """The graph that some bytes hold.

    Raises:
        ShouldRestoreArtefact: they are no graph, or not as ``content_of`` writes it: a byte was changed.
    """
    graph = from_json(PersonaGraph, content)
    if content_of(graph) != content:
        raise ShouldRestoreArtefact(
            f"Persona {graph.persona!r}: its bytes are not those that everloop writes.",
            "Undo to a revision that is whole: everloop persona history.",
        )
    return graph


def first_graph(
    spec: VoiceSpec, user_id: str | None = None, tenant: str = "default"
) -> PersonaGraph:
    """The graph that a voice begins with: every trait at its default, nothing remembered."""
    return PersonaGraph(
        persona=spec.persona,
        traits=tuple(TraitValue(each.name, float(each.default)) for each in spec.traits),
        user_id=user_id,
        tenant=tenant,
    )


def joined(graph: PersonaGraph, own: PersonaGraph | None) -> PersonaGraph:
    """A persona's graph with what it remembers of one person, whose own graph holds no traits that count.

    Raises:
        ShouldFixArgument: the graphs are of two personas or tenants.
    """
    if own is None:
        return graph
    if (own.persona, own.tenant) != (graph.persona, graph.tenant):
        raise ShouldFixArgument(
            f"Graphs of {graph.persona!r} ({graph.tenant}) and {own.persona!r} ({own.tenant}) do not "
            "belong together.",
            "Read both for one persona and tenant.",
        )
    return replace(
        graph,
        exemplars=(*graph.exemplars, *own.exemplars),
        memory=(*graph.memory, *own.memory),
    )


def _trait(trait: TraitValue) -> Mapping[str, Json]:
    return {
        "name": trait.name,
        "value": float(trait.value),
        "recent": [float(each) for each in trait.recent],
        "moved": float(trait.moved),
        "cycle_began": trait.cycle_began,
    }
