"""``/health`` and ``/metrics``: is it well, and what has it done?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from everloop import __version__
from everloop.serving.readiness import Part, parts
from everloop.serving.service import service_of

router = APIRouter(tags=["operations"])


class Live(BaseModel):
    status: Literal["live"] = "live"
    version: str = __version__


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
    found = await run_in_threadpool(parts, service_of(request))
    well = all(part.ok for part in found)
    body = Ready(status="ready" if well else "not ready", parts=found)
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
