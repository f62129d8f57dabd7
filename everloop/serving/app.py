"""The HTTP application: every route over one service."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from everloop import __version__
from everloop.serving import api, problems
from everloop.serving.body_limit import BodyLimit
from everloop.serving.metrics import RequestMetrics
from everloop.serving.openapi import add_schemas
from everloop.serving.service import Service

_ABOUT = """Products log what happened and ask what to do.

Send `Authorization: Bearer <key>`; `everloop keys create` makes keys. Ids are UUIDs that the client
makes: the same request sent twice is stored once and answered alike, so every request may be retried.
An answer of 201 means that the data is on disk."""


def create_app(service: Service) -> FastAPI:
    """The application over a service that somebody else opens and closes."""
    app = FastAPI(title="everloop", version=__version__, description=_ABOUT)
    _furnish(app)
    app.state.service = service
    app.add_middleware(RequestMetrics, figures=service.requests)
    return app


def _furnish(app: FastAPI) -> None:
    bodies: list[type[BaseModel]] = []
    for module in api.RESOURCES:
        app.include_router(module.router)
        bodies.extend(getattr(module, "BODIES", ()))
    problems.install(app)
    app.add_middleware(BodyLimit)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            add_schemas(schema, tuple(bodies))
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                if path.startswith("/api/"):
                    for route in methods.values():
                        route["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
