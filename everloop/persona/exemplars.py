"""Answers that people praised or wrote themselves, of which the prompt shows a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.personas import Exemplar, PersonaGraph
from everloop.persona.words import likeness

KEPT = 20
"""Exemplars that a graph holds."""


def with_exemplar(graph: PersonaGraph, exemplar: Exemplar, most: int = KEPT) -> PersonaGraph:
    """The graph with one more, newest last; one of the same source is replaced.

    Above ``most`` the one that says the least new goes: the likest to a newer one, of equals the older.

    Raises:
        ShouldFixArgument: a text or the source is empty, or ``most`` is below 1.
    """
    if not (exemplar.asked.strip() and exemplar.answered.strip() and exemplar.source_id):
        raise ShouldFixArgument(
            f"Exemplar {exemplar.source_id!r} lacks a text or its source.", "Give all three."
        )
    if most < 1:
        raise ShouldFixArgument(f"most={most} is below 1.", "Keep one at least.")
    kept = [each for each in graph.exemplars if each.source_id != exemplar.source_id]
    kept.append(exemplar)
    while len(kept) > most:
        kept.pop(_least_new(kept))
    return replace(graph, exemplars=tuple(kept))


def without_exemplar(graph: PersonaGraph, source_id: str) -> PersonaGraph:
    """The graph without what a source gave."""
    kept = tuple(each for each in graph.exemplars if each.source_id != source_id)
    return graph if len(kept) == len(graph.exemplars) else replace(graph, exemplars=kept)


def chosen(graph: PersonaGraph, user_id: str | None, most: int) -> tuple[Exemplar, ...]:
    """Which exemplars a prompt shows: those of nobody and of that person, the newest first, then whatever
    is least like those already chosen, of equals the newer."""
    left = [e for e in reversed(graph.exemplars) if e.user_id is None or e.user_id == user_id]
    found: list[Exemplar] = []
    while left and len(found) < most:
        rank = {id(each): _likest(each, found) for each in left}
        best = min(left, key=lambda each: rank[id(each)])
        left.remove(best)
        found.append(best)
    return tuple(found)


def _least_new(kept: Sequence[Exemplar]) -> int:
    said = [_likest(each, kept[place + 1 :]) for place, each in enumerate(kept[:-1])]
    return max(range(len(said)), key=lambda place: (said[place], -place))


def _likest(one: Exemplar, others: Sequence[Exemplar]) -> float:
    return max((likeness(_text(one), _text(other)) for other in others), default=0.0)


def _text(exemplar: Exemplar) -> str:
    return f"{exemplar.asked} {exemplar.answered}"
