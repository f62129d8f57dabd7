"""Bodies are read once the caller is known, within limits, and large ones away from the event loop."""

from __future__ import annotations

import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from everloop.contracts.access import Scope
from everloop.privacy.health import HealthVault
from everloop.serving.api import episodes as episode_routes
from everloop.serving.api import feedback as feedback_routes
from everloop.serving.api import interactions as interaction_routes
from everloop.serving.api import rewards as reward_routes
from everloop.serving.api import voice_data as voice_routes
from everloop.serving.api.engines import HOOK_BYTES
from everloop.serving.problems import MOST_ERRORS
from everloop.serving.reading import INLINE_BYTES, LARGEST_BODY, LARGEST_EVENT
from everloop.storage.sql.decisions import SqlDecisionStore
from tests.two_tenants import OURS, Sent, World, two_tenants
from tests.unit.serving.route_table import ROUTES

BATCHES = {
    ("POST", "/api/ml/episode/batch"): "episodes",
    ("POST", "/api/ml/reward/batch"): "rewards",
    ("POST", "/api/ml/decide/batch"): "decisions",
    ("POST", "/api/rlhf/interactions"): "interactions",
    ("POST", "/api/rlhf/feedback/batch"): "feedback",
    ("POST", "/api/ml/voice/packages"): "packages",
}
FLAGGER = ("POST", "/api/ml/deployments/{deployment_id}/verdict/flagger/{hook}")
"""Its sender can set no header, so that the credential is in the body."""
WRITES = [route for route in ROUTES if route[0] != "GET"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def post(
    world: World,
    route: tuple[str, str],
    content: bytes | AsyncIterator[bytes],
    key: str | None,
    **headers: str,
) -> httpx.Response:
    method, path = route
    if route in ROUTES:
        path = path.format_map(ROUTES[route].good(world.ours).path or {})
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return world.send_raw(method, path, content, headers)


@pytest.mark.parametrize("route", [r for r in WRITES if r != FLAGGER], ids=" ".join)
def test_a_stranger_s_body_is_never_read(world: World, route: tuple[str, str]) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"no json"

    answer = post(world, route, body(), None, **{"Content-Type": "application/json"})
    assert (answer.status_code, read) == (401, [])


def test_a_stranger_s_body_is_read_no_further_than_a_key_may_stand(world: World) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read.append(True)
            yield b" " * 1024

    assert post(world, FLAGGER, body(), None).status_code == 413
    assert len(read) <= HOOK_BYTES // 1024 + 2


@pytest.mark.parametrize("route", WRITES, ids=" ".join)
def test_a_body_in_pieces_has_a_limit(world: World, route: tuple[str, str]) -> None:
    largest = LARGEST_BODY if route in BATCHES else LARGEST_EVENT
    largest = HOOK_BYTES if route == FLAGGER else largest
    piece = b" " * (largest // 4)
    pieces = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(12):
            pieces.append(True)
            yield piece

    answer = post(world, route, body(), world.keys[OURS])
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(pieces) <= 6


@pytest.mark.parametrize("route", WRITES, ids=" ".join)
def test_a_content_type_is_not_needed(world: World, route: tuple[str, str]) -> None:
    sent = ROUTES[route].good(world.ours)
    method, path = route
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl -d has it
    named = (method, path.format_map(sent.path or {}))
    answer = post(world, named, orjson.dumps(sent.body), world.keys[OURS], **form)
    assert answer.is_success or answer.status_code == ROUTES[route].status, answer.text


@pytest.mark.parametrize(
    ("route", "module", "name"),
    [
        (("POST", "/api/ml/episode/batch"), episode_routes, "logged_episode"),
        (("POST", "/api/ml/reward/batch"), reward_routes, "logged_signal"),
        (("POST", "/api/rlhf/interactions"), interaction_routes, "logged_interaction"),
        (("POST", "/api/rlhf/feedback/batch"), feedback_routes, "sent_feedback"),
        (("POST", "/api/ml/voice/packages"), voice_routes, "package_of_body"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("size", [INLINE_BYTES + 1, LARGEST_EVENT + 1])
def test_large_batches_are_worked_on_by_a_thread(
    world: World,
    route: tuple[str, str],
    module: Any,
    name: str,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = []
    work = getattr(module, name)

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return work(*arguments)

    monkeypatch.setattr(module, name, noted)
    raw = orjson.dumps(ROUTES[route].good(world.ours).body)
    answer = post(world, route, raw + b" " * (size - len(raw)), world.keys[OURS])
    assert answer.status_code == 201, answer.text
    assert threads
    assert threading.main_thread() not in threads


def _batch(world: World, *changes: dict[str, Any], size: int = 0) -> bytes:
    (one,) = ROUTES["POST", "/api/ml/episode/batch"].good(world.ours).body["episodes"][:1]
    records = [{**one, "episode_id": str(uuid.uuid4()), **change} for change in changes]
    raw = orjson.dumps({"episodes": records})
    return raw + b" " * (size - len(raw))


EPISODES = ("POST", "/api/ml/episode/batch")


@pytest.mark.parametrize("size", [0, LARGEST_EVENT + 1])
def test_only_errors_of_the_form_meant_are_told(world: World, size: int) -> None:
    answer = post(
        world, EPISODES, _batch(world, {}, {"propensity": 7}, size=size), world.keys[OURS]
    )
    assert answer.status_code == 422
    assert [e["field"] for e in answer.json()["errors"]] == ["episodes.1.propensity"]
    confirmed = orjson.dumps({"episodes": [{"decision_id": str(uuid.uuid4()), "outcome": "so"}]})
    answer = post(world, EPISODES, confirmed + b" " * size, world.keys[OURS])
    assert [e["field"] for e in answer.json()["errors"]] == ["episodes.0.outcome"]


@pytest.mark.parametrize(
    "text",
    [
        b'{"episodes": [{}',
        b'{"episodes": [1]}',
        b'{"episodes": [{} {}]}',
        b'{"episodes": [{}], "more": 1}',
        b'{"more": 1}',
        b'{"episodes": []}',
        b'{"episodes": [' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"]}",
        b'{"episodes": [{"a": "' + b"x" * LARGEST_EVENT + b'"}]}',
        b"\xff",
    ],
    ids=range(9),
)
def test_large_bodies_of_another_form_are_refused(world: World, text: bytes) -> None:
    answer = post(world, EPISODES, text + b" " * LARGEST_EVENT, world.keys[OURS])
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_large_batch_is_stored_whole(world: World) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2_500)]
    person = "anna/of\nall people é"
    long = {"note": '}]\\" é' * 80}
    raw = _batch(
        world,
        *({"episode_id": i, "user_id": person, "action_arguments": long} for i in ids),
    )
    assert len(raw) > LARGEST_EVENT * 2
    answer = post(world, EPISODES, raw, world.keys[OURS])
    assert answer.json() == {"stored": 2_500}
    path = f"/api/ml/episodes/{quote(person, safe='')}?limit=1000&offset=2000"
    page = post(world, ("GET", path), b"", world.keys[OURS]).json()
    found = {e["episode_id"] for e in page["episodes"]}
    assert len(found) == 500
    assert found < set(ids)
    assert page["episodes"][0]["action_arguments"] == long


def test_what_is_wrong_everywhere_is_not_listed(world: World) -> None:
    junk = orjson.dumps({"episodes": [{str(n): 1 for n in range(MOST_ERRORS + 1)}]})
    answer = post(world, EPISODES, junk, world.keys[OURS])
    assert answer.status_code == 422
    assert "places" in answer.json()["detail"]
    assert answer.json()["errors"] == []


def test_confirmations_are_looked_up_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqlDecisionStore, "decision", None)
    key = world.keys[OURS]
    body = {"episodes": [{"decision_id": world.ours.decision}] * 3}
    answer = world.send(*EPISODES, Sent(body=body), key)
    assert answer.json() == {"stored": 3}


@pytest.mark.parametrize("sealed", [True, False])
def test_a_reading_is_written_down_where_health_was_opened(
    world: World, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = f"one/{uuid.uuid4()}"
    if not sealed:  # as of a loop without health fields
        monkeypatch.setattr(HealthVault, "seal", lambda *given: given[-1])
    answer = post(world, EPISODES, _batch(world, {"user_id": person}), world.keys[OURS])
    assert answer.is_success, answer.text
    before = len(world.audited(OURS))
    path = f"/api/ml/episodes/{quote(person)}"
    page = post(world, ("GET", path), b"", world.key(OURS, Scope.READ)).json()
    assert page["episodes"][0]["context_snapshot"] == {"x": 0.5, "pulse": 70.0}
    actions = [entry.action for entry in world.audited(OURS)[before:]]
    assert actions.count("health.read") == sealed
