"""The routes that are called thousands of times a second, without the framework's routing.

Routing, dependency solving and middleware cost more than storing an event does. These routes are declared
to the framework like all others, for their documentation; requests to them are answered here, by the
same functions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everloop.contracts.errors import EverloopError
from everloop.serving import problems
from everloop.serving.service import Service

LARGEST_EVENT = 1024 * 1024
"""Bytes of one event or question; a context of 4,096 numbers has 80 thousand."""

LARGEST_BODY = 24 * 1024 * 1024
"""Bytes of any other request; a batch of 5,000 wide episodes has 15 million. As values a body takes
twenty times that."""

Body = Callable[[], Awaitable[bytes]]
Answer = Callable[[Service, Request, Body], Awaitable[bytes]]
"""Takes the request and what reads its body, which waits until the caller is known; returns JSON."""


class _TooLarge(Exception):
    """A body beyond the limit; never seen outside this module."""


class FastLane:
    """In front of the application.

    Args:
        app: what answers everything else.
        service: the running service.
        routes: path -> (status of success, what answers a POST to it).
    """

    def __init__(
        self, app: ASGIApp, service: Service, routes: Mapping[str, tuple[int, Answer]]
    ) -> None:
        self._app = app
        self._service = service
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            if _declared(scope) > LARGEST_BODY:
                await problems.too_large(LARGEST_BODY)(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, answer = route
        try:
            content = await answer(self._service, Request(scope), lambda: _body(receive))
            problem: Response | None = None
        except _TooLarge:
            problem = problems.too_large(LARGEST_EVENT)
        except EverloopError as refused:
            problem = problems.answer(refused)
        except ValidationError as malformed:
            problem = problems.invalid(malformed)
        except Exception:
            await problems.internal()(scope, receive, send)
            self._observe(scope, 500, started)
            raise  # the server logs it
        if problem is not None:
            await problem(scope, receive, send)
            self._observe(scope, problem.status_code, started)
            return
        await send(_start(status, len(content)))
        await send({"type": "http.response.body", "body": content})
        self._observe(scope, status, started)

    def _observe(self, scope: Scope, status: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self._service.requests.observe("POST", scope["path"], status, seconds)


def _start(status: int, length: int) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-length", b"%d" % length),
            (b"content-type", b"application/json"),
        ],
    }


def _declared(scope: Scope) -> int:
    """The length that a request declares; 0 where it declares none."""
    if scope["type"] != "http":
        return 0
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    parts = [body]
    size = len(body)
    while message.get("more_body", False) and size <= LARGEST_EVENT:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > LARGEST_EVENT:
        raise _TooLarge
    return body if len(parts) == 1 else b"".join(parts)
