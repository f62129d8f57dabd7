"""No request is read into memory beyond a limit."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everloop.serving.problems import too_large

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes; a batch of 5,000 wide episodes has 15 million."""


class _Exceeded(Exception):
    """Leaves the application; never seen outside this module."""


class BodyLimit:
    """ASGI middleware that answers 413 to larger bodies, however they are sent."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_BODY) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        declared = next((v for n, v in scope["headers"] if n == b"content-length"), None)
        if declared is not None:
            # The server hands on no more than what was declared.
            if int(declared) > self._largest:
                await too_large(self._largest)(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        answered = False

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise _Exceeded
            return message

        async def noting(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counting, noting)
        except _Exceeded:
            if not answered:
                await too_large(self._largest)(scope, receive, send)
