"""Requests about personas."""

from __future__ import annotations

from everloop.sdk.client.answers.personas import Persona, PersonaChanges
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import read_as


def persona(name: str) -> Call[Persona]:
    """``GET /api/ml/personas/{persona}``."""
    route = "/api/ml/personas/{persona}"
    return Call("GET", route, path_of(route, persona=name), read_as(Persona))


def persona_revisions(name: str, limit: int) -> Call[PersonaChanges]:
    """``GET /api/ml/personas/{persona}/revisions``."""
    route = "/api/ml/personas/{persona}/revisions"
    params = params_of(limit=limit)
    return Call("GET", route, path_of(route, persona=name), read_as(PersonaChanges), params)


def undo_persona(name: str, reason: str, to: int | None, seen: int | None = None) -> Call[Persona]:
    """``POST /api/ml/personas/{persona}/undo``; a second one would undo the first: not repeated."""
    route = "/api/ml/personas/{persona}/undo"
    named = {"to": to, "seen": seen}
    body = {"reason": reason, **{key: value for key, value in named.items() if value is not None}}
    return Call(
        "POST",
        route,
        path_of(route, persona=name),
        read_as(Persona),
        body=body_of(body),
        repeatable=False,
    )


def adjust_trait(name: str, trait: str, adjustment: float, reason: str) -> Call[Persona]:
    """``POST /api/ml/personas/{persona}/traits``; a second one moves it again: not repeated."""
    route = "/api/ml/personas/{persona}/traits"
    return Call(
        "POST",
        route,
        path_of(route, persona=name),
        read_as(Persona),
        body=body_of({"trait": trait, "adjustment": adjustment, "reason": reason}),
        repeatable=False,
    )
