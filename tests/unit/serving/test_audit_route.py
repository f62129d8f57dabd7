"""``GET /api/admin/audit``: the caller's own tenant, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from everloop.contracts.access import Scope
from tests.log_records import ANN
from tests.two_tenants import OURS, THEIRS, Sent, World, two_tenants

PATH = "/api/admin/audit"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def read(world: World, tenant: str, **query: int) -> dict[str, Any]:
    sent = Sent(query={name: str(value) for name, value in query.items()})
    response = world.send("GET", PATH, sent, world.key(tenant, Scope.ADMIN))
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("tenant", [OURS, THEIRS])
def test_shows_what_the_tenant_s_log_holds(world: World, tenant: str) -> None:
    page = read(world, tenant, limit=1000)
    entries = world.audited(tenant)
    shown = [
        (row["sequence"], row["actor"], row["action"], row["resource"]) for row in page["entries"]
    ]
    assert shown == [(e.sequence, e.actor, e.action, e.resource) for e in entries]
    assert page["next_after"] == entries[-1].sequence
    assert {"key.create", "episodes.append"} <= {row["action"] for row in page["entries"]}


def test_pages_follow_one_another(world: World) -> None:
    seen, after = [], 0
    while rows := (page := read(world, OURS, after=after, limit=3))["entries"]:
        assert len(rows) <= 3
        seen += [row["sequence"] for row in rows]
        after = page["next_after"]
        if len(seen) > 12:  # each page needs a key, which is an entry too
            break
    assert seen == list(range(1, len(seen) + 1))
    assert read(world, OURS, after=10**9) == {"entries": [], "next_after": 10**9}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"after": "-1"}, {"after": "1e99"}]
)
def test_pages_that_are_none_are_refused(world: World, query: dict[str, str]) -> None:
    response = world.send("GET", PATH, Sent(query=query), world.keys[OURS])
    assert response.status_code == 422
    assert next(iter(query)) in response.json()["detail"]


def test_ingest_is_written_down_as_ranges_of_its_caller(world: World) -> None:
    key = world.key(OURS, Scope.INGEST)
    body = {
        "episode_id": "00000000-0000-4000-8000-00000000000a",
        "user_id": "ann",
        "context_snapshot": {"x": 0.5, "pulse": 70.0},
        "action_taken": "walk",
        "timestamp": "2026-03-10T12:00:00Z",
        "model_version": "v1",
    }
    before = world.audited(OURS)[-1].sequence
    assert world.send("POST", "/api/ml/episode", Sent(body=body), key).status_code == 201
    (entry,) = world.audited(OURS, before)
    assert (entry.actor, entry.action, entry.rows) == (
        f"key:{key.split('_')[1]}",
        "episodes.append",
        1,
    )
    assert "ann" not in entry.resource
    person = world.service.workspace.pseudonyms.of("ann", OURS)
    assert person not in str(entry)
    # A replay changes nothing, so nothing more is written down.
    assert world.send("POST", "/api/ml/episode", Sent(body=body), key).status_code == 201
    assert world.audited(OURS, entry.sequence) == ()


def test_no_entry_names_a_person(world: World) -> None:
    for tenant in (OURS, THEIRS):
        user = world.ours.user if tenant == OURS else world.theirs.user
        person = world.service.workspace.pseudonyms.of(user, tenant)
        for entry in world.audited(tenant):
            assert person not in str(entry)
            assert user not in str(entry)
            assert ANN not in str(entry)
