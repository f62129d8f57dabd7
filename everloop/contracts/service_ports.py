"""Ports of the HTTP service: what its routes ask of storage. Conformance suites as for ``ports``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Protocol

from everloop.contracts.access import ApiKey, AuditEntry
from everloop.contracts.episodes import Json, RewardSignal
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackReview,
    Interaction,
    TrustFigures,
)
from everloop.contracts.privacy import (
    ErasureMark,
    ErasureRecord,
)
from everloop.contracts.serving import (
    Decision,
    Receipt,
    RecentDecision,
    Submission,
    TrainingJob,
)


class IngestQueue(Protocol):
    """The durable door of the service: many requests, few commits.

    Constraints: a submission is stored whole or not at all; its future resolves only once the rows
    are durable, and never before; a replay (same id, same payload) resolves as the first one did; a
    conflict is ``ShouldResolveConflict``, a signal or feedback without its parent ``ShouldFixSignal``
    or ``ShouldFixFeedback``, and neither fails another submission of the same commit. Every commit
    appends an audit entry per tenant, actor and kind with the range of ingest numbers.
    """

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Queue a submission. Raises ``ShouldRetryLater`` when the queue is full."""

    def close(self) -> None:
        """Store what is queued and stop; a later ``submit`` is ``ShouldRetryLater``."""


class DecisionStore(Protocol):
    """Decisions that the service made; ``IngestQueue`` writes them."""

    def decision(self, decision_id: str, tenant: str = "default") -> Decision:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def decisions(
        self, decision_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Decision]:
        """Decision id, as given -> decision, of the ids that the tenant has."""

    def served(
        self,
        loop: str,
        model_version: str,
        since: datetime,
        at_most: int,
        tenant: str = "default",
    ) -> int:
        """How many stored decisions since a moment carry a model's version, counted to ``at_most``."""

    def recent(
        self,
        loop: str,
        people: Sequence[str],
        actions: Sequence[str],
        since: datetime,
        tenant: str = "default",
    ) -> Mapping[str, tuple[RecentDecision, ...]]:
        """Person -> their decisions of some actions dated ``since`` or later, by us or by the product.

        Decisions that were answered and episodes that were logged, each decision once; a person
        without any is absent. Constraints: reads a person's few rows, however often they were asked about.
        """

    def forget_unconfirmed(self, before: datetime, tenant: str | None = None) -> int:
        """Delete decisions older than ``before``; how many. Episodes made from them stay."""


class FeedbackStore(Protocol):
    """Interactions, feedback and reviews; ``IngestQueue`` writes the first two."""

    def interaction(self, log_id: str, tenant: str = "default") -> Interaction:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def feedback(self, feedback_id: str, tenant: str = "default") -> FeedbackInstance:
        """With its newest status. ``ShouldNameKnownId`` when the tenant has none of it."""

    def session_history(
        self, session_id: str, limit: int, tenant: str = "default"
    ) -> tuple[FeedbackInstance, ...]:
        """A session's newest feedback by arrival, newest first."""

    def interactions(
        self, log_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Interaction]:
        """Log id -> interaction, of the ids that the tenant has."""

    def known(
        self, feedback_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, FeedbackInstance]:
        """Feedback id -> feedback with its newest status, of the ids that the tenant has."""

    def session_histories(
        self, session_ids: Sequence[str], limit: int, tenant: str = "default"
    ) -> Mapping[str, tuple[FeedbackInstance, ...]]:
        """Session -> its newest feedback by arrival, newest first; one without any is absent."""

    def quarantined(
        self, limit: int = 100, tenant: str = "default"
    ) -> tuple[FeedbackInstance, ...]:
        """Feedback that waits for a person, oldest first."""

    def review(self, review: FeedbackReview, signals: Sequence[RewardSignal], actor: str) -> None:
        """Append a review and, in the same transaction, the signals that a release lets through.

        Rejecting feedback whose signals are stored opens a dispute of each (``upheld``), so that no
        dataset holds them from now on. Constraints: idempotent; audited.
        """

    def reviews(self, feedback_id: str, tenant: str = "default") -> tuple[FeedbackReview, ...]:
        """Newest first."""

    def analysis(
        self, since: datetime, until: datetime, tenant: str = "default"
    ) -> Iterator[FeedbackInstance]:
        """Feedback dated in [since, until), oldest first, streamed."""

    def trust(self, until: datetime, tenant: str | None = None) -> TrustFigures:
        """Trust and opt-outs as known at ``until``; ``None``: over all tenants."""


