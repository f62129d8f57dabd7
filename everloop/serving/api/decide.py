"""``POST /api/ml/decide``: what to do now, written down before the answer leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.actions import ActionKind
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import (
    ShouldDecideAgain,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldRetryLater,
)
from everloop.contracts.ids import event_id
from everloop.contracts.serving import Decision, Receipt, Submission, question_sha256
from everloop.intake.slates import slate_nonconformities
from everloop.serving.api.candidates import CandidateBodies, Named, SlateAnswer, answered, named
from everloop.serving.batches import Batch
from everloop.serving.bodies import Body as BodyModel
from everloop.serving.bodies import Id, Person, Word
from everloop.serving.consents import SERVE
from everloop.serving.decisions.engine import Decided
from everloop.serving.decisions.question import Question, check_context
from everloop.serving.fast_lane import Body
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import LARGEST_BODY, body_within
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["decisions"])

LARGEST_BATCH = 1000
_ATTEMPTS = 5
"""How often a question is decided before its asker is told that what serves doesn't hold still."""
_INLINE_BYTES = 32 * 1024
"""Larger bodies are worked on by a thread, so that nobody else's request waits for them; so is what
needs a model that isn't loaded."""


class DecideBody(BodyModel):
    """Who it is about, the state they are in, and what could be done."""

    user_id: Person
    context: dict[str, Any]
    """Every context field of the loop's specification, by name."""
    loop: Word | None = None
    """The loop; may be left out where the service has one."""
    valid_actions: list[Word] | None = None
    """What could be done now; by default the whole catalogue. The loop's constraints take from it."""
    decision_id: Id | None = None
    """Asking again under the same id gives the same answer; made by the service when left out."""
    action_arguments: dict[str, Any] = Field(default_factory=dict)
    """Whom or what the action would be about; comes back with the answer."""
    candidates: CandidateBodies | None = None
    """Whom a pairing may suggest, where the loop declares candidates; left out, the product picks. Those
    suggested are drawn from them, and pairings of more people than there are candidates are not valid."""


class DecideManyBody(BodyModel):
    """Many questions at once: all are decided and stored, or none."""

    decisions: Annotated[
        list[DecideBody], Field(min_length=1, max_length=LARGEST_BATCH, fail_fast=True)
    ]


class DecisionAnswer(BaseModel):
    """What to do, and how it was chosen."""

    decision_id: str
    """Confirm what was done with ``POST /api/ml/episode`` under this id."""
    loop: str
    action: str
    kind: ActionKind | None
    """``null`` only where a stored decision's action has left the catalogue."""
    people: int | None = None
    """Slate size of a pairing."""
    event_id: str | None = None
    """Event of a recommendation."""
    tone: str | None = None
    message: str | None = None
    """How to step in, and with which words."""
    arguments: dict[str, Any]
    propensity: Annotated[float, Field(gt=0, le=1)]
    """Probability with which this action was chosen, exploration included."""
    valid_actions: list[str]
    """What could have been chosen."""
    model_version: str
    arm: str
    epsilon: float
    """Exploration share that the propensity holds."""
    fallback: str
    """Why neither assigned model decided, in a word; empty when it did. The record has the details."""
    slate: SlateAnswer | None = None
    """Whom the pairing suggests, where the question named candidates."""


class DecisionAnswers(BaseModel):
    """One answer per question, in order."""

    decisions: list[DecisionAnswer]


BODIES = (DecideBody, DecideManyBody)
ONE = TypeAdapter(DecideBody)
MANY = Batch(DecideManyBody, "decisions", ONE, LARGEST_BATCH)


@router.post(
    "/api/ml/decide",
    response_model=DecisionAnswer,
    responses=problems(404, 409),
    summary="Decide for one person",
    openapi_extra=body_of(DecideBody),
)
async def decide(request: Request) -> Response:
    """What to do for one person now. Scope: decide.

    The decision is on disk when the answer leaves. The same ``decision_id`` with the same question is
    answered as before, with another question it is a conflict. A decision that nobody confirms is never
    learned from.
    """
    content = await answer_decide(service_of(request), request, request.body)
    return Response(content, media_type="application/json")


async def answer_decide(service: Service, request: Request, read: Body) -> bytes:
    caller = await service.access.admit(request, Scope.DECIDE)
    service.limits.admit(caller.tenant)
    body = ONE.validate_json(await read())
    loop = service.loop(body.loop).name
    if not service.decisions.is_ready(caller.tenant, loop):
        await run_in_threadpool(service.decisions.prepare, caller.tenant, loop)
    asked = _question(service, caller, body)
    if service.decisions.waits(loop):
        made = await run_in_threadpool(
            service.decisions.decide_under, caller.tenant, asked.question
        )
    else:
        made = service.decisions.decide_under(caller.tenant, asked.question)
    stored = await _stored(service, caller, (asked,), made)
    return orjson.dumps(_answer(service, stored[0], asked))


FAST = {"/api/ml/decide": (200, answer_decide)}


@router.post(
    "/api/ml/decide/batch",
    response_model=DecisionAnswers,
    responses=problems(404, 409),
    summary="Decide for many people",
    openapi_extra=body_of(DecideManyBody),
)
async def decide_many(request: Request) -> Response:
    """``decide`` for up to 1,000 people at once: all are decided and stored, or none. Scope: decide."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DECIDE)
    raw = await body_within(request.receive, LARGEST_BODY)
    loaded = all(service.decisions.is_ready(caller.tenant, loop) for loop in service.loops)
    waits = any(map(service.decisions.waits, service.loops))
    if len(raw) > _INLINE_BYTES or waits or not loaded:
        asked, made = await run_in_threadpool(_decided, service, caller, raw)
    else:
        asked, made = _decided(service, caller, raw)
    stored = await _stored(service, caller, asked, made)
    answers = [_answer(service, *both) for both in zip(stored, asked, strict=True)]
    return _json({"decisions": answers})


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, its context as it is stored, and whom it lets us suggest."""

    question: Question
    context: dict[str, Any]
    named: Named


