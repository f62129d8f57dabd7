"""A load generator: keep-alive connections that speak HTTP/1.1 in prepared bytes.

Closed loop: every connection sends as soon as it was answered. Open loop: requests start on a clock,
whatever the server does; a request that finds no free connection waits, and its latency counts from
when it should have started.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_END = b"\r\n\r\n"


@dataclass(slots=True)
class Seen:
    """What a run saw: latencies in seconds, answers by status."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    late: int = 0
    """Requests of an open loop that found no free connection at their time."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._started = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(exc)

    def send(self, request: bytes, due: float) -> None:
        self._started = due
        if self._transport is None:
            raise RuntimeError("not connected")
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_END)
        if end < 0:
            self._buffer = buffer
            return
        length = buffer.lower().find(b"content-length: ", 0, end)
        size = int(buffer[length + 16 : buffer.find(b"\r", length)])
        if len(buffer) < end + 4 + size:
            self._buffer = buffer
            return
        self._buffer = b""
        self._run.answered(self, int(buffer[9:12]), time.perf_counter() - self._started)


class _Run:
    def __init__(self, requests: Sequence[bytes]) -> None:
        self.requests = requests
        self.next = 0
        self.seen = Seen()
        self.free: deque[Connection] = deque()
        self.due: deque[tuple[bytes, float]] = deque()
        self.closed_loop = True
        self.deadline = float("inf")
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = False

    def lost(self, problem: Exception | None) -> None:
        if not self.closing and not self.done.done():
            self.done.set_exception(RuntimeError(f"a connection was lost: {problem}"))

    def answered(self, connection: Connection, status: int, seconds: float) -> None:
        self.seen.latencies.append(seconds)
        self.seen.statuses[status] += 1
        if self.closed_loop:
            self.start(connection)
        elif self.due:
            connection.send(*self.due.popleft())
        else:
            self.free.append(connection)
        self._maybe_done()

    def start(self, connection: Connection) -> None:
        now = time.perf_counter()
        if self.next < len(self.requests) and now < self.deadline:
            request = self.requests[self.next]
            self.next += 1
            connection.send(request, now)

    def _maybe_done(self) -> None:
        over = self.next >= len(self.requests) or time.perf_counter() >= self.deadline
        if over and len(self.seen.latencies) >= self.next and not self.done.done():
            self.done.set_result(None)


async def _connect(run: _Run, host: str, port: int, connections: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    opened = []
    for start in range(0, connections, 200):
        some = min(200, connections - start)
        pairs = await asyncio.gather(
            *(loop.create_connection(lambda: Connection(run), host, port) for _ in range(some))
        )
        opened.extend(connection for _, connection in pairs)
    return opened


async def closed_loop(
    requests: Sequence[bytes], host: str, port: int, connections: int, seconds: float
) -> Seen:
    """Send as fast as the server answers, until the requests or the seconds are over."""
    run = _Run(requests)
    opened = await _connect(run, host, port, connections)
    started = time.perf_counter()
    run.deadline = started + seconds
    for connection in opened:
        run.start(connection)
    await run.done
    return _ended(run, opened, started)


async def open_loop(
    requests: Sequence[bytes], host: str, port: int, connections: int, per_second: float
) -> Seen:
    """Start the requests evenly at ``per_second``."""
    run = _Run(requests)
    run.closed_loop = False
    opened = await _connect(run, host, port, connections)
    run.free.extend(opened)
    started = time.perf_counter()
    while run.next < len(requests):
        now = time.perf_counter()
        while run.next < len(requests) and (due := started + run.next / per_second) <= now:
            request = requests[run.next]
            run.next += 1
            if run.free:
                # Taken from the far end, so that every connection has its turn.
                run.free.popleft().send(request, due)
            else:
                run.seen.late += 1
                run.due.append((request, due))
        await asyncio.sleep(0.0005)
    await run.done
    return _ended(run, opened, started)


def _ended(run: _Run, opened: list[Connection], started: float) -> Seen:
    run.seen.seconds = time.perf_counter() - started
    run.closing = True
    for connection in opened:
        connection.close()
    return run.seen
