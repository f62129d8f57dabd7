"""A persona as people may see it: its traits in words, what the prompt says, and its revisions.

What belongs to a person stays with them: items of theirs are counted and not shown.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from everloop.contracts.personas import PersonaGraph, PersonaRevision
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.graph import first_graph, graph_of
from everloop.persona.prompt import system_text


class TraitAnswer(BaseModel):
    """Where a trait stands between its two ends.

    Attributes:
        value: in [-1, 1].
        moved: by how much since ``cycle_began``; its absolute value stays below the cap.
        recent: the last adjustments that people asked for, weighted, newest last.
    """

    name: str
    low: str
    high: str
    value: float
    moved: float
    cycle_began: str
    recent: list[float]


class ItemAnswer(BaseModel):
    """A fact or an exemplar that belongs to nobody, in words, with where it comes from."""

    text: str
    source_id: str


class PersonaAnswer(BaseModel):
    """A persona as it speaks now.

    Attributes:
        revision: its newest one; 0 before the first, when it is as the specification says.
        sha256: of its content; empty before the first.
        personal_items: facts and exemplars of people, which only their own conversations meet.
        prompt: what the system turn says at the beginning of a conversation.
    """

    persona: str
    revision: int
    sha256: str
    recorded_at: datetime | None
    traits: list[TraitAnswer]
    exemplars: list[ItemAnswer]
    memory: list[ItemAnswer]
    personal_items: int
    prompt: str


class RevisionAnswer(BaseModel):
    """One change of a persona.

    Attributes:
        cause: the feedback, run or person behind it.
        undoes: revision whose effect it took back.
        erased: an erasure took somebody's texts out of it.
    """

    number: int
    recorded_at: datetime
    cause: str
    reason: str
    sha256: str
    undoes: int | None
    erased: bool


class Revisions(BaseModel):
    """A persona's changes, newest first."""

    revisions: list[RevisionAnswer]


def persona_answer(spec: VoiceSpec, newest: PersonaRevision | None, tenant: str) -> PersonaAnswer:
    """A persona by its newest revision, or as the specification says."""
    graph = first_graph(spec, None, tenant) if newest is None else graph_of(newest.content)
    owners = [each.user_id for each in graph.exemplars] + [each.user_id for each in graph.memory]
    return PersonaAnswer(
        persona=spec.persona,
        revision=0 if newest is None else newest.number,
        sha256="" if newest is None else newest.sha256,
        recorded_at=None if newest is None else newest.recorded_at,
        traits=_traits(spec, graph),
        exemplars=[
            ItemAnswer(text=f"{each.asked}\n{each.answered}", source_id=each.source_id)
            for each in graph.exemplars
            if each.user_id is None
        ],
        memory=[
            ItemAnswer(text=each.text, source_id=each.source_id)
            for each in graph.memory
            if each.user_id is None
        ],
        personal_items=sum(owner is not None for owner in owners),
        prompt=system_text(spec, graph, (), None),
    )


def revision_answer(revision: PersonaRevision) -> RevisionAnswer:
    """One revision without its content."""
    return RevisionAnswer(
        number=revision.number,
        recorded_at=revision.recorded_at,
        cause=revision.cause,
        reason=revision.reason,
        sha256=revision.sha256,
        undoes=revision.undoes,
        erased=revision.erased,
    )


def _traits(spec: VoiceSpec, graph: PersonaGraph) -> list[TraitAnswer]:
    found: list[TraitAnswer] = []
    for declared in spec.traits:
        trait = graph.trait(declared.name)
        found.append(
            TraitAnswer(
                name=declared.name,
                low=declared.low,
                high=declared.high,
                value=declared.default if trait is None else trait.value,
                moved=0.0 if trait is None else trait.moved,
                cycle_began="" if trait is None else trait.cycle_began,
                recent=[] if trait is None else list(trait.recent),
            )
        )
    return found
