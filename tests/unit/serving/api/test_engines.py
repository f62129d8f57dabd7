"""Flagger's webhooks: yes is 200, everything else is no, and the key travels in the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from everloop.contracts.access import Scope
from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.rollout.standing import StandingVerdict
from everloop.serving.api import engines
from tests.two_tenants import OURS, Sent, World, two_tenants

PATH = "/api/ml/deployments/{deployment_id}/verdict/flagger/{hook}"
HOOKS = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
YES = {
    Decision.CONTINUE: {"confirm-rollout", "confirm-traffic-increase"},
    Decision.PROMOTE: {"confirm-rollout", "confirm-traffic-increase", "confirm-promotion"},
    Decision.HOLD: set(),
    Decision.ROLLBACK: {"rollback"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("engines")) as made:
        yield made


def ask(world: World, hook: str, key: str | None, in_body: str = "", **more: Any) -> httpx.Response:
    body = {"name": "companion", "namespace": "ml", "phase": "Progressing", "checksum": "85d5"}
    sent = Sent(
        path={"deployment_id": world.ours.deployment, "hook": hook},
        body={**body, "metadata": {"key": in_body, "other": "x"}, **more},
    )
    return world.send("POST", PATH, sent, key)


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_answered_yes_for_what_allows_it_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, hook: str, decision: Decision
) -> None:
    found = StandingVerdict(
        world.ours.deployment,
        decision,
        "started",
        5.0,
        ("because",),
        datetime.now(UTC),
        (Check("primary", CheckStatus.PASSED, "fine"),),
    )
    monkeypatch.setattr(engines, "standing_verdict", lambda *_: replace(found))
    answer = ask(world, hook, world.keys[OURS])
    assert answer.status_code == (200 if hook in YES[decision] else 409)
    if answer.status_code == 409:
        assert f"The verdict is {decision}: because" in answer.json()["detail"]
    else:
        assert answer.json()["decision"] == decision


@pytest.mark.parametrize("hook", HOOKS)
def test_in_shadow_flagger_starts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    unseen = StandingVerdict(
        world.ours.deployment, Decision.CONTINUE, "shadow", 0.0, ("fine",), datetime.now(UTC)
    )
    monkeypatch.setattr(engines, "standing_verdict", lambda *_: unseen)
    answer = ask(world, hook, world.keys[OURS])
    assert answer.status_code == 409
    if hook.startswith(("confirm-rollout", "confirm-traffic")):
        assert "Nobody meets the candidate yet" in answer.json()["detail"]


def test_the_key_may_travel_in_the_metadata_and_needs_the_scope(world: World) -> None:
    waits = ask(world, "rollback", None, in_body=world.key(OURS, Scope.READ))
    assert waits.status_code == 409  # let in: the deployment only waits for its turn
    assert ask(world, "rollback", None, in_body=world.key(OURS, Scope.INGEST)).status_code == 403
    for wrong in ("", "elk_000000000000_nothing", "x" * 400):
        assert ask(world, "rollback", None, in_body=wrong).status_code == 401


def test_a_credential_in_the_headers_wins_over_one_in_the_body(world: World) -> None:
    answer = ask(world, "rollback", "elk_unknown", in_body=world.key(OURS, Scope.READ))
    assert answer.status_code == 401


def test_odd_bodies_are_refused(world: World) -> None:
    key = world.keys[OURS]
    assert ask(world, "upgrade", key).status_code == 422
    assert ask(world, "rollback", key, phase="x" * 1000).status_code == 422
    assert ask(world, "rollback", key, note="x" * 40_000).status_code == 413
