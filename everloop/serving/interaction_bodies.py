"""What requests to log interactions carry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Caller
from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import InputType, Interaction, OutputType
from everloop.feedback.capture import LARGEST_SKEW
from everloop.privacy.location import generalise
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.serving.batches import Batch
from everloop.serving.bodies import Id, Whole, Word
from everloop.serving.client_facts import ClientFacts, Kept, facts_of, named
from everloop.serving.feedback_bodies import Moment, PersonId

LARGEST_INTERACTION_BATCH = 1_000
MOST_CHARACTERS = 100_000
"""Of what was said, and of what was answered, as JSON."""

Count = Annotated[Whole, Field(ge=0, le=2**40)]


class Turn(Kept):
    """One earlier message of the conversation."""

    role: Annotated[str, Field(max_length=32)]
    text: Annotated[str, Field(max_length=20_000)]


class InteractionContext(Kept):
    """Where the interaction took place."""

    application: Annotated[str, Field(max_length=256)] | None = None
    previous_turns: Annotated[
        tuple[Turn, ...],
        Field(max_length=50, validation_alias=named("previous_turns", "previousTurns")),
    ] = ()
    location: Annotated[
        dict[str, Any] | str | None,
        Field(description="Where the person is; reduced to the city before anything is stored."),
    ] = None


class InteractionBody(Kept):
    """One exchange between a person and a persona; undeclared fields are dropped."""

    log_id: Annotated[Id, Field(validation_alias=named("log_id", "logId", "logID"))]
    user_id: Annotated[PersonId, Field(validation_alias=named("user_id", "userId", "userID"))]
    session_id: Annotated[
        PersonId, Field(validation_alias=named("session_id", "sessionId", "sessionID"))
    ]
    timestamp: Moment
    """When the output was shown, RFC 3339 with an offset."""
    input_type: Annotated[
        Literal["user_query", "system_trigger"],
        Field(validation_alias=named("input_type", "inputType")),
    ] = "user_query"
    input_data: Annotated[Any, Field(validation_alias=named("input_data", "inputData"))] = None
    output_type: Annotated[
        Literal["text", "voice", "action"],
        Field(
            validation_alias=named(
                "output_type", "outputType", "echo_output_type", "echoOutputType"
            )
        ),
    ] = "text"
    output_data: Annotated[
        Any,
        Field(
            validation_alias=named(
                "output_data", "outputData", "echo_output_data", "echoOutputData"
            )
        ),
    ] = None
    """What was answered; ``{"a": …, "b": …}`` where two were shown to be compared."""
    agent_id: Annotated[Word, Field(validation_alias=named("agent_id", "agentId"))]
    task_type: Annotated[Word, Field(validation_alias=named("task_type", "taskType"))]
    persona: Word
    model_version: Annotated[Word, Field(validation_alias=named("model_version", "modelVersion"))]
    context: InteractionContext | None = None
    episode_id: Annotated[Id | None, Field(validation_alias=named("episode_id", "episodeId"))] = (
        None
    )
    """The decision behind the output, if there was one; feedback then becomes its reward signals."""
    response_ms: Annotated[
        Annotated[float, Field(ge=0, le=1e12)] | None,
        Field(validation_alias=named("response_ms", "responseMs")),
    ] = None
    tokens_in: Annotated[Count | None, Field(validation_alias=named("tokens_in", "tokensIn"))] = (
        None
    )
    tokens_out: Annotated[
        Count | None, Field(validation_alias=named("tokens_out", "tokensOut"))
    ] = None
    retries: Annotated[Whole, Field(ge=0, le=2**31 - 1)] = 0
    tools: Annotated[tuple[Word, ...], Field(max_length=256)] = ()
    escalated: bool = False
    client: ClientFacts | None = None


class InteractionsBody(BaseModel):
    """Many at once: all are stored, or none."""

    interactions: Annotated[
        list[InteractionBody],
        Field(min_length=1, max_length=LARGEST_INTERACTION_BATCH, fail_fast=True),
    ]


INTERACTION = TypeAdapter(InteractionBody)
INTERACTIONS = Batch(InteractionsBody, "interactions", INTERACTION, LARGEST_INTERACTION_BATCH)


def logged_interaction(
    body: InteractionBody, caller: Caller, pseudonyms: Pseudonyms, now: datetime
) -> Interaction:
    """The interaction of a request, with pseudonyms for ids and the city for a location.

    Raises:
        ShouldFixFeedback: an id is no UUID, the time is ahead, or a text is too long.
    """
    if body.timestamp - now > LARGEST_SKEW:
        raise ShouldFixFeedback(
            f"Interaction {body.log_id}: timestamp={body.timestamp.isoformat()} is in the future.",
            "Check the client's clock.",
        )
    interaction = Interaction(
        log_id=body.log_id,
        user_id=pseudonyms.of(str(body.user_id), caller.tenant),
        session_id=pseudonyms.of(f"session:{body.session_id}", caller.tenant),
        timestamp=body.timestamp,
        input_type=InputType(body.input_type),
        input_data=body.input_data,
        output_type=OutputType(body.output_type),
        output_data=body.output_data,
        agent_id=body.agent_id,
        task_type=body.task_type,
        persona=body.persona,
        model_version=body.model_version,
        context=_context(body.context),
        episode_id=body.episode_id,
        response_ms=body.response_ms,
        tokens_in=body.tokens_in,
        tokens_out=body.tokens_out,
        retries=body.retries,
        tools=body.tools,
        escalated=body.escalated,
        client=facts_of(body.client),
        tenant=caller.tenant,
    )
    for name in ("input_data", "output_data"):
        length = len(canonical_json(getattr(interaction, name)))
        if length > MOST_CHARACTERS:
            raise ShouldFixFeedback(
                f"Interaction {body.log_id}: {name} has {length:,} characters, "
                f"more than {MOST_CHARACTERS:,}.",
                "Log the part that was shown.",
            )
    return interaction


def _context(context: InteractionContext | None) -> dict[str, Json]:
    if context is None:
        return {}
    kept: dict[str, Json] = {}
    if context.application is not None:
        kept["application"] = context.application
    if context.previous_turns:
        kept["previous_turns"] = [{"role": t.role, "text": t.text} for t in context.previous_turns]
    city = generalise(context.location)
    return kept if city is None else {**kept, "location": city}
