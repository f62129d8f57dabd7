"""``IngestQueue`` in the workspace database: one thread stores many requests with one commit.

A commit costs a sync to disk however little it holds. Requests therefore queue while the commit before
theirs is under way, and share the next. The queue is bounded by records; whoever meets it full is told
to come back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from everloop.contracts.errors import EverloopError, ShouldRetryLater
from everloop.contracts.ports import Clock
from everloop.contracts.serving import Receipt, Submission
from everloop.storage.sql.engine import writing
from everloop.storage.sql.ingest_batch import store
from everloop.storage.sql.ingest_records import Prepared, prepare
from everloop.storage.sql.wal import WalKeeper

Outcome = Receipt | EverloopError
Resolver = Callable[[Sequence[tuple[Any, Outcome]]], None]
"""Takes the outcomes of one commit that are for it, as (token, outcome), in the writer's thread."""

LARGEST_COMMIT = 5_000
"""Records a commit takes at most, so that one huge request does not delay everyone's answer."""


@dataclass(frozen=True, slots=True)
class CommitFigures:
    """What the writer has done since it started, for ``/metrics``."""

    commits: int
    records: int
    replayed: int
    refused: int
    failed: int
    waiting: int
    seconds: float
    """Time within transactions."""


@dataclass(slots=True)
class _Ticket:
    prepared: Prepared
    resolver: Resolver
    token: Any


class GroupCommit:
    """The ingest queue of one process.

    Args:
        engine: the workspace database.
        clock: the ingest clock; a step back is not followed, so that ``ingested_at`` never falls.
        limit: records that may wait.
        linger_s: how long the first of a commit waits for company, in seconds.
    """

    def __init__(
        self, engine: Engine, clock: Clock, limit: int = 20_000, linger_s: float = 0.001
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._limit = limit
        self._linger_s = linger_s
        self._wal = WalKeeper(engine)
        self._queue: deque[_Ticket] = deque()
        self._waiting = 0
        self._open = True
        self._changed = threading.Condition()
        self._latest: datetime | None = None
        self._figures = CommitFigures(0, 0, 0, 0, 0, 0, 0.0)
        self._thread = threading.Thread(target=self._run, name="everloop-ingest", daemon=True)
        self._thread.start()

    @property
    def figures(self) -> CommitFigures:
        """What was done so far; a consistent snapshot."""
        return self._figures

    @property
    def waiting(self) -> int:
        """Records that wait for a commit."""
        return self._waiting

    @property
    def wal_bytes(self) -> int:
        """Size of SQLite's write-ahead log; 0 on another database."""
        return self._wal.size

    @property
    def alive(self) -> bool:
        """Whether submissions are still taken and the writer runs."""
        return self._open and self._thread.is_alive()

    def submit(self, submission: Submission) -> Future[Receipt]:
        """See ``IngestQueue``."""
        future: Future[Receipt] = Future()
        self.enqueue(submission, _settle, future)
        return future

    def enqueue(self, submission: Submission, resolver: Resolver, token: Any) -> None:
        """Queue a submission whose outcome goes to ``resolver`` with its ``token``.

        One call resolves everything of a commit that is for the same resolver: waking an event loop
        once a commit is much cheaper than once a request.

        Raises:
            ShouldRetryLater: the queue is full or closed; nothing was queued.
            ShouldFixInput: a record holds what a database would not keep as it is.
        """
        prepared = prepare(submission)
        size = len(prepared.records)
        with self._changed:
            if not self._open:
                raise ShouldRetryLater("The service is stopping.", "Send it again.", 2.0)
            if self._waiting and self._waiting + size > self._limit:
                raise ShouldRetryLater(
                    f"{self._waiting} records wait to be stored; the limit is {self._limit}.",
                    "Send it again after Retry-After seconds, with the same ids.",
                )
            self._queue.append(_Ticket(prepared, resolver, token))
            self._waiting += size
            if len(self._queue) == 1:
                self._changed.notify()

    def close(self) -> None:
        """See ``IngestQueue``."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()
        self._wal.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._open:
                    self._changed.wait()
                if not self._queue:
                    return
            if self._linger_s and self._open:
                time.sleep(self._linger_s)
            batch = self._take()
            self._resolve(batch, self._commit(batch))

    def _take(self) -> list[_Ticket]:
        batch: list[_Ticket] = []
        size = 0
        with self._changed:
            while self._queue and (not batch or size < LARGEST_COMMIT):
                ticket = self._queue.popleft()
                batch.append(ticket)
                size += len(ticket.prepared.records)
            self._waiting -= size
        return batch

    def _commit(self, batch: Sequence[_Ticket]) -> list[Outcome]:
        started = time.perf_counter()
        try:
            with writing(self._engine) as connection:
                outcomes = store(connection, [t.prepared for t in batch], self._now())
        except EverloopError as problem:
            outcomes = [problem] * len(batch)
        except Exception as problem:
            if len(batch) > 1:  # whose fault it is shows when each is stored alone
                return [outcome for ticket in batch for outcome in self._commit([ticket])]
            outcomes = [
                ShouldRetryLater(
                    f"The events could not be stored ({type(problem).__name__}: {problem!s:.200}).",
                    "Send them again with the same ids.",
                    5.0,
                )
            ]
        self._count(outcomes, time.perf_counter() - started)
        return outcomes

    def _now(self) -> datetime:
        now = self._clock.now()
        if self._latest is None or now > self._latest:
            self._latest = now
        return self._latest

    def _count(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        before = self._figures
        receipts = [o for o in outcomes if isinstance(o, Receipt)]
        failed = sum(isinstance(o, ShouldRetryLater) for o in outcomes)
        self._figures = CommitFigures(
            commits=before.commits + 1,
            records=before.records + sum(r.new for r in receipts),
            replayed=before.replayed + sum(r.replayed for r in receipts),
            refused=before.refused + len(outcomes) - len(receipts) - failed,
            failed=before.failed + failed,
            waiting=self._waiting,
            seconds=before.seconds + seconds,
        )

    @staticmethod
    def _resolve(batch: Sequence[_Ticket], outcomes: Sequence[Outcome]) -> None:
        groups: dict[Resolver, list[tuple[Any, Outcome]]] = {}
        for ticket, outcome in zip(batch, outcomes, strict=True):
            groups.setdefault(ticket.resolver, []).append((ticket.token, outcome))
        for resolver, settled in groups.items():
            resolver(settled)


def _settle(outcomes: Sequence[tuple[Future[Receipt], Outcome]]) -> None:
    for future, outcome in outcomes:
        if not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, Receipt):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
