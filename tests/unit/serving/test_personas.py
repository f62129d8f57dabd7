"""Feedback moves a persona at once; people see it, adjust it and undo, and no tenant sees another's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everloop.contracts.access import Scope
from everloop.contracts.feedback import AIInterpretation, FeedbackStatus
from everloop.contracts.serving import Submission
from everloop.persona.graph import graph_of
from everloop.serving.personas import changing
from everloop.serving.personas.teaching import PersonaTeacher, voices_of
from everloop.storage.local.clock import SystemClock
from tests import feedback_records
from tests.two_tenants import CANARY, OURS, THEIRS, Sent, World, two_tenants

GUIDE = {"persona": "guide"}
PATH = "/api/ml/personas/{persona}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def ask(world: World, method: str, path: str, sent: Sent, tenant: str = OURS) -> Any:
    response = world.send(method, path, sent, world.keys[tenant])
    assert response.is_success, response.text
    return response.json()


def shown(world: World, tenant: str = OURS) -> Any:
    return ask(world, "GET", PATH, Sent(path=GUIDE), tenant)


def value(answer: Any) -> float:
    (trait,) = answer["traits"]
    return float(trait["value"])


def say(world: World, choice: str = "too_formal", tenant: str = OURS) -> Any:
    """Feedback on something that the guide said."""
    log_id, at = str(uuid.uuid4()), datetime.now(UTC)
    who = {"user_id": f"person {uuid.uuid4()}", "session_id": str(uuid.uuid4())}
    interaction = {
        "log_id": log_id,
        **who,
        "timestamp": (at - timedelta(seconds=40)).isoformat(),
        "input_type": "user_query",
        "input_data": "how are you?",
        "output_type": "text",
        "output_data": "I am at your service, esteemed interlocutor.",
        "agent_id": "voice",
        "task_type": "chat",
        "persona": "guide",
        "model_version": "v1",
    }
    ask(world, "POST", "/api/rlhf/interactions", Sent(body={"interactions": [interaction]}), tenant)
    body = {
        "feedback_id": str(uuid.uuid4()),
        "log_id": log_id,
        **who,
        "timestamp": at.isoformat(),
        "feedback_type": "categorical_choice",
        "feedback_value": choice,
        "client": {"platform": "web", "language": "en", "timezone": "UTC"},
    }
    return body, ask(world, "POST", "/api/rlhf/feedback", Sent(body=body), tenant)


def wait(world: World, revision: int) -> Any:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        found = shown(world)
        if found["revision"] >= revision:
            return found
        time.sleep(0.05)
    raise AssertionError(f"revision {revision} did not come: {found}")


def looked(world: World) -> int:
    """How much a look at the whole log finds to do."""
    place, voices = world.service.workspace, voices_of(world.service.loops)
    return PersonaTeacher(place.teaching, place.personas, voices, SystemClock()).look()


def test_feedback_moves_the_persona_and_its_replay_does_not(world: World) -> None:
    before = shown(world)
    body, answer = say(world)
    assert answer["status"] == "accepted", answer
    after = wait(world, before["revision"] + 1)
    assert value(after) < value(before)
    theirs = shown(world, THEIRS)
    assert value(theirs) == 0.0
    ask(world, "POST", "/api/rlhf/feedback", Sent(body=body))
    assert looked(world) == 0
    assert shown(world)["revision"] == after["revision"]
    (newest, *_) = ask(world, "GET", f"{PATH}/revisions", Sent(path=GUIDE))["revisions"]
    assert newest["cause"] == body["feedback_id"]
    assert newest["sha256"] == after["sha256"]


def test_an_operator_adjusts_and_undoes_to_the_byte(world: World) -> None:
    before = shown(world)
    body = {"trait": "formality", "adjustment": 1.0, "reason": "a launch"}
    moved = ask(world, "POST", f"{PATH}/traits", Sent(path=GUIDE, body=body))
    assert moved["revision"] == before["revision"] + 1
    assert moved["sha256"] != before["sha256"]
    assert "formal" in moved["prompt"]
    back = ask(world, "POST", f"{PATH}/undo", Sent(path=GUIDE, body={"reason": "too much"}))
    assert back["sha256"] == before["sha256"]
    again = ask(world, "POST", f"{PATH}/undo", Sent(path=GUIDE, body={"reason": "it was right"}))
    assert again["sha256"] == moved["sha256"]
    first = ask(world, "POST", f"{PATH}/undo", Sent(path=GUIDE, body={"reason": "anew", "to": 1}))
    assert value(first) == 0.0
    said = [entry.action for entry in world.audited(OURS)]
    assert said.count("persona.undo") == 3
    assert said.count("persona.adjust") == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/undo", {"reason": "why", "to": 4000}, 404),
        ("/undo", {"reason": " "}, 422),
        ("/undo", {"reason": "why", "to": True}, 422),
        ("/traits", {"trait": "humor", "adjustment": 0.1, "reason": "why"}, 404),
        ("/traits", {"trait": "formality", "adjustment": 1.5, "reason": "why"}, 422),
        ("/traits", {"trait": "formality", "adjustment": True, "reason": "why"}, 422),
    ],
)
def test_what_cannot_be_done_is_refused(
    world: World, path: str, body: dict[str, Any], status: int
) -> None:
    before = shown(world)
    response = world.send("POST", PATH + path, Sent(path=GUIDE, body=body), world.keys[OURS])
    assert response.status_code == status, response.text
    assert shown(world) == before


def test_an_unknown_persona_is_named(world: World) -> None:
    sent = Sent(path={"persona": "nobody"})
    for path in (PATH, f"{PATH}/revisions"):
        response = world.send("GET", path, sent, world.keys[OURS])
        assert response.status_code == 404
        assert "guide" in response.json()["remedy"]


def test_what_a_person_told_is_counted_and_not_shown(world: World) -> None:
    place, spec = world.service.workspace, voices_of(world.service.loops)["guide"]
    now = datetime.now(UTC)
    changing.remember(place, spec, "Their dog is Rex.", "cli:ann", now, "a" * 64, OURS)
    made, source = changing.remember(
        place, spec, "The shop opens at nine.", "cli:ann", now, None, OURS
    )
    found = shown(world)
    assert found["revision"] == made.number
    assert "Rex" not in str(found)
    assert [item["source_id"] for item in found["memory"]][-1] == source
    assert CANARY not in str(found)
    own = place.personas.newest("guide", "a" * 64, OURS)
    assert own is not None
    assert [item.text for item in graph_of(own.content).memory] == ["Their dog is Rex."]
    changing.forget(place, spec, source, "cli:ann", "closed", now, None, OURS)
    assert source not in str(shown(world)["memory"])


def test_quarantined_feedback_moves_once_it_is_released(world: World) -> None:
    place = world.service.workspace
    before = shown(world)
    log_id, number = str(uuid.uuid4()), 9000
    spoken = feedback_records.interaction(
        number, datetime.now(UTC), tenant=OURS, persona="guide", log_id=log_id
    )
    held = feedback_records.feedback(
        *(number, number, datetime.now(UTC)),
        tenant=OURS,
        persona="guide",
        log_id=log_id,
        status=FeedbackStatus.QUARANTINED,
        interpretations=(AIInterpretation("too_formal", "formality", -0.2, -0.5),),
    )
    submission = Submission(OURS, "cli:test", interactions=(spoken,), feedback=(held,))
    world.service.queue.submit(submission).result(30)
    assert looked(world) == 0
    assert shown(world)["revision"] == before["revision"]
    said = {"status": "released", "reason": "a person"}
    sent = Sent(path={"feedback_id": held.feedback_id}, body=said)
    ask(world, "PUT", "/api/rlhf/feedback/{feedback_id}/review", sent)
    wait(world, before["revision"] + 1)
    caused = place.personas.caused_by("guide", held.feedback_id, None, OURS)
    assert caused is not None
    assert caused.number == before["revision"] + 1


def test_one_who_looks_again_from_the_beginning_moves_nothing(world: World) -> None:
    looked(world)
    before = shown(world)
    assert looked(world) == 0
    assert shown(world) == before


def test_the_service_says_whether_it_works(world: World) -> None:
    assert world.service.threads["personas"]()
    idle = PersonaTeacher(
        world.service.workspace.teaching, world.service.workspace.personas, {}, SystemClock()
    )
    with idle:
        assert idle.alive
    assert world.key(OURS, Scope.READ)
