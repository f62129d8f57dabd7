"""Which persona a command is about: named by itself or by its loop, and known."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everloop.wiring import Workspace

Persona = Annotated[
    str | None, typer.Option(help="Name of the persona, as the loop's voice says; or give --loop.")
]
Loop = Annotated[
    str | None,
    typer.Option(
        "--loop", help="A shipped loop or a YAML file whose voice is meant; or give --persona."
    ),
]


def persona_of(persona: str | None, loop: str | None) -> str:
    """The persona that one of both names.

    Raises:
        ShouldFixArgument: neither does, or the loop's voice has another persona.
        ShouldFixLoopSpec: there is no such loop, or it has no voice.
    """
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.loops import load
    from everloop.loops.sections import voice_of

    if loop is None:
        if persona is None:
            raise ShouldFixArgument("Nobody is named.", "Give --loop or --persona.")
        return persona
    found = voice_of(load(loop)).persona
    if persona not in (None, found):
        raise ShouldFixArgument(
            f"The voice of loop {loop!r} is persona {found!r}, not {persona!r}.",
            "Leave --persona out.",
        )
    return found


def require_known(workspace: Workspace, persona: str, tenant: str) -> None:
    """Refuse a persona that no shipped loop has and that the workspace never heard of.

    Raises:
        ShouldNameKnownId: naming the nearest one that a shipped loop has.
    """
    from everloop.contracts.errors import ShouldNameKnownId

    if persona in _shipped() or _is_seen(workspace, persona, tenant):
        return
    raise ShouldNameKnownId(
        f"No loop has a persona {persona!r} (tenant {tenant}), and nothing was ever said of one.",
        f"{nearest(persona)} Of a loop of your own, give --loop FILE.",
    )


def nearest(persona: str) -> str:
    """A sentence that names the shipped personas, or the one that was probably meant; empty for one of
    them."""
    shipped = _shipped()
    if persona in shipped:
        return ""
    near = difflib.get_close_matches(persona, shipped, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Shipped ones: {', '.join(shipped)}."


def _shipped() -> tuple[str, ...]:
    from everloop.loops import SHIPPED, load

    voices = (load(name).voice for name in SHIPPED)
    return tuple(voice.persona for voice in voices if voice is not None)


def _is_seen(workspace: Workspace, persona: str, tenant: str) -> bool:
    log = workspace.voice_log
    until = log.watermark(tenant)
    return (
        workspace.personas.newest(persona, None, tenant) is not None
        or bool(workspace.voices.versions(persona, None, tenant, references=False))
        or next(iter(log.spoken_feedback(persona, until, tenant)), None) is not None
        # A package without a persona is for every one, and says nothing of this one.
        or any(package.persona == persona for package in log.packages(persona, until, tenant))
    )