class KeyStore(Protocol):
    """API keys, by id."""

    def add(self, key: ApiKey, actor: str) -> None:
        """Constraints: audited; a repeated ``key_id`` is ``ShouldResolveConflict``."""

    def key(self, key_id: str) -> ApiKey | None: ...

    def keys(self, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Newest first; ``None``: of every tenant."""

    def revoke(self, key_id: str, at: datetime, actor: str) -> None:
        """Constraints: idempotent, audited; an unknown id is ``ShouldNameKnownId``."""


class AuditLog(Protocol):
    """Append-only record of mutations and of reads of health data."""

    def append(
        self,
        tenant: str,
        actor: str,
        action: str,
        resource: str,
        rows: int = 1,
        detail: Mapping[str, Json] | None = None,
    ) -> AuditEntry:
        """Constraints: durable before it returns; never updated or deleted."""

    def entries(self, tenant: str, after: int = 0, limit: int = 100) -> tuple[AuditEntry, ...]:
        """Entries with a larger sequence, oldest first."""


class JobStore(Protocol):
    """Training jobs of the service: at most one queued or running per tenant and loop."""

    def request(self, job: TrainingJob, last_seen: str | None = None) -> TrainingJob:
        """Store a queued job. Constraints: atomic; where one is queued or running, that one is
        returned instead; audited. ``last_seen``: the id of the ``last`` job that made the asker ask
        ("" for none); where that is another by now, it is returned instead."""

    def claim(
        self, worker: str, now: datetime, stale_after_s: float, loops: Sequence[str] | None = None
    ) -> TrainingJob | None:
        """Take a queued job (of some loops), or a running one whose heart stopped, oldest first.

        Constraints: exactly one worker gets it; every claim counts an attempt.
        """

    def heartbeat(self, job_id: str, worker: str, now: datetime) -> bool:
        """False when the job is no longer this worker's."""

    def finish(self, job: TrainingJob, worker: str) -> bool:
        """Store how a worker left a job: its end, or ``queued`` to give it back.

        False, with nothing stored, when it is no longer this worker's. Constraints: an end is audited.
        """

    def job(self, job_id: str, tenant: str = "default") -> TrainingJob:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def jobs(
        self, loop: str | None = None, limit: int = 50, tenant: str = "default"
    ) -> tuple[TrainingJob, ...]:
        """Newest first."""

    def last(self, loop: str, tenant: str = "default") -> TrainingJob | None:
        """The job with the largest watermark, the newest of several: the next thousand count from it."""

    def new_episodes(
        self,
        loop: str,
        after: int,
        at_most: int,
        tenant: str = "default",
        until: int | None = None,
    ) -> int:
        """How many episodes of a loop have an ingest number above ``after``, counted to ``at_most``;
        with ``until`` those up to it alone."""

    def learnable_episodes(
        self,
        loop: str,
        after: int,
        until: int,
        closed_after: datetime | None,
        closed_until: datetime,
        tenant: str = "default",
    ) -> int:
        """How many episodes of a loop a run could learn from now and couldn't before.

        Those dated ``closed_until`` or earlier with an ingest number in (after, until], and those with
        one up to ``after`` that are dated in (closed_after, closed_until]; ``None``: from the first.
        """

    def waiting_since(
        self, loop: str, after: int, until: int, tenant: str = "default"
    ) -> datetime | None:
        """When the first episode of a loop with an ingest number in (after, until] came in."""

    def first_decided(self, loop: str, tenant: str = "default") -> datetime | None:
        """When the earliest decision of a loop was taken; ``None`` where none is logged."""

    def last_episode(self, tenant: str = "default") -> int:
        """The largest ingest number of an episode."""

    def last_episodes(self) -> Mapping[str, int]:
        """Tenant -> ``last_episode``, of every tenant that has logged one."""


class PersonStore(Protocol):
    """Everything of one person, for export and erasure."""

    def export(
        self, user_id: str, tenant: str = "default"
    ) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """(table, row) of every row that speaks of the person, streamed."""

    def erase(
        self, user_id: str, actor: str, now: datetime, tenant: str = "default", reason: str = ""
    ) -> ErasureRecord:
        """Delete the person's rows from every table and mark what their data fed, in one transaction.

        Constraints: idempotent; audited without naming the person; the privacy ledger keeps its totals;
        a refusal that stands at the end goes on counting.
        """

    def waiting(self) -> int:
        """Erasures that the journal knows of another pseudonym key and a restored database lacks."""

    def marks(self, tenant: str = "default") -> tuple[ErasureMark, ...]:
        """Datasets and checkpoints that erased people's data fed, newest first.

        Constraints: a checkpoint that names a marked dataset is marked, whenever it was registered.
        """

    def finish(self) -> None:
        """Delete the files of erasures that a process did not live to finish."""


class Tenancy(Protocol):
    """Whose row is it? Answers only after the caller's own tenant was found to have none."""

    def owner(self, kind: str, row_id: str) -> str | None:
        """Tenant of an episode, signal, decision, interaction, feedback, checkpoint, job or review,
        if any."""
