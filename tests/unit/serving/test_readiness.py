"""``/health/ready`` says so when requests would fail, and tells strangers no paths."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFreeDisk
from everloop.serving import metrics_exchange, retention
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.metrics_exchange import MetricsExchange, publishing
from everloop.serving.retention import Retention
from everloop.storage.sql import group_commit
from tests.log_records import SetClock
from tests.two_tenants import OURS, Sent, World, two_tenants


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def ready(world: World) -> tuple[int, list[str]]:
    """The status and the parts that are not well."""
    answer = world.send("GET", "/health/ready", Sent(), None)
    assert str(world.service.workspace.home) not in answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == ("ready" if answer.status_code == 200 else "not ready")
    return answer.status_code, [part["name"] for part in body["parts"] if not part["ok"]]


def write(world: World) -> int:
    body = {"user_id": "ann", "purpose": "serve", "granted": True}
    answer = world.send("PUT", "/api/rlhf/privacy/consent", Sent(body=body), world.keys[OURS])
    return answer.status_code


def test_every_part_is_told(world: World) -> None:
    parts = world.send("GET", "/health/ready", Sent(), None).json()["parts"]
    assert {part["name"] for part in parts} >= {
        "ingest",
        "database",
        "thread:consents",
        "thread:models",
        "thread:retention",
        "thread:training",
        "thread:metrics",
    }
    assert ready(world) == (200, [])


@pytest.mark.parametrize("empty", [False, True])
def test_a_database_that_was_moved_away_is_not_ready(world: World, empty: bool) -> None:
    path = world.service.workspace.home / "state.db"
    moved = path.with_name("moved.db")
    path.rename(moved)
    if empty:
        path.touch()
    try:
        assert ready(world) == (503, ["database"])
        assert write(world) == 503
    finally:
        moved.replace(path)
    assert ready(world) == (200, [])
    assert write(world) == 200


def test_a_failed_commit_counts_until_one_succeeds_or_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, store = world.service.queue, group_commit.store
    home = world.service.workspace.home

    def full(*_: object) -> Any:
        raise ShouldFreeDisk(f"No room in {home}.", "Free disk space.")

    def log() -> int:
        sent = Sent(body={"user_id": "ann", "context": {"x": 0.5, "pulse": 60.0}})
        return world.send("POST", "/api/ml/decide", sent, world.keys[OURS]).status_code

    monkeypatch.setattr(group_commit, "store", full)
    assert log() == 503
    assert ready(world) == (503, ["ingest"])
    with monkeypatch.context() as later:
        later.setattr(group_commit, "FAILED_S", -1.0)
        assert ready(world) == (200, [])
    monkeypatch.setattr(group_commit, "store", store)
    assert log() == 200
    assert queue.failure is None
    assert ready(world) == (200, [])


@pytest.mark.parametrize("place", ["state.db", "."])
def test_what_is_read_only_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    refused = (world.service.workspace.home / place).resolve()
    access = os.access

    def refusing(path: Path, mode: int) -> bool:
        return Path(path).resolve() != refused and access(path, mode)

    monkeypatch.setattr(os, "access", refusing)
    assert ready(world) == (503, ["database"])


def test_an_error_without_a_name_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*_: object, **__: object) -> Any:
        raise RuntimeError(str(world.service.workspace.home))

    monkeypatch.setattr(type(world.service.workspace.runs), "runs", odd)
    assert ready(world) == (503, ["database"])


def test_a_thread_that_has_ended_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in world.service.threads:
        with monkeypatch.context() as dead:
            dead.setitem(world.service.threads, name, lambda: False)
            assert ready(world) == (503, [f"thread:{name}"])


class Odd:
    """Whatever is asked of it fails in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> Any:
            self.asked.release()
            raise RuntimeError(name)

        return fail


def test_retention_survives_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AGAIN_S", 0.001)
    odd: Any = Odd()
    with Retention(odd, odd, SetClock(), timedelta(days=1)) as running:
        assert all(odd.asked.acquire(timeout=10) for _ in range(3))
        assert running.alive
    assert not running.alive


def test_publishing_survives_what_nobody_foresaw(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = Odd()
    monkeypatch.setattr(metrics_exchange, "_PUBLISH_S", 0.001)
    monkeypatch.setattr(MetricsExchange, "publish", lambda _: odd.publish())
    exchange = MetricsExchange(Any, tmp_path, 0)  # type: ignore[arg-type]
    with publishing(exchange) as alive:
        assert all(odd.asked.acquire(timeout=10) for _ in range(3))
        assert alive()
    assert not alive()


def test_looking_at_what_is_deployed_survives_what_nobody_foresaw(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Odd()
    monkeypatch.setattr(DecisionEngine, "refresh", lambda _: odd.refresh())
    engine = DecisionEngine(world.service.workspace, {}, SetClock(), poll_s=0.001)
    assert not engine.alive
    engine.start()
    assert all(odd.asked.acquire(timeout=10) for _ in range(3))
    assert engine.alive
    engine.close()


def test_slow_readers_of_exports_stop_nobody(world: World) -> None:
    workspace = world.service.workspace
    person = workspace.pseudonyms.of(world.ours.user, OURS)
    slow = [workspace.people.export(person, OURS) for _ in range(30)]
    for rows in slow:
        next(rows)
    assert workspace.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert ready(world) == (200, [])
    assert write(world) == 200
    for rows in slow:
        assert list(rows)
