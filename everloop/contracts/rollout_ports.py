"""Ports of deployments, trials, oversight, reviews, variants and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from everloop.contracts.episodes import Json
from everloop.contracts.evaluation import Estimate
from everloop.contracts.notifications import Notice, QueuedNotice
from everloop.contracts.oversight import Oversight, OversightKind, ReviewItem, ReviewState
from everloop.contracts.rollouts import (
    Deployment,
    EventKind,
    Head,
    RolloutEvent,
    RolloutRecord,
    SafetyBreaker,
    TrialTally,
)
from everloop.contracts.variants import Exposure, VariantExperiment


class RolloutStore(Protocol):
    """Trials of candidates, one live at a time per loop."""

    def start(self, record: RolloutRecord) -> RolloutRecord:
        """Store a record. Constraints: idempotent by ``rollout_id`` (the stored one is returned); at
        most one live per loop and tenant, a second becomes ``waiting``, atomically; raises the head's
        revision and appends an event."""

    def advance(
        self,
        record: RolloutRecord,
        kind: EventKind,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
    ) -> RolloutRecord:
        """Store a rollout's next state over generation ``record.generation``; the stored record, whose
        generation is one more.

        Constraints: one transaction with the event and the head's revision; another generation, or a
        second live rollout, is ``ShouldResolveConflict`` and changes nothing; one that is over stays over;
        an unknown one is ``ShouldNameKnownId``.
        """

    def end(self, rollout_id: str, reason: str, tenant: str = "default") -> RolloutRecord:
        """End a trial that is live or waits: no traffic, and another may start.

        Constraints: idempotent; one that is over stays as it is; an unknown one is ``ShouldNameKnownId``.
        """

    def rollout(self, rollout_id: str, tenant: str = "default") -> RolloutRecord:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def rollouts(self, loop: str, tenant: str = "default") -> tuple[RolloutRecord, ...]:
        """Newest first."""


class DeploymentStore(Protocol):
    """Manifests, what serves, and every change of it."""

    def record(self, deployment: Deployment) -> Deployment:
        """Constraints: idempotent by id; the stored one is returned, whose parts never change."""

    def deployment(self, deployment_id: str, tenant: str = "default") -> Deployment:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def deployments(
        self, loop: str, limit: int = 100, tenant: str = "default"
    ) -> tuple[Deployment, ...]:
        """Newest first."""

    def measured(
        self,
        deployment_id: str,
        measured: Estimate | None,
        outcome: str,
        tenant: str = "default",
    ) -> Deployment:
        """Keep what a trial measured and how it ended. Constraints: the first one stays; whoever takes a
        promoted one out of service (``swap``, ``withdraw``) turns ``promoted`` into ``withdrawn``."""

    def head(self, loop: str, tenant: str = "default") -> Head:
        """What serves, read as one state."""

    def heads(self) -> tuple[Head, ...]:
        """Of every loop and tenant where something ever served or was to be tried."""

    def swap(
        self,
        deployment: Deployment,
        expected_revision: int,
        kind: EventKind,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
        rollout: RolloutRecord | None = None,
        withdrawn: str = "",
    ) -> Head:
        """Make a manifest what serves: every role's alias at once, in one transaction.

        A role that the manifest lacks and that serves today is cleared. ``rollout``: a rollout's next
        state, over its generation, that goes with it. ``withdrawn``: the deployment that this takes out
        of service because another one is to serve again; it joins the event's evidence, the event names
        the rollout that promoted it, and its outcome goes from ``promoted`` to ``withdrawn``. The
        manifest is recorded where it was not.
        Constraints: another revision or generation is ``ShouldResolveConflict`` and changes nothing; each
        alias that moves is in the deployment log; the event is appended and audited; a repeated swap to
        what serves already changes nothing but the rollout.
        """

    def withdraw(
        self,
        loop: str,
        withdrawn: str,
        expected_revision: int,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
        rollout: RolloutRecord | None = None,
        tenant: str = "default",
    ) -> Head:
        """Take a deployment out of service where nothing serves in its place: every serving role's alias
        is cleared at once, in one transaction, and so is the head's deployment.

        The event is ``rolled_back`` and names no deployment; ``withdrawn``, ``rollout`` and constraints as
        in ``swap``; where nothing serves, nothing changes but the rollout.
        """

    def set_breaker(
        self, loop: str, breaker: SafetyBreaker, expected_revision: int, actor: str, tenant: str
    ) -> Head:
        """Open or close the safety breaker. Constraints: as ``swap``."""

    def events(
        self, loop: str, after: int = 0, limit: int = 200, tenant: str = "default"
    ) -> tuple[RolloutEvent, ...]:
        """Events with a larger sequence, oldest first."""

    def last_event(
        self, rollout_id: str, kinds: Sequence[EventKind] = (), tenant: str = "default"
    ) -> RolloutEvent | None:
        """A rollout's newest event (of some kinds)."""


