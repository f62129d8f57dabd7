"""``IngestQueue`` in the workspace database: one thread stores many requests with one commit.

A commit costs a sync to disk however little it holds. Requests therefore queue while the commit before
theirs is under way, and share the next. The queue is bounded by records; whoever meets it full is told
to come back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.ports import Clock
from everloop.contracts.serving import Receipt, Submission
from everloop.storage.sql.engine import open_beside, writing
from everloop.storage.sql.ingest_batch import store
from everloop.storage.sql.ingest_faults import is_of_data
from everloop.storage.sql.ingest_records import Prepared, prepare
from everloop.storage.sql.wal import WalKeeper

Outcome = Receipt | EverloopError
Resolver = Callable[[Sequence[tuple[Any, Outcome]]], None]
"""Takes the outcomes of one commit that are for it, as (token, outcome), in the writer's thread."""

LARGEST_COMMIT = 5_000
"""Records a commit takes at most, so that one huge request does not delay everyone's answer."""

FAILED_S = 30.0
"""How long a failed commit counts when none succeeds: by then it may be well again."""

_FAILURES = (ShouldRetryLater, ShouldFreeDisk, ShouldRestoreArtefact, ShouldInitWorkspace)
_log = logging.getLogger(__name__)


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
    """The ingest queue of one process. Its connections are its own: it never waits for readers'.

    Args:
        engine: the workspace database.
        clock: the ingest clock; a step back is not followed, so that ``ingested_at`` never falls.
        limit: records that may wait.
        linger_s: how long the first of a commit waits for company, in seconds.
    """

    def __init__(
        self, engine: Engine, clock: Clock, limit: int = 20_000, linger_s: float = 0.001
    ) -> None:
        self._engine = open_beside(engine)
        self._clock = clock
        self._limit = limit
        self._linger_s = linger_s
        self._wal = WalKeeper(self._engine)
        self._queue: deque[_Ticket] = deque()
        self._waiting = 0
        self._open = True
        self._changed = threading.Condition()
        self._latest: datetime | None = None
        self._failed: tuple[float, EverloopError] | None = None
        self._figures = CommitFigures(0, 0, 0, 0, 0, 0, 0.0)
        self._thread = threading.Thread(target=self._run, name="everloop-ingest", daemon=True)
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """The writer's own connections."""
        return self._engine

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
        """Whether submissions are still taken, the writer runs and its log is looked after."""
        return self._open and self._thread.is_alive() and self._wal.alive

    @property
    def failure(self) -> EverloopError | None:
        """Why the last commit failed; ``None`` after one that did not, or ``FAILED_S`` later."""
        failed = self._failed
        if failed is None or time.monotonic() - failed[0] > FAILED_S:
            return None
        return failed[1]

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
        self._engine.dispose()

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
            self._failed = None
        except EverloopError as problem:
            outcomes = self._fail(batch, problem)
        except Exception as problem:
            of_data = is_of_data(problem)
            if of_data and len(batch) > 1:
                return self._commit_alone(batch)
            error = ShouldRetryLater(
                f"The events could not be stored ({type(problem).__name__}: {problem!s:.200}).",
                "Send them again with the same ids.",
                5.0,
            )
            outcomes = [error] if of_data else self._fail(batch, error)
        self._count(outcomes, time.perf_counter() - started)
        return outcomes

    def _commit_alone(self, batch: Sequence[_Ticket]) -> list[Outcome]:
        """Whose fault it is shows when each is stored alone; ends when the database itself fails."""
        outcomes: list[Outcome] = []
        for place, ticket in enumerate(batch):
            before = self._failed
            outcomes += self._commit([ticket])
            failed = self._failed
            if failed is not None and failed is not before:
                rest: list[Outcome] = [failed[1]] * (len(batch) - place - 1)
                self._count(rest, 0.0)
                return outcomes + rest
        return outcomes

    def _fail(self, batch: Sequence[_Ticket], problem: EverloopError) -> list[Outcome]:
        self._failed = (time.monotonic(), problem)
        return [problem] * len(batch)

    def _now(self) -> datetime:
        now = self._clock.now()
        if self._latest is None or now > self._latest:
            self._latest = now
        return self._latest

    def _count(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        before = self._figures
        receipts = [o for o in outcomes if isinstance(o, Receipt)]
        failed = sum(isinstance(o, _FAILURES) for o in outcomes)
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
            try:
                resolver(settled)
            except Exception:  # whoever asked has gone, and the others wait
                _log.exception("Outcomes of %d submissions could not be told.", len(settled))


def _settle(outcomes: Sequence[tuple[Future[Receipt], Outcome]]) -> None:
    for future, outcome in outcomes:
        if not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, Receipt):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
