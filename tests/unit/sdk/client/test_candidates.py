"""Candidates and slates through both clients, against a real service."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldResolveConflict
from everloop.contracts.ids import event_id
from everloop.sdk import Candidate, Client, Question, Slate
from everloop.sdk.client.call import body_of
from tests.unit.sdk.client.conftest import Running

CONTEXT = {"x": 0.5, "pulse": 70.0}
PEOPLE = (
    Candidate(user_id="ben", descriptors=(0.25, -1.0)),
    Candidate(user_id="cleo", descriptors=(0, 0.5)),
    Candidate(user_id="dirk", descriptors=(-0.5, 0.125)),
)


def test_the_client_is_told_whom_a_pairing_suggests(client: Client) -> None:
    decision = client.decide("ann", CONTEXT, valid_actions=["meet"], candidates=PEOPLE)
    slate = decision.slate
    assert isinstance(slate, Slate)
    assert len(set(slate.user_ids)) == 2
    assert set(slate.user_ids) <= {each.user_id for each in PEOPLE}
    assert slate.slate_propensity == pytest.approx(1 / 6)
    assert decision.propensity is not None
    assert slate.whole_propensity == pytest.approx(decision.propensity / 6)
    assert (slate.candidates, slate.fallback) == (3, "no_model")
    assert decision.arguments["user_ids"] == list(slate.user_ids)
    client.confirm(decision)


def test_the_same_question_has_the_same_slate(client: Client) -> None:
    name = event_id()

    def ask(people: tuple[Candidate, ...]) -> Slate | None:
        return client.decide(
            "ann", CONTEXT, valid_actions=["meet"], candidates=people, decision_id=name
        ).slate

    first = ask(PEOPLE)
    assert [ask(PEOPLE) for _ in range(5)] == [first] * 5
    with pytest.raises(ShouldResolveConflict):
        ask(PEOPLE[:2])


def test_many_questions_name_candidates_of_their_own(client: Client) -> None:
    questions = [
        Question(user_id="ann", context=CONTEXT, valid_actions=["meet"], candidates=PEOPLE[:2]),
        Question(user_id="eve", context=CONTEXT, valid_actions=["meet"]),
        Question(user_id="fay", context=CONTEXT, candidates=()),
    ]
    named, picked, nobody = client.decide_many(questions)
    assert named.slate is not None
    assert set(named.slate.user_ids) == {"ben", "cleo"}
    assert picked.slate is None
    assert (nobody.slate, "meet" in nobody.valid_actions) == (None, False)


def test_the_asynchronous_client_names_them_too(service: Running) -> None:
    async def ask() -> Slate | None:
        async with service.async_client() as client:
            found = await client.decide("ann", CONTEXT, valid_actions=["meet"], candidates=PEOPLE)
            return found.slate

    slate = asyncio.run(ask())
    assert slate is not None
    assert len(slate.user_ids) == 2


def test_what_the_service_refuses_is_raised(client: Client) -> None:
    with pytest.raises((ShouldFixArgument, ShouldFixInput), match="not a list of 2 numbers"):
        client.decide("ann", CONTEXT, candidates=[Candidate(user_id="ben", descriptors=[0.5])])


@pytest.mark.parametrize("wrong", [1.5, -1.01, math.nan, math.inf, True, "0.5", None])
def test_a_candidate_is_checked_when_it_is_made(wrong: object) -> None:
    with pytest.raises(ShouldFixArgument, match="descriptors holds"):
        Candidate(user_id="ben", descriptors=[0.5, wrong])  # type: ignore[list-item]
    with pytest.raises(ShouldFixArgument, match="user_id is empty"):
        Candidate(user_id="", descriptors=[0.5])


def test_only_records_in_a_record_are_written_as_records() -> None:
    asked = Question(
        user_id="ann",
        context={"list": [None, 1], "empty": None},
        candidates=PEOPLE[:1],
        decision_id="0" * 8 + "-0000-4000-8000-" + "0" * 12,
    )
    assert json.loads(body_of(asked)) == {
        "user_id": "ann",
        "context": {"list": [None, 1], "empty": None},
        "action_arguments": {},
        "candidates": [{"user_id": "ben", "descriptors": [0.25, -1.0]}],
        "decision_id": asked.decision_id,
    }
