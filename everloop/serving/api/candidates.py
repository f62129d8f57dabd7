"""Whom a question lets us suggest, and whom an answer suggests, as requests and answers say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from everloop.contracts.access import Caller
from everloop.contracts.actions import SLATE, SLATE_PROPENSITY, USER_IDS
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.serving import Decision
from everloop.serving.bodies import Body, Person
from everloop.serving.consents import SERVE
from everloop.serving.decisions.candidates import Candidates
from everloop.serving.decisions.slates import RESERVED
from everloop.serving.service import Service

MOST = 1000
"""Candidates of one question, whatever the loop allows."""
MOST_DESCRIPTORS = 64

Descriptor = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]


class CandidateBody(Body):
    """A person who may be suggested."""

    user_id: Person
    descriptors: Annotated[list[Descriptor], Field(max_length=MOST_DESCRIPTORS)]
    """What the loop's ``candidates`` declare, in that order: public, or from a private release."""


CandidateBodies = Annotated[list[CandidateBody], Field(max_length=MOST, fail_fast=True)]


class SlateAnswer(BaseModel):
    """Whom a pairing suggests, drawn from the question's candidates."""

    user_ids: list[str]
    """Ids as the question named them, in order; "erased" for whoever was forgotten since."""
    slate_propensity: Annotated[float, Field(ge=0, le=1)]
    """Probability of these people in this order, given the action."""
    whole_propensity: Annotated[float, Field(ge=0, le=1)]
    """Probability of the action and these people: ``propensity`` times ``slate_propensity``."""
    candidates: int
    """How many could be suggested; whoever withdrew from being served is passed over."""
    model_version: str
    """What scored them; empty where everybody scored alike."""
    fallback: str
    """Why everybody scored alike: ``no_model`` or ``model_failed``; empty where a model scored them."""


@dataclass(frozen=True, slots=True)
class Named:
    """A question's candidates.

    Attributes:
        willing: those who may be suggested; ``None``: the question names none, so the product picks.
        asked: all of them as the question's checksum holds them; ``None`` likewise.
        ids: pseudonym -> id as it was sent.
    """

    willing: Candidates | None = None
    asked: Sequence[Json] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)


NOBODY = Named()


def named(
    service: Service,
    caller: Caller,
    spec: LoopSpec,
    person: str,
    given: Sequence[CandidateBody] | None,
    arguments: Mapping[str, Any],
) -> Named:
    """The candidates of a question about a person (a pseudonym).

    Raises:
        ShouldFixArgument: the loop declares none, there are too many, somebody is named twice or is the
            person who is asked for, descriptors do not fit, or the arguments already say who it is.
        ShouldRetryLater: consents can't be read.
    """
    if given is None:
        return NOBODY
    declared = spec.candidates
    if declared is None:
        raise ShouldFixArgument(
            f"candidates are given, but loop {spec.name!r} declares none.",
            "Leave them out, or declare how they are described in the loop specification.",
        )
    if len(given) > declared.most:
        raise ShouldFixArgument(
            f"candidates names {len(given)} people; loop {spec.name!r} allows {declared.most}.",
            "Name those who suit best by what the product knows.",
        )
    taken = [name for name in RESERVED if name in arguments]
    if taken:
        raise ShouldFixArgument(
            f"action_arguments holds {taken[0]!r}, and candidates are given.",
            "Name candidates, or say whom the product picked, but not both.",
        )
    ids: dict[str, str] = {}
    numbers: list[tuple[float, ...]] = []
    pseudonym_of = service.workspace.pseudonyms.of
    for place, body in enumerate(given):
        pseudonym = pseudonym_of(body.user_id, caller.tenant)
        if pseudonym == person:
            raise ShouldFixArgument(
                f"candidates[{place}].user_id={body.user_id!r} is the person who is asked for.",
                "Name other people.",
            )
        if pseudonym in ids:
            raise ShouldFixArgument(
                f"candidates[{place}].user_id={body.user_id!r} is named twice.",
                "Name each person once.",
            )
        try:
            numbers.append(declared.numbers(body.descriptors))
        except ValueError as problem:
            raise ShouldFixArgument(
                f"candidates[{place}].descriptors: {problem}.",
                "Send what the loop declares, in that order.",
            ) from None
        ids[pseudonym] = body.user_id
    asked: list[Json] = [[who, what] for who, what in zip(ids, numbers, strict=True)]
    kept = [
        place
        for place, who in enumerate(ids)
        if not service.consents.withdrawn(caller.tenant, who, SERVE)
    ]
    people = tuple(ids)
    willing = Candidates(
        tuple(people[place] for place in kept),
        np.array([numbers[place] for place in kept]).reshape(len(kept), len(declared.descriptors)),
    )
    return Named(willing, asked, ids)


def answered(decision: Decision, ids: Mapping[str, str]) -> tuple[dict[str, Any], Any]:
    """(arguments, slate) of an answer to a question that named candidates, with the ids that it sent.

    What was not drawn by us stays as it is stored, and its slate is ``None``.
    """
    stored = dict(decision.action_arguments)
    drawn = stored.pop(SLATE, None)
    if not ids or not isinstance(drawn, Mapping):
        return dict(decision.action_arguments), None
    people = [ids.get(who, who) for who in stored[USER_IDS]]
    share = stored[SLATE_PROPENSITY]
    slate = {
        "user_ids": people,
        "slate_propensity": share,
        "whole_propensity": decision.propensity * share,
        "candidates": drawn["candidates"],
        "model_version": drawn["model_version"],
        "fallback": drawn["fallback"],
    }
    return {**stored, USER_IDS: people}, slate
