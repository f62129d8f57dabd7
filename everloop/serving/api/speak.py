"""``POST /api/ml/speak``: what the product's voice answers, logged so that people can say how it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.feedback import Interaction
from everloop.contracts.ids import event_id
from everloop.contracts.serving import Submission
from everloop.contracts.voices import Message
from everloop.serving.bodies import Body, Id, Person, Whole, Word
from everloop.serving.consents import SERVE
from everloop.serving.feedback_context import require_episodes
from everloop.serving.openapi import body_of, problems
from everloop.serving.problems import status_of
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of
from everloop.serving.speaking.answering import (
    Asked,
    Said,
    begin,
    interaction_of,
    require_same,
    spoken,
)
from everloop.serving.speaking.claims import Claim
from everloop.serving.speaking.counting import counted

router = APIRouter(tags=["voice"])
MOST_TURNS = 50
MOST_CHARACTERS = 20_000
"""Of one turn."""
TIMEOUT_S = 60.0


def _spoken_text(given: str) -> str:
    if "\0" in given or not given.strip():
        raise ValueError("must hold more than blanks, and no NUL character")
    return given


class SaidTurn(Body):
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    text: Annotated[
        str, Field(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_spoken_text)
    ]


class SpeakBody(Body):
    """Who speaks with whom, and what was said so far."""

    user_id: Person
    said: Annotated[tuple[SaidTurn, ...], Field(min_length=1, max_length=MOST_TURNS)]
    """The conversation, oldest first; the last turn is the person's. The persona makes its own system
    turn."""
    loop: Word | None = None
    """The loop; may be left out where the service has one."""
    session_id: Person | None = None
    """The conversation's; by default the person's."""
    episode_id: Id | None = None
    """The logged decision behind the conversation, if there was one; feedback then becomes its rewards."""
    log_id: Id | None = None
    """Made once per question: sent again, it is answered as before. Feedback names it."""
    max_new_tokens: Annotated[Whole, Field(ge=1, le=4096)] | None = None
    """Tokens of the answer; no more than the voice's own limit."""
    stream: bool = False
    """Server-sent events: ``piece`` {text}, at the end ``answer``, whose text the pieces join to, or
    ``problem``."""


class SpeakAnswer(BaseModel):
    """What was said, and by what."""

    log_id: str
    """Give feedback on it."""
    loop: str
    persona: str
    text: str
    model_version: str
    arm: str
    tokens_in: int
    tokens_out: int
    response_ms: float
    screened: bool
    """The voice's own answer could not be shown: this is a safe sentence, in a stream after what of the
    answer was sent before."""


BODIES: tuple[type[BaseModel], ...] = (SpeakBody,)
_BODY = TypeAdapter(SpeakBody)
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["piece", "answer", "problem"]},
        "data": {"type": "string", "description": "JSON, as ``stream`` says"},
    },
}
_EVENTS = {"text/event-stream": {"schema": _EVENT}}
_OK: dict[int | str, dict[str, Any]] = {200: {"content": _EVENTS}}