class TallyStore(Protocol):
    """What the workers counted of candidates."""

    def add(self, tally: TrialTally, at: datetime) -> None:
        """Put a worker's counts in the place of its earlier ones for the rollout and phase."""

    def tallies(
        self, rollout_id: str, phase: str, tenant: str = "default"
    ) -> tuple[TrialTally, ...]:
        """Of every worker."""


class OversightStore(Protocol):
    """What people said of deployments and of the active model; append-only."""

    def add(self, oversight: Oversight) -> Oversight:
        """Constraints: idempotent by id; audited."""

    def latest(
        self, loop: str, kind: OversightKind, subject_id: str = "", tenant: str = "default"
    ) -> Oversight | None:
        """The newest of a kind (about a subject, where one is named)."""

    def all(self, loop: str, limit: int = 100, tenant: str = "default") -> tuple[Oversight, ...]:
        """Newest first."""


class ReviewStore(Protocol):
    """Episodes that wait for a person before anything learns from them."""

    def flag(self, items: Sequence[ReviewItem]) -> int:
        """Put items in the queue; how many are new. Constraints: idempotent by ``review_id``; one that was
        decided stays decided."""

    def items(
        self,
        loop: str | None = None,
        state: ReviewState | None = ReviewState.OPEN,
        after: str = "",
        limit: int = 100,
        tenant: str = "default",
    ) -> tuple[ReviewItem, ...]:
        """Oldest first, then by id; ``after``: the last ``review_id`` of the page before."""

    def item(self, review_id: str, tenant: str = "default") -> ReviewItem:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def decide(
        self, review_id: str, state: ReviewState, reason: str, actor: str, at: datetime, tenant: str
    ) -> ReviewItem:
        """Release or reject an episode, or open it again. Constraints: idempotent; audited; the decision
        gets a revision, so that a dataset that was pinned before it stays what it was."""

    def counts(self, loop: str, tenant: str = "default") -> Mapping[ReviewState, int]: ...


class VariantStore(Protocol):
    """Experiments with personas and prompts."""

    def create(self, experiment: VariantExperiment, actor: str) -> VariantExperiment:
        """Constraints: idempotent by id, another payload under it is ``ShouldResolveConflict``; at most
        one running per base persona."""

    def advance(self, experiment: VariantExperiment, actor: str, reason: str) -> VariantExperiment:
        """Store the next state over ``experiment.generation``; another one is ``ShouldResolveConflict``."""

    def experiment(self, experiment_id: str, tenant: str = "default") -> VariantExperiment:
        """``ShouldNameKnownId`` when the tenant has none of it."""

    def experiments(
        self, loop: str | None = None, tenant: str = "default"
    ) -> tuple[VariantExperiment, ...]:
        """Newest first."""

    def expose(self, exposures: Sequence[Exposure]) -> int:
        """Note who met which variant; how many are new. Constraints: a person's first exposure stays."""

    def met(self, experiment_id: str, user_id: str, tenant: str = "default") -> str | None:
        """The variant that a person met first; None before."""

    def exposures(self, experiment_id: str, tenant: str = "default") -> tuple[Exposure, ...]:
        """By time, then person."""


class NoticeStore(Protocol):
    """Notifications on their way: an outbox."""

    def queue(self, notice: Notice, channels: Sequence[str]) -> int:
        """Queue a notice for each channel; how many are new. Constraints: one per ``key`` and channel,
        ever."""

    def due(self, now: datetime, limit: int = 20) -> tuple[QueuedNotice, ...]:
        """What may be sent now, oldest first. Constraints: whoever gets one has it alone for a minute."""

    def sent(self, notice_id: str, channel: str, at: datetime) -> None: ...

    def failed(self, notice_id: str, channel: str, error: str, again_at: datetime | None) -> None:
        """``again_at`` None: given up."""

    def queued(self, limit: int = 100, tenant: str = "default") -> tuple[QueuedNotice, ...]:
        """Newest first, whatever became of them."""
