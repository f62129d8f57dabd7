"""Errors as HTTP answers: RFC 9457 problem documents that name the value and the fix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from everloop.contracts import errors

STATUS: Mapping[type[errors.EverloopError], int] = {
    errors.ShouldAuthenticate: 401,
    errors.ShouldAskForScope: 403,
    errors.ShouldRespectConsent: 403,
    errors.ShouldNameKnownId: 404,
    errors.ShouldResolveConflict: 409,
    errors.ShouldCollectMoreData: 409,
    errors.ShouldWaitForBudget: 409,
    errors.ShouldKeepRelease: 409,
    errors.ShouldStayInside: 409,
    errors.ShouldFixInput: 422,
    errors.ShouldFixArgument: 422,
    errors.ShouldFixLoopSpec: 422,
    errors.ShouldSlowDown: 429,
    errors.EverloopError: 503,
}
"""The nearest class of an error's ancestry counts; what is not the caller's doing is 503."""

DISK_RETRY_S = 30.0
MOST_ERRORS = 1_000
"""What is wrong in more places is not told place by place: listing a million takes seconds."""

_MOST_DETAILS = 20
_MEDIA_TYPE = "application/problem+json"


class BodyTooLarge(Exception):
    """A body beyond the limit of ``largest`` bytes; answered with 413."""

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self.largest = largest


class Detail(BaseModel):
    """One field that is wrong."""

    field: str
    problem: str


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    model_config = ConfigDict(json_schema_extra={"required": ["title", "status", "detail"]})

    title: str
    status: int
    detail: str
    remedy: str = ""
    errors: list[Detail] = []


def status_of(problem: errors.EverloopError) -> int:
    """The HTTP status of one of our errors."""
    return next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)


def answer(problem: errors.EverloopError) -> Response:
    """One of our errors as a response, with ``Retry-After`` where waiting helps."""
    status = status_of(problem)
    headers = {}
    if isinstance(problem, errors.ShouldWait):
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    elif isinstance(problem, errors.ShouldFreeDisk):
        headers["Retry-After"] = str(int(DISK_RETRY_S))
    elif status == 503:
        headers["Retry-After"] = "5"
    elif status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _document(type(problem).__name__, status, problem.message, problem.remedy, (), headers)


def invalid(problem: ValidationError | RequestValidationError) -> Response:
    """A body or parameter that does not fit its schema, as 422."""
    if isinstance(problem, ValidationError) and problem.error_count() > MOST_ERRORS:
        wrong = f"The body does not fit its schema in {problem.error_count():,} places."
        return _document("ShouldFixInput", 422, wrong, "See /docs for the schema.", (), {})
    found = problem.errors()
    details = [
        Detail(field=".".join(str(part) for part in item["loc"]), problem=_described(item))
        for item in found[:_MOST_DETAILS]
    ]
    first = f"{details[0].field or 'body'}: {details[0].problem}" if details else "Malformed."
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return _document(
        "ShouldFixInput", 422, f"{first}{more}", "See /docs for the schema.", details, {}
    )


def too_large(largest: int) -> Response:
    """A body beyond the limit, as 413."""
    return _document(
        "BodyTooLarge",
        413,
        f"The body has more than {largest // 2**20} MiB.",
        "Send it in several requests.",
        (),
        {},
    )


def internal() -> Response:
    """A fault of ours, as 500; the trace goes to the log, never to the caller."""
    return _document(
        "InternalError",
        500,
        "The service failed; nothing of this request may be assumed to be stored.",
        "Send it again with the same ids, and report the trace in the service's log.",
        (),
        {},
    )


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    async def ours(_: Request, problem: Exception) -> Response:
        if not isinstance(problem, errors.EverloopError):
            raise problem
        return answer(problem)

    async def malformed(_: Request, problem: Exception) -> Response:
        if isinstance(problem, BodyTooLarge):
            return too_large(problem.largest)
        if not isinstance(problem, ValidationError | RequestValidationError):
            raise problem
        return invalid(problem)

    async def http(_: Request, problem: Exception) -> Response:
        if not isinstance(problem, HTTPException):
            raise problem
        headers = dict(problem.headers or {})
        if problem.status_code == 400:  # the framework's word for a body that is no JSON
            return _document("ShouldFixInput", 422, str(problem.detail), "Send JSON.", (), {})
        return _document("HttpError", problem.status_code, str(problem.detail), "", (), headers)

    async def unexpected(_: Request, __: Exception) -> Response:
        return internal()

    app.add_exception_handler(Exception, unexpected)
    app.add_exception_handler(errors.EverloopError, ours)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(ValidationError, malformed)
    app.add_exception_handler(BodyTooLarge, malformed)
    app.add_exception_handler(HTTPException, http)


def _described(item: Any) -> str:
    given = item.get("input")
    shown = repr(given) if isinstance(given, str | int | float | bool) else ""
    return f"{item['msg']}" + (f" (given: {shown[:80]})" if shown else "")


def _document(
    title: str,
    status: int,
    detail: str,
    remedy: str,
    details: Any,
    headers: Mapping[str, str],
) -> Response:
    body = Problem(title=title, status=status, detail=detail, remedy=remedy, errors=list(details))
    return Response(
        orjson.dumps(body.model_dump()), status, headers=dict(headers), media_type=_MEDIA_TYPE
    )
