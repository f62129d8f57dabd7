"""The HTTP application: every route over one service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from everloop import __version__
from everloop.serving import api, problems
from everloop.serving.fast_lane import Answer, FastLane
from everloop.serving.metrics import RequestMetrics
from everloop.serving.openapi import add_schemas
from everloop.serving.reading import LARGEST_BODY
from everloop.serving.service import Service

_ABOUT = """Products log what happened and ask what to do.

Send `Authorization: Bearer <key>`; `everloop keys create` makes keys. Ids are UUIDs that the client
makes: the same request sent twice is stored once and answered alike, so every request may be retried.
An answer of 201 means that the data is on disk."""


class Application(FastAPI):
    """The framework's application behind the fast lane."""

    lane: FastLane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.lane(scope, receive, send)


def create_app(service: Service) -> Application:
    """The application over a service that somebody else opens and closes."""
    app = Application(
        title="everloop",
        version=__version__,
        description=_ABOUT,
        max_body_size=LARGEST_BODY,
        # It would record what people sent.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    fast: dict[str, tuple[int, Answer]] = {}
    bodies: list[type[BaseModel]] = []
    for module in api.RESOURCES:
        app.include_router(module.router)
        bodies.extend(getattr(module, "BODIES", ()))
        fast.update(getattr(module, "FAST", {}))
    problems.install(app)
    app.state.service = service
    app.add_middleware(RequestMetrics, figures=service.requests)
    app.lane = FastLane(super(Application, app).__call__, service, fast)
    app.openapi = _documented(app, tuple(bodies))  # type: ignore[method-assign]
    return app


def _documented(app: FastAPI, bodies: tuple[type[BaseModel], ...]) -> Callable[[], dict[str, Any]]:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            add_schemas(schema, bodies)
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                if path.startswith("/api/"):
                    for route in methods.values():
                        route["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    return document
