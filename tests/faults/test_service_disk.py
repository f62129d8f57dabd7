"""Disks that are full, slow or looked at for long, under a running service."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, event, select

from everloop.contracts.ids import event_id
from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.settings import initialise
from everloop.storage.schema import training_episodes
from everloop.storage.sql.engine import reading
from everloop.storage.sql.wal import LARGEST_WAL
from everloop.wiring import open_workspace
from tests.faults.service_load import CONTEXT
from tests.served import Served, new_key

PADDING = "x" * 4000


def body(episode_id: str, padding: str = "") -> dict[str, Any]:
    return {
        "episode_id": episode_id,
        "user_id": "ann",
        "context_snapshot": CONTEXT,
        "action_taken": "no_action",
        "action_arguments": {"note": padding},
        "timestamp": datetime.now(UTC).isoformat(),
        "model_version": "own-1",
        "propensity": 0.5,
    }


def stored(home: Path) -> set[str]:
    with reading(open_workspace(home).engine) as connection:
        return set(connection.execute(select(training_episodes.c.episode_id)).scalars())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = Served(tmp_path / "w")
    service.start()
    yield service
    service.kill()


def test_a_full_disk_says_come_back_and_nothing_is_lost(served: Served) -> None:
    assert served.process is not None
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    used = sum(path.stat().st_size for path in served.home.glob("state.db*"))
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (used + 400_000, hard))
    acknowledged, refused = [], ""
    for _ in range(2000):
        refused = event_id()
        status, answer, headers = served.ask("POST", "/api/ml/episode", body(refused, PADDING))
        if status != 201:
            break
        acknowledged.append(refused)
    assert (status, answer["title"]) == (503, "ShouldFreeDisk")
    assert int(headers["retry-after"]) > 0
    assert "disk" in answer["remedy"]
    assert served.ask("GET", "/health/live")[0] == 200
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert served.ask("POST", "/api/ml/episode", body(event_id(), PADDING))[0] == 201
    assert served.stop() == 0
    assert set(acknowledged) <= stored(served.home)
    assert refused not in stored(served.home)


def test_a_long_reader_lets_the_log_grow_and_no_longer(served: Served) -> None:
    wal = served.home / "state.db-wal"
    with sqlite3.connect(served.home / "state.db") as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM training_episodes").fetchone()
        give_up = time.monotonic() + 60
        while wal.stat().st_size < LARGEST_WAL * 1.3 and time.monotonic() < give_up:
            batch = [body(event_id(), PADDING) for _ in range(200)]
            assert served.ask("POST", "/api/ml/episode/batch", {"episodes": batch})[0] == 201
        assert wal.stat().st_size > LARGEST_WAL
        assert reader.execute("SELECT count(*) FROM training_episodes").fetchone() == before
    reader.close()
    give_up = time.monotonic() + 20
    while wal.stat().st_size > LARGEST_WAL and time.monotonic() < give_up:
        time.sleep(0.05)
    assert wal.stat().st_size <= LARGEST_WAL


def test_a_slow_disk_pushes_back_and_memory_is_bounded(tmp_path: Path) -> None:
    home = tmp_path / "w"
    initialise(home)
    key = new_key(home)

    async def send() -> dict[str, int]:
        with opened(ServiceConfig(home=home, queue_limit=50, train=False)) as service:

            @event.listens_for(service.queue.engine, "commit")
            def slowly(_: Connection) -> None:
                time.sleep(0.2)

            transport = httpx.ASGITransport(create_app(service))
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://w", headers=headers, timeout=60
            ) as client:
                statuses: dict[str, int] = {}

                async def one() -> None:
                    episode_id = event_id()
                    answer = await client.post("/api/ml/episode", json=body(episode_id))
                    statuses[episode_id] = answer.status_code
                    if answer.status_code == 503:
                        assert int(answer.headers["retry-after"]) > 0
                    assert service.queue.waiting <= 50

                await asyncio.gather(*(one() for _ in range(300)))
            return statuses

    statuses = asyncio.run(send())
    assert set(statuses.values()) == {201, 503}
    assert stored(home) == {row for row, status in statuses.items() if status == 201}
