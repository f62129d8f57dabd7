"""The service's decisions, asked over HTTP in one process, with models made by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from everloop import settings
from everloop.contracts.access import Scope
from everloop.contracts.models import ModelType, Provenance
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.serving import problems
from everloop.serving.access.credentials import make_key
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.serving.service import Service
from tests.made_policies import made_policy

CONTEXT: dict[str, Any] = {
    "emotion": [0.25] * 128,
    "recent_interactions": [{"action": "pair-one", "reward": 0.5}],
    "heart_rate": 71.5,
    "pulse_variability": 42,
    "hour": 13,
    "weekday": 2,
    "week": 11,
    "connections": 4,
    "active_connections": 1,
    "age_group": "25_to_44",
}


@dataclass(frozen=True)
class Served:
    """A service on a workspace of its own, asked in this process."""

    service: Service
    app: FastAPI
    home: Path
    runner: asyncio.Runner

    def post(self, path: str, headers: dict[str, str], **sent: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(path, headers=headers, **sent)

        return self.runner.run(send())

    def key(self, *scopes: Scope, tenant: str = "default") -> dict[str, str]:
        made = make_key(tenant, "test", scopes, datetime.now(UTC))
        self.service.workspace.keys.add(made.record, "test")
        return {"Authorization": f"Bearer {made.text}"}

    def deploy(self, version: str, tenant: str = "default") -> None:
        place, spec = self.service.workspace, self.service.loops["companion"]
        path = made_policy(spec, version, self.home / f"{version}.onnx", bias=range(8))
        made = register(
            Candidate(
                loop="companion",
                model_type=ModelType.INTERVENTION,
                files={"policy.onnx": path},
                served="policy.onnx",
                performance_metrics={},
                lineage=dict.fromkeys(REQUIRED_LINEAGE, version),
                provenance=Provenance.PRIVATE_RELEASE,
                verdict="continue",
                training_date=datetime.now(UTC),
                tenant=tenant,
            ),
            place.registry,
            place.blobs,
        )
        promote(made.checkpoint_id, place.registry, place.blobs, place.deployments, "a test")
        self.service.decisions.refresh()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.home / "state.db") as connection:
            return connection.execute(query).fetchall()


@contextmanager
def serving(
    home: Path, *routers: APIRouter, loops: tuple[str, ...] = ("companion",)
) -> Iterator[Served]:
    """A service with some of its routes; ``home`` is made."""
    settings.initialise(home)
    with opened(ServiceConfig(home=home, loops=loops, train=False)) as service:
        app = FastAPI()
        for router in routers:
            app.include_router(router)
        problems.install(app)
        app.state.service = service
        with asyncio.Runner() as runner:
            yield Served(service, app, home, runner)


def asked(**changes: Any) -> dict[str, Any]:
    return {"user_id": "ann", "loop": "companion", "context": CONTEXT, **changes}