def _decided(service: Service, caller: Caller, raw: bytes) -> tuple[list[_Asked], Decided]:
    bodies = MANY.read(raw)
    service.limits.admit(caller.tenant, len(bodies))
    asked = [_named(service, caller, body, place) for place, body in enumerate(bodies)]
    questions = [each.question for each in asked]
    return asked, service.decisions.decide_many_under(caller.tenant, questions)


def _decided_again(
    service: Service, caller: Caller, asked: Sequence[_Asked], stale: Decided
) -> Decided:
    service.decisions.catch_up(caller.tenant, stale.under)
    questions = [each.question for each in asked]
    return service.decisions.decide_many_under(caller.tenant, questions)


def _named(service: Service, caller: Caller, body: DecideBody, place: int) -> _Asked:
    try:
        return _question(service, caller, body)
    except (ShouldFixArgument, ShouldFixInput) as problem:
        raise type(problem)(f"decisions[{place}]: {problem.message}", problem.remedy) from None


def _question(service: Service, caller: Caller, body: DecideBody) -> _Asked:
    """The checked question; what it stores knows people and health by keyed forms alone.

    The checksum is taken of the stored form: a plain one would let whoever reads the table test
    guesses of a pulse.
    """
    spec = service.loop(body.loop)
    person = service.workspace.pseudonyms.of(body.user_id, caller.tenant)
    service.consents.require(caller.tenant, person, SERVE)
    decision_id = _decision_id(body)
    for wrong in slate_nonconformities(spec, body.action_arguments):
        raise ShouldFixArgument(str(wrong), wrong.fix)
    about = service.workspace.pseudonyms.in_arguments(body.action_arguments, caller.tenant)
    people = named(service, caller, spec, person, body.candidates, body.action_arguments)
    try:
        stored = dict(service.vault.seal(spec, caller.tenant, decision_id, body.context))
        asked = question_sha256(person, spec.name, stored, body.valid_actions, about, people.asked)
    except (ShouldFixInput, ValueError, TypeError) as problem:
        check_context(spec, body.context)  # says which field, where one of them is the reason
        raise ShouldFixArgument(
            f"The question is not finite JSON ({problem}).", "Send finite numbers and plain text."
        ) from None
    question = Question(
        decision_id=decision_id,
        spec=spec,
        user_id=person,
        context=body.context,
        request_sha256=asked,
        valid_actions=None if body.valid_actions is None else tuple(body.valid_actions),
        action_arguments=about,
        candidates=people.willing,
    )
    return _Asked(question, stored, people)


def _decision_id(body: DecideBody) -> str:
    if body.decision_id is None:
        return event_id()
    try:
        return canonical_uuid(body.decision_id)
    except ValueError:
        raise ShouldFixArgument(
            f"decision_id={body.decision_id!r} is not a UUID.",
            "Send a UUID made once per decision, or none.",
        ) from None


def _recorded(decision: Decision, asked: _Asked) -> Decision:
    return replace(decision, context_snapshot=asked.context)


async def _stored(
    service: Service, caller: Caller, asked: Sequence[_Asked], made: Decided
) -> tuple[Decision, ...]:
    """Store decisions; those that what serves has left behind meanwhile are made anew.

    Raises:
        ShouldRetryLater: what serves changes faster than it can be read.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            made = await run_in_threadpool(_decided_again, service, caller, asked, made)
        decisions = tuple(map(_recorded, made.decisions, asked))
        submission = Submission(
            caller.tenant, caller.actor, decisions=decisions, decided_under=made.under
        )
        try:
            with service.decisions.storing(decisions):
                receipt = await service.door.store(submission)
        except ShouldDecideAgain:
            continue
        service.decisions.stored(_new(decisions, receipt))
        return receipt.decisions
    raise ShouldRetryLater(
        f"What serves changed {_ATTEMPTS} times while this was decided, or can't be read.",
        "Ask again, under the same decision_id.",
    )


def _new(decisions: Sequence[Decision], receipt: Receipt) -> Iterable[Decision]:
    """What of a submission was stored now: a replay comes back as it was made before."""
    if not receipt.replayed:
        return decisions
    if not receipt.new:
        return ()
    pairs = zip(decisions, receipt.decisions, strict=True)
    return {own.decision_id: own for own, kept in pairs if _made(own) == _made(kept)}.values()


def _made(decision: Decision) -> tuple[object, ...]:
    return decision.timestamp, decision.action_taken, decision.propensity, decision.model_version


def _answer(service: Service, decision: Decision, asked: _Asked) -> dict[str, Any]:
    spec = service.loops.get(decision.loop)
    index = None if spec is None else spec.action_index.get(decision.action_taken)
    action = None if spec is None or index is None else spec.actions[index]
    arguments, slate = answered(decision, asked.named.ids)
    return {
        "decision_id": decision.decision_id,
        "loop": decision.loop,
        "action": decision.action_taken,
        "kind": action and action.kind,
        "people": action and action.people,
        "event_id": action and action.event_id,
        "tone": action and action.tone,
        "message": action and action.message,
        "arguments": arguments,
        "propensity": decision.propensity,
        "valid_actions": decision.valid_actions,
        "model_version": decision.model_version,
        "arm": decision.arm,
        "epsilon": decision.epsilon,
        # The details name places of ours; they are in the record.
        "fallback": decision.fallback.partition(":")[0],
        "slate": slate,
    }


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
