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
from everloop.serving.reading import LARGEST_BODY, LARGEST_EVENT, body_within
from everloop.serving.service import Service

Body = Callable[[], Awaitable[bytes]]
Answer = Callable[[Service, Request, Body], Awaitable[bytes]]
"""Takes the request and what reads its body, which waits until the caller is known; returns JSON."""


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
            content = await answer(
                self._service, Request(scope), lambda: body_within(receive, LARGEST_EVENT)
            )
            problem: Response | None = None
        except problems.BodyTooLarge as beyond:
            problem = problems.too_large(beyond.largest)
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
