"""Bodies of requests: read once the caller is known, within a limit, and large ones checked by a thread.

The framework would read and check a declared body before the route begins, whoever sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter
from starlette.types import Receive

from everloop.serving.problems import BodyTooLarge

LARGEST_EVENT = 1024 * 1024
"""Bytes of one event or question; a context of 4,096 numbers has 80 thousand."""

LARGEST_BODY = 24 * 1024 * 1024
"""Bytes of any other request; a batch of 5,000 wide episodes has 15 million. As values a body takes
twenty times that."""

INLINE_BYTES = 64 * 1024
"""Larger bodies are worked on by a thread, so that nobody else's request waits for them."""

T = TypeVar("T")


async def body_within(receive: Receive, largest: int) -> bytes:
    """The body of a request, declared or in pieces; nothing beyond the limit is kept.

    Args:
        receive: of the request; ``request.receive``.
        largest: bytes.

    Raises:
        BodyTooLarge: it has more.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    parts = [body]
    size = len(body)
    while message.get("more_body", False) and size <= largest:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > largest:
        raise BodyTooLarge(largest)
    return body if len(parts) == 1 else b"".join(parts)


async def read_body(
    request: Request, adapter: TypeAdapter[T], largest: int = LARGEST_EVENT, empty: T | None = None
) -> T:
    """The JSON body of a request whose caller was admitted, whatever its content type says.

    Args:
        request: its body was not read yet.
        adapter: what it must be.
        largest: bytes.
        empty: what an absent body stands for; by default it is malformed like any other.

    Raises:
        BodyTooLarge: it has more bytes.
        ValidationError: pydantic's, naming the fields.
    """
    raw = await body_within(request.receive, largest)
    if not raw and empty is not None:
        return empty
    return await worked_on(len(raw) > INLINE_BYTES, lambda: adapter.validate_json(raw))


async def worked_on(apart: bool, work: Callable[[], T]) -> T:
    """What ``work`` returns: done by a thread when ``apart``, here when it is soon done."""
    return await run_in_threadpool(work) if apart else work()