@router.post(
    "/api/ml/speak",
    response_model=SpeakAnswer,
    responses={**problems(404, 409), **_OK},
    openapi_extra=body_of(SpeakBody),
    summary="Answer a person in the product's voice",
)
async def speak(request: Request) -> Response:
    """Continue a conversation. Scope: decide.

    The answer is logged before it is complete for its reader; give feedback on its ``log_id``. Where a
    voice is on trial, each person hears one of the two, always the same. 429 where too many wait, be it for
    the voice to open; 503 where the loop has no voice or its base is not prepared.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DECIDE)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _BODY)
    asked = _asked(service, caller, body)
    service.voices.spec(asked.loop)
    claim = await service.voices.claims.take(
        asked.tenant, asked.log_id, asked.asked_sha256, asked.timeout_s
    )
    try:
        told = await _answered(service, caller, asked, claim)
        if body.stream:
            # What cannot even begin is refused by its status, not inside a stream.
            first = await anext(told)
            return StreamingResponse(_events(first, told), media_type="text/event-stream")
        async with aclosing(told):
            async for each in told:
                if not isinstance(each, str):
                    return Response(orjson.dumps(each), media_type="application/json")
    except BaseException:
        claim.release()
        raise
    raise RuntimeError("an answer ended without its end")


async def _answered(
    service: Service, caller: Caller, asked: Asked, claim: Claim
) -> AsyncGenerator[str | Mapping[str, Any]]:
    """What the question is answered by: the stored answer, or one that is now made."""
    kept = await run_in_threadpool(_kept, service, asked)
    if kept is not None:
        require_same(asked, kept)
        claim.release()
        return _again(asked, kept)
    voices = service.voices
    begun = await voices.openings.run(lambda: begin(voices, asked), asked.timeout_s)
    batcher = voices.batcher(asked.loop)
    made = counted(service.decisions.watch.voices, batcher, begun, spoken(voices, begun))
    return _told(service, caller, asked, made, claim)


def _asked(service: Service, caller: Caller, body: SpeakBody) -> Asked:
    spec = service.loop(body.loop)
    pseudonyms = service.workspace.pseudonyms
    person = pseudonyms.of(body.user_id, caller.tenant)
    service.consents.require(caller.tenant, person, SERVE)
    if body.said[-1].role != "user":
        raise ShouldFixArgument(
            "The last turn is the assistant's: there is nothing to answer.",
            "End with what the person said.",
        )
    return Asked(
        log_id=event_id() if body.log_id is None else _uuid("log_id", body.log_id),
        loop=spec,
        tenant=caller.tenant,
        user_id=person,
        session_id=pseudonyms.of(f"session:{body.session_id or body.user_id}", caller.tenant),
        said=tuple(Message(turn.role, turn.text) for turn in body.said),
        episode_id=None if body.episode_id is None else _uuid("episode_id", body.episode_id),
        max_new_tokens=body.max_new_tokens,
        timeout_s=TIMEOUT_S,
        streamed=body.stream,
    )


def _uuid(name: str, given: str) -> str:
    try:
        return canonical_uuid(given)
    except ValueError:
        raise ShouldFixArgument(f"{name}={given!r} is not a UUID.", "Send one, or none.") from None


def _kept(service: Service, asked: Asked) -> Interaction | None:
    """The stored answer of a question that was asked before; checks the decision that a new one names."""
    found = service.workspace.feedback.interactions([asked.log_id], asked.tenant)
    if asked.log_id in found:
        return found[asked.log_id]
    require_episodes(service, [asked], asked.tenant)
    return None


async def _told(
    service: Service,
    caller: Caller,
    asked: Asked,
    made: AsyncGenerator[str | Said],
    claim: Claim,
) -> AsyncGenerator[str | Mapping[str, Any]]:
    """The pieces; the whole answer once it is stored."""
    try:
        async with aclosing(made) as pieces:
            async for each in pieces:
                if isinstance(each, str):
                    yield each
                    continue
                interaction = interaction_of(asked, each, datetime.now(UTC))
                stored = await _stored(service, caller, asked, interaction)
                claim.release()
                yield _shown(asked, stored)
    finally:
        claim.release()


async def _stored(
    service: Service, caller: Caller, asked: Asked, interaction: Interaction
) -> Interaction:
    """The answer on record: this one, or what another process stored for the question first."""
    try:
        await service.door.store(
            Submission(caller.tenant, caller.actor, interactions=(interaction,))
        )
    except ShouldResolveConflict:
        kept = await run_in_threadpool(_kept, service, asked)
        if kept is None:
            raise
        require_same(asked, kept)
        return kept
    return interaction


async def _again(asked: Asked, kept: Interaction) -> AsyncGenerator[str | Mapping[str, Any]]:
    yield str(kept.output_data)
    yield _shown(asked, kept)


def _shown(asked: Asked, kept: Interaction) -> Mapping[str, Any]:
    return {
        "log_id": kept.log_id,
        "loop": asked.loop.name,
        "persona": kept.persona,
        "text": kept.output_data,
        "model_version": kept.model_version,
        "arm": kept.context.get("arm", ""),
        "tokens_in": kept.tokens_in,
        "tokens_out": kept.tokens_out,
        "response_ms": kept.response_ms,
        "screened": bool(kept.context.get("screened")),
    }


async def _events(
    first: str | Mapping[str, Any], rest: AsyncGenerator[str | Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    yield _event(first)
    try:
        async with aclosing(rest) as pieces:
            async for each in pieces:
                yield _event(each)
    except EverloopError as problem:
        told = {
            "title": type(problem).__name__,
            "status": status_of(problem),
            "detail": problem.message,
            "remedy": problem.remedy,
        }
        yield b"event: problem\ndata: %b\n\n" % orjson.dumps(told)


def _event(each: str | Mapping[str, Any]) -> bytes:
    name, data = (b"piece", {"text": each}) if isinstance(each, str) else (b"answer", each)
    return b"event: %b\ndata: %b\n\n" % (name, orjson.dumps(data))
