"""Requests that did not succeed, as errors of ours with their remedy."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from everloop.contracts import errors
from everloop.contracts.errors import EverloopError, ShouldWait

TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

_BY_TITLE: Mapping[str, type[EverloopError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, EverloopError)
}
_BY_STATUS: Mapping[int, type[EverloopError]] = {
    401: errors.ShouldAuthenticate,
    403: errors.ShouldAskForScope,
    404: errors.ShouldNameKnownId,
    409: errors.ShouldResolveConflict,
    413: errors.ShouldFixArgument,
    422: errors.ShouldFixInput,
    429: errors.ShouldSlowDown,
}
_NOT_OURS = "Check base_url, and what stands between this machine and the service."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request did not succeed.

    Attributes:
        status: of the answer; ``None`` when there was none.
        retry_after: seconds that the service asked to wait, ``None`` when it did not say.
        unsent: no part of the request reached the service.
        ours: the service itself answered, with a problem document, and not something in between.
    """

    error: EverloopError
    status: int | None = None
    retry_after: float | None = None
    unsent: bool = False
    ours: bool = False

    @property
    def final(self) -> bool:
        """Whether the service will never take this request, whoever sends it."""
        with_another_key = self.status == 401 or isinstance(self.error, errors.ShouldAskForScope)
        return self.ours and not self.transient and not with_another_key

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in TRANSIENT


def unreachable(problem: httpx.RequestError, base_url: str) -> Failure:
    """A request that met no service, or lost it on the way."""
    error = errors.ShouldRetryLater(
        f"{base_url} did not answer ({type(problem).__name__}: {problem}).",
        "Check that the service runs and that base_url is right; then send it again.",
    )
    return Failure(error, unsent=isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout))


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """An answer that is no success, by the title of its problem document."""
    retry_after = seconds_of(headers.get("retry-after"), datetime.now(UTC))
    document = _document(body)
    kind = _BY_TITLE.get(str(document.get("title"))) or _kind(status, bool(document))
    message = str(document.get("detail") or f"The service answered {status}.")
    remedy = str(document.get("remedy") or ("" if document else _NOT_OURS))
    error = (
        kind(message, remedy, retry_after or 1.0)
        if issubclass(kind, ShouldWait)
        else kind(message, remedy)
    )
    return Failure(error, status, retry_after, ours=bool(document))


def seconds_of(header: str | None, now: datetime) -> float | None:
    """``Retry-After`` in seconds, from a number or a date; ``None`` when it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        then = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def _kind(status: int, ours: bool) -> type[EverloopError]:
    if status >= 500:
        return errors.ShouldRetryLater
    if status == 404 and not ours:
        return errors.ShouldFixArgument
    return _BY_STATUS.get(status, errors.ShouldFixArgument)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) and {"title", "detail"} <= found.keys() else {}
