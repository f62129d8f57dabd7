"""Requests about people's rights, the audit log and the service's health."""

from __future__ import annotations

from everloop.sdk.client.answers.operations import (
    AuditPage,
    Consents,
    Erasure,
    ExportedRow,
    Health,
    Liveness,
)
from everloop.sdk.client.call import Call, body_of, params_of
from everloop.sdk.client.reading import json_of, parse, read_as

_CONSENT = "/api/rlhf/privacy/consent"


def consent(user_id: str) -> Call[Consents]:
    """``GET /api/rlhf/privacy/consent``."""
    return Call("GET", _CONSENT, _CONSENT, read_as(Consents), params_of(user_id=user_id))


def set_consent(user_id: str, purpose: str, granted: bool) -> Call[Consents]:
    """``PUT /api/rlhf/privacy/consent``."""
    body = body_of({"user_id": user_id, "purpose": purpose, "granted": granted})
    return Call("PUT", _CONSENT, _CONSENT, read_as(Consents), body=body)


def export(user_id: str) -> Call[tuple[ExportedRow, ...]]:
    """``POST /api/rlhf/privacy/export``, which keeps the id out of the address."""
    route = "/api/rlhf/privacy/export"
    return Call("POST", route, route, _rows, body=body_of({"user_id": user_id}))


def erase(user_id: str, reason: str) -> Call[Erasure]:
    """``POST /api/rlhf/privacy/erase``."""
    route = "/api/rlhf/privacy/erase"
    body = body_of({"user_id": user_id, "reason": reason})
    return Call("POST", route, route, read_as(Erasure), body=body)


def audit(after: int, limit: int) -> Call[AuditPage]:
    """``GET /api/admin/audit``."""
    route = "/api/admin/audit"
    return Call("GET", route, route, read_as(AuditPage), params_of(after=after, limit=limit))


def live() -> Call[Liveness]:
    """``GET /health/live``."""
    return Call("GET", "/health/live", "/health/live", read_as(Liveness))


def health() -> Call[Health]:
    """``GET /health/ready``; its 503 says which part is not well."""
    route = "/health/ready"
    return Call("GET", route, route, read_as(Health), accepted=frozenset({503}))


def service_figures() -> Call[str]:
    """``GET /metrics``."""
    return Call("GET", "/metrics", "/metrics", lambda answer: answer.decode())


def _rows(answer: bytes) -> tuple[ExportedRow, ...]:
    lines = (line for line in answer.split(b"\n") if line)
    return tuple(
        parse(ExportedRow, json_of(line), f"line {number}") for number, line in enumerate(lines, 1)
    )
