"""``GET /api/admin/audit``: who changed what, and who read health data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from everloop.contracts.access import AuditEntry, Scope
from everloop.serving.openapi import problems
from everloop.serving.service import service_of

router = APIRouter(tags=["admin"])

LARGEST_PAGE = 1000


class AuditRow(BaseModel):
    """One mutation, or one read of health data."""

    sequence: int
    at: datetime
    actor: str
    action: str
    resource: str
    rows: int
    detail: dict[str, Any]


class AuditPage(BaseModel):
    """Entries of the caller's tenant, oldest first.

    Attributes:
        next_after: what ``after`` of the next page is; the given one where there are no more yet.
    """

    entries: list[AuditRow]
    next_after: int


@router.get(
    "/api/admin/audit",
    response_model=AuditPage,
    summary="Read the audit log",
    responses=problems(),
)
async def read_audit(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Last sequence seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Entries at most.")] = 100,
) -> AuditPage:
    """The entries of the caller's tenant after a sequence number, oldest first. Scope: admin."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.ADMIN)
    service.limits.admit(caller.tenant)
    entries = await run_in_threadpool(
        service.workspace.audit.entries, caller.tenant, after=after, limit=limit
    )
    rows = [_row(entry) for entry in entries]
    return AuditPage(entries=rows, next_after=rows[-1].sequence if rows else after)


def _row(entry: AuditEntry) -> AuditRow:
    return AuditRow(
        sequence=entry.sequence,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        resource=entry.resource,
        rows=entry.rows,
        detail=dict(entry.detail),
    )
