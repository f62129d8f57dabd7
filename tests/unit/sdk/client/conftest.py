"""A service with rows of every kind, on a port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from everloop.sdk import AsyncClient, Client, EpisodeRecord, Retries
from everloop.serving.workers import bind
from tests.two_tenants import OURS, World, two_tenants

FAST = Retries(attempts=3, base=0.01, longest=0.02)


@contextmanager
def listening(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application from a thread; its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", log_level="error", access_log=False, ws="none")
    )
    with bind("127.0.0.1", port) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Running:
    """The service's address, an admin's key, and what lies in it."""

    url: str
    key: str = field(repr=False)
    world: World = field(repr=False)

    def client(self, **options: Any) -> Client:
        return Client(self.url, self.key, **({"retries": FAST} | options))

    def async_client(self, **options: Any) -> AsyncClient:
        return AsyncClient(self.url, self.key, **({"retries": FAST} | options))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with (
        two_tenants(tmp_path_factory.mktemp("service")) as world,
        listening(world.app) as url,
    ):
        yield Running(url, world.keys[OURS], world)


@pytest.fixture
def client(service: Running) -> Iterator[Client]:
    with service.client() as made:
        yield made


@pytest.fixture
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def episode() -> Callable[..., EpisodeRecord]:
    def make(user_id: str = "ann", **changes: Any) -> EpisodeRecord:
        values: dict[str, Any] = {
            "user_id": user_id,
            "context_snapshot": {"x": 0.5, "pulse": 70.0},
            "action_taken": "walk",
            "model_version": "v1",
            "propensity": 0.5,
        }
        return EpisodeRecord(**values | changes)

    return make


@pytest.fixture
def buffer_path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.db"
