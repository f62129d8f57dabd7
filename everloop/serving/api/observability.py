"""``/health`` and ``/metrics``: is it well, and what has it done?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from everloop import __version__
from everloop.contracts.errors import EverloopError
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["operations"])


class Live(BaseModel):
    status: Literal["live"] = "live"
    version: str = __version__


class Part(BaseModel):
    """One part of the service; ``ok`` is false where requests would fail."""

    name: str
    ok: bool
    detail: str = ""


class Ready(BaseModel):
    """Whether requests would be served, part by part."""

    status: Literal["ready", "not ready"]
    parts: list[Part]


@router.get("/health/live", response_model=Live, summary="Is the process alive?")
async def live() -> Live:
    return Live()


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "requests would fail"}},
    summary="Would requests be served?",
)
async def ready(request: Request) -> Response:
    parts = await run_in_threadpool(_parts, service_of(request))
    well = all(part.ok for part in parts)
    body = Ready(status="ready" if well else "not ready", parts=parts)
    return JSONResponse(body.model_dump(), 200 if well else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    summary="Figures for Prometheus",
)
async def metrics(request: Request) -> Response:
    page = await run_in_threadpool(service_of(request).exchange.page)
    return Response(page, media_type=CONTENT_TYPE_LATEST)


def _parts(service: Service) -> list[Part]:
    parts = [
        Part(
            name="ingest",
            ok=service.queue.alive,
            detail=f"{service.queue.waiting} records waiting",
        )
    ]
    try:
        service.workspace.runs.runs(limit=1)
        parts.append(Part(name="database", ok=True))
    except EverloopError as problem:
        parts.append(Part(name="database", ok=False, detail=problem.message))
    parts.extend(_model(service, loop) for loop in service.loops)
    return parts


def _model(service: Service, loop: str) -> Part:
    """A loop without a sound model still decides, so it doesn't make the service unready."""
    state = service.decisions.state("default", loop)
    return Part(
        name=f"decisions:{loop}", ok=True, detail=state.degraded or (state.active or "no model yet")
    )
