"""What a person allows, sees and has forgotten, over HTTP."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from everloop import settings
from everloop.contracts.access import Scope
from everloop.contracts.contexts import SEALED
from everloop.contracts.errors import ShouldRespectConsent
from tests.two_tenants import OURS, Sent, World, two_tenants

CONSENT = "/api/rlhf/privacy/consent"
EXPORT = "/api/rlhf/privacy/export"
ERASE = "/api/rlhf/privacy/erase"
PULSE = 71.515625


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def user() -> str:
    return f"planted-user-{uuid.uuid4()}"


def send(world: World, method: str, path: str, **parts: Any) -> httpx.Response:
    return world.send(method, path, Sent(**parts), world.keys[OURS])


def log_episode(world: World, user: str, **changes: Any) -> str:
    body: dict[str, Any] = {
        "episode_id": str(uuid.uuid4()),
        "user_id": user,
        "context_snapshot": {"x": 0.5, "pulse": PULSE},
        "action_taken": "walk",
        "timestamp": datetime.now(UTC).isoformat(),
        "model_version": "v1",
        "propensity": 0.5,
    }
    response = send(world, "POST", "/api/ml/episode", body=body | changes)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def person_of(world: World, user: str) -> str:
    return world.service.workspace.pseudonyms.of(user, OURS)


def exported(world: World, user: str) -> list[dict[str, Any]]:
    response = send(world, "POST", EXPORT, body={"user_id": user})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert send(world, "GET", EXPORT, query={"user_id": user}).text == response.text
    return [json.loads(line) for line in response.text.splitlines()]


def consent(world: World, user: str, purpose: str, granted: bool) -> dict[str, Any]:
    body = {"user_id": user, "purpose": purpose, "granted": granted}
    response = send(world, "PUT", CONSENT, body=body)
    assert response.status_code == 200, response.text
    state: dict[str, Any] = response.json()
    assert send(world, "GET", CONSENT, query={"user_id": user}).json() == state
    return state


def test_silence_allows_and_the_newest_word_counts(world: World, user: str) -> None:
    assert send(world, "GET", CONSENT, query={"user_id": user}).json() == {
        "serve": True,
        "train": True,
        "history": [],
    }
    assert consent(world, user, "serve", False)["serve"] is False
    state = consent(world, user, "train", False)
    assert (state["serve"], state["train"]) == (False, False)
    state = consent(world, user, "serve", True)
    assert (state["serve"], state["train"]) == (True, False)
    said = [(row["purpose"], row["granted"]) for row in state["history"]]
    assert said == [("serve", True), ("train", False), ("serve", False)]


def test_a_withdrawal_counts_at_once_and_is_audited(world: World, user: str) -> None:
    before = len(world.audited(OURS))
    consent(world, user, "serve", False)
    with pytest.raises(ShouldRespectConsent):
        world.service.consents.require(OURS, person_of(world, user), "serve")
    (entry,) = world.audited(OURS)[before:]
    assert (entry.action, entry.resource) == ("consent.record", "serve")
    assert entry.detail == {"granted": False}
    asked = {"user_id": user, "context": {"x": 0.5, "pulse": PULSE}}
    assert send(world, "POST", "/api/ml/decide", body=asked).status_code == 403


def test_products_may_pass_on_withdrawals_alone(world: World, user: str) -> None:
    key = world.key(OURS, Scope.INGEST)
    body = {"user_id": user, "purpose": "train", "granted": False}
    assert world.send("PUT", CONSENT, Sent(body=body), key).status_code == 200
    refused = world.send("PUT", CONSENT, Sent(body=body | {"granted": True}), key)
    assert refused.status_code == 403
    assert "needs the scope admin" in refused.text
    other = world.key(OURS, Scope.READ)
    assert world.send("PUT", CONSENT, Sent(body=body), other).status_code == 403
    assert send(world, "GET", CONSENT, query={"user_id": user}).json()["train"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"purpose": "sell", "granted": True, "user_id": "a"},
        {"purpose": "train", "granted": True, "user_id": ""},
        {"purpose": "train", "user_id": "a"},
        {"purpose": "train", "granted": True, "user_id": "a", "reason": "typo"},
    ],
)
def test_a_malformed_consent_is_told(world: World, body: dict[str, Any]) -> None:
    assert send(world, "PUT", CONSENT, body=body).status_code == 422


def test_an_export_shows_everything_opened_and_audited(world: World, user: str) -> None:
    episode = log_episode(world, user)
    asked = {"user_id": user, "context": {"x": 0.25, "pulse": 66.5}}
    assert send(world, "POST", "/api/ml/decide", body=asked).status_code == 200
    consent(world, user, "train", False)
    before = len(world.audited(OURS))
    response = send(world, "POST", EXPORT, body={"user_id": user})
    rows = [json.loads(line) for line in response.text.splitlines()]
    by_table = {line["table"]: line["row"] for line in rows}
    assert set(by_table) == {"training_episodes", "decisions", "consents"}
    assert by_table["training_episodes"]["episode_id"] == episode
    assert by_table["training_episodes"]["context_snapshot"] == {"x": 0.5, "pulse": PULSE}
    assert by_table["decisions"]["context_snapshot"]["pulse"] == 66.5
    actions = [(e.action, e.rows) for e in world.audited(OURS)[before:]]
    assert actions == [("person.export", 3), ("health.read", 2)]
    assert SEALED not in response.text
    assert exported(world, f"nobody {user}") == []


def test_a_context_that_does_not_open_is_told_and_the_rest_is_shown(
    world: World, user: str
) -> None:
    good, bad = log_episode(world, user), str(uuid.uuid4())
    workspace = world.service.workspace
    (stored,) = workspace.log.episodes_of(person_of(world, user), OURS)
    workspace.log.append_episodes([replace(stored, episode_id=bad)])
    lines = {line["row"]["episode_id"]: line for line in exported(world, user)}
    assert lines[good]["row"]["context_snapshot"]["pulse"] == PULSE
    assert bad in lines[bad]["problem"]
    assert SEALED in lines[bad]["row"]["context_snapshot"]


def test_an_erasure_forgets_and_is_idempotent(world: World, user: str) -> None:
    log_episode(world, user)
    consent(world, user, "serve", True)
    consent(world, user, "serve", False)
    first = send(world, "POST", ERASE, body={"user_id": user, "reason": "by letter"}).json()
    assert first["deleted"]["training_episodes"] == 1
    assert first["deleted"]["consents"] == 1
    assert send(world, "POST", ERASE, body={"user_id": user}).json() == first
    left = [line["table"] for line in exported(world, user)]
    assert left == ["consents", "erasures"]
    assert world.service.consents.withdrawn(OURS, person_of(world, user), "serve")
    entries = [e for e in world.audited(OURS) if e.resource == first["erasure_id"]]
    assert [(e.action, e.detail["reason"]) for e in entries] == [("person.erase", "by letter")]


def test_an_erasure_reaches_what_others_decisions_were_about(world: World, user: str) -> None:
    friend = f"friend-of-{user}"
    log_episode(world, user, action_arguments={"user_ids": [friend]})
    (line,) = exported(world, user)
    assert line["row"]["action_arguments"] == {"user_ids": [person_of(world, friend)]}
    done = send(world, "POST", ERASE, body={"user_id": friend}).json()
    assert done["deleted"]["mentions"] == 1
    (line,) = exported(world, user)
    assert line["row"]["action_arguments"] == {"user_ids": ["erased"]}


def test_a_reason_that_names_the_person_is_refused_and_nothing_happens(
    world: World, user: str
) -> None:
    log_episode(world, user)
    for name in (user, user.upper(), person_of(world, user)):
        body = {"user_id": user, "reason": f"for {name}"}
        assert send(world, "POST", ERASE, body=body).status_code == 422
    assert len(exported(world, user)) == 1


def test_a_short_id_does_not_forbid_ordinary_words(world: World) -> None:
    body = {"user_id": "e", "reason": "requested by phone"}
    assert send(world, "POST", ERASE, body=body).status_code == 200


def test_neither_ids_nor_health_values_lie_on_the_disk(world: World, user: str) -> None:
    """Everything that a product sends of a person, planted, and looked for byte by byte."""
    session = f"planted-session-{uuid.uuid4()}"
    about = {"user_ids": [f"friend-of-{user}"]}
    log_episode(world, user, action_arguments=about)
    context = {"x": 0.25, "pulse": PULSE}
    asked = {"user_id": user, "context": context, "action_arguments": about}
    assert send(world, "POST", "/api/ml/decide", body=asked).status_code == 200
    said = {
        "log_id": str(uuid.uuid4()),
        "user_id": user,
        "session_id": session,
        "timestamp": datetime.now(UTC).isoformat(),
        "input_data": "how are you?",
        "output_data": "well, thank you",
        "agent_id": "agent",
        "task_type": "chat",
        "persona": "friend",
        "model_version": "v1",
    }
    response = send(world, "POST", "/api/rlhf/interaction", body=said)
    assert response.is_success, response.text
    home = Path(world.service.workspace.home)
    with closing(sqlite3.connect(home / settings.DATABASE_FILE)) as connection:
        stored = connection.execute(
            "SELECT context_snapshot FROM training_episodes WHERE user_id = ?",
            (person_of(world, user),),
        ).fetchall()
    assert all("pulse" not in text for (text,) in stored)
    assert len(stored) == 1
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for planted in (user, session, str(PULSE)):
                assert planted.encode() not in data, (path, planted)
