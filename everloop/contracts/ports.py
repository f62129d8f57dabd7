"""Ports: what the domain asks of the outside. Adapters live in ``everloop/storage``.

Each method's *Constraints* are what an adapter MUST do; ``tests/conformance`` runs one suite per
port against every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from everloop.contracts.datasets import DatasetVersion, Float, Float32
from everloop.contracts.episodes import Consent, Dispute, Episode, RewardSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, PolicyOutput, RunRecord, States
from everloop.contracts.privacy import (
    BudgetPlan,
    BudgetStatus,
    LedgerRow,
    Mechanism,
    Recovered,
    ReleaseRequest,
    Statement,
)


@dataclass(frozen=True, slots=True)
class Appended:
    """How many records were new and how many were replays of stored ones."""

    new: int
    replayed: int


@dataclass(frozen=True, slots=True)
class Extraction:
    """Which part of the log a dataset version is made from.

    The window is the ``window_days`` days that end with ``logical_date`` (UTC). What was not known
    at the end of that day is left out; a day that has not ended is cut off when it is pinned.
    ``refresh`` reads anew instead of at the watermark that the first extraction of this date pinned.
    ``pinned`` False reads the log as it is now and leaves the date's pin, and so what its night learns
    from, alone.
    """

    spec: LoopSpec
    logical_date: date
    window_days: int
    tenant: str = "default"
    refresh: bool = False
    pinned: bool = True

    @property
    def starts_at(self) -> datetime:
        """The first moment of the logical date, UTC."""
        return datetime.combine(self.logical_date, time(), tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment after the logical date, UTC."""
        return self.starts_at + timedelta(days=1)


class EventLog(Protocol):
    """The durable log of decisions, signals, consents and disputes.

    Constraints on every ``append_*``: all records are stored durably before it returns, or none is
    and it raises. The same id with the same payload is a replay and changes nothing; with another
    payload it is ``ShouldResolveConflict``. A full disk is ``ShouldFreeDisk``.
    """

    def append_episodes(self, episodes: Sequence[Episode]) -> Appended: ...

    def append_signals(self, signals: Sequence[RewardSignal]) -> Appended:
        """Constraints: a signal whose episode is unknown is ``ShouldFixSignal``."""

    def append_batch(
        self, episodes: Iterable[Episode], signals: Iterable[RewardSignal]
    ) -> tuple[Appended, Appended]:
        """Append both in one transaction: an import is whole or absent. Streams its inputs."""

    def record_consent(self, consent: Consent, actor: str | None = None) -> None:
        """Constraints: with an ``actor``, what is recorded is audited with it, both or neither, as
        ``consent.record`` of the purpose; a repetition changes nothing and is not audited.
        """

    def record_dispute(self, dispute: Dispute) -> None:
        """Constraints: an unknown signal is ``ShouldFixSignal``."""

    def consents(self, user_id: str, tenant: str = "default") -> tuple[Consent, ...]:
        """Newest first."""

    def consents_changed(
        self, after: Mapping[str, int]
    ) -> tuple[Mapping[str, int], tuple[Consent, ...]]:
        """What people came to allow since some revisions of their tenants.

        Args:
            after: tenant -> the largest revision that is known.

        Returns:
            Tenant -> its largest revision now; and the newest consent per purpose of every person
            with a later one than ``after``'s. Of a tenant that ``after`` lacks, the refusals alone:
            without any consent, everything is allowed.

        Constraints: one snapshot of the log; cheap when nothing changed.
        """

    def disputes(self, tenant: str = "default") -> tuple[Dispute, ...]:
        """The newest state of each disputed signal, newest first."""

    def episodes_of(self, user_id: str, tenant: str = "default") -> Iterator[Episode]:
        """A person's episodes, oldest first."""

    def episodes(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Episode]:
        """Episode id -> episode, of the ids that the tenant has."""

    def loops_of(self, episode_ids: Sequence[str], tenant: str = "default") -> Mapping[str, str]:
        """Episode id -> its loop, of the ids that the tenant has."""

    def decided_at(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, tuple[str, datetime]]:
        """Episode id -> (its loop, when it was decided), of the ids that the tenant has."""

    def signals_of(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, tuple[RewardSignal, ...]]:
        """Episode id -> its signals in order of arrival; an episode without any is absent."""

    def counts(self, loop: str, tenant: str = "default") -> tuple[int, int]:
        """(episodes, signals) stored for a loop."""


class DatasetStore(Protocol):
    """Immutable dataset versions."""

    def extract(self, extraction: Extraction) -> DatasetVersion:
        """Make (or find) the dataset version of a logical date.

        Constraints: content-addressed and atomic (a killed extraction leaves nothing that looks
        like a version); the first call pins the watermark of its date, later calls return the same
        ``dataset_id`` unless ``refresh``; people without training consent and disputed signals are
        left out; an empty window is a version with 0 rows, not an error.
        """

    def open(self, dataset_id: str) -> DatasetVersion:
        """Constraints: verifies every checksum; ``ShouldRestoreArtefact`` otherwise."""

    def discard(self, dataset_id: str) -> bool:
        """Delete a version that nothing names; whether it is gone.

        Constraints: idempotent and atomic (a killed one leaves the version whole or none); a version that
        the pin of a date, a checkpoint, a deployment, an event of a trial, an oversight or a release of
        any tenant names stays.
        """


class BlobStore(Protocol):
    """Immutable artefacts, addressed by content."""

    def put(self, path: Path) -> tuple[str, str]:
        """Store a file; (url, sha256). Constraints: durable and atomic; a second put is a no-op; the
        url ends with the checksum and two urls of a store differ in nothing else."""

    def fetch(self, url: str, sha256: str) -> Path:
        """A local file whose checksum was verified; ``ShouldRestoreArtefact`` otherwise."""


class Registry(Protocol):
    """Model checkpoints, aliases with compare-and-set, and an append-only deployment log."""

    def register(self, checkpoint: ModelCheckpoint) -> ModelCheckpoint:
        """Constraints: idempotent by ``checkpoint_id``; another payload under it is a conflict."""

    def checkpoint(self, checkpoint_id: str) -> ModelCheckpoint:
        """``ShouldRestoreArtefact`` when there is none."""

    def checkpoints(self, loop: str, tenant: str = "default") -> tuple[ModelCheckpoint, ...]:
        """Newest first."""

    def loops(self, tenant: str = "default") -> tuple[str, ...]:
        """Names of the loops that have a checkpoint, sorted."""

    def alias(self, loop: str, alias: str, tenant: str = "default") -> tuple[str | None, int]:
        """(checkpoint_id or None, generation); generation 0 before the first set."""

    def set_alias(
        self,
        loop: str,
        alias: str,
        checkpoint_id: str | None,
        expected_generation: int,
        reason: str,
        tenant: str = "default",
        actor: str = "",
    ) -> int:
        """The new generation. Constraints: atomic; another generation is ``ShouldResolveConflict``;
        every change is appended to the deployment log; one that repeats the current state too; one by
        an ``actor`` is audited in the same transaction. An alias under which something serves, and
        ``candidate``, raises the head's revision with it; a part of what serves that changes by itself
        leaves no deployment serving, and is an event."""

    def deployment_log(
        self, loop: str, tenant: str = "default"
    ) -> tuple[Mapping[str, str | int | None], ...]: ...


class RunStore(Protocol):
    """Runs of graphs, for ``everloop runs`` and the SDK."""

    def save(self, run: RunRecord) -> None:
        """Insert or replace by ``run_id``, atomically."""

    def run(self, run_id: str) -> RunRecord:
        """``ShouldFixArgument`` when there is none, naming the nearest ids."""

    def runs(self, loop: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        """Newest first."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Budget taken for one release, before any noise is drawn.

    ``admitted``: the people (sorted pseudonyms) whose budget covers it; everyone else must be left
    out of the computation. ``noise_seed``: 32 secret bytes bound to the release, the same when a
    killed fit resumes; empty once the release is complete. ``stored_url`` and ``stored_sha256``:
    address of the output when the release was already made.
    """

    release_id: str
    admitted: tuple[str, ...]
    noise_seed: bytes
    row: LedgerRow
    stored_url: str | None = None
    stored_sha256: str | None = None


class PrivacyLedger(Protocol):
    """Who has spent how much, per person, for ever.

    Constraints: a reservation is one durable transaction and is never refunded; no sequence of
    calls, crashes and concurrent runs lets a person's mu^2 within any rolling period pass the
    budget; rows are append-only and hash-chained, and a broken chain stops every reservation with
    ``ShouldRepairLedger``.
    """

    def night_mechanism(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> Mechanism:
        """What the plan of the budget gives a stage on a date; the same for ever once reserved."""

    def first_mu_squared(self, spec: LoopSpec, stage: str) -> float:
        """mu^2 that the plan gives a stage's first release: a constant of the loop, whatever was spent."""

    def next_due(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> date | None:
        """The date of the stage's next release, where the plan has none on this one."""

    def reserve(
        self, request: ReleaseRequest, people: Sequence[str], spec: LoopSpec, min_people: int
    ) -> Reservation:
        """Charge every person who can afford it, and say who that is.

        Raises ``ShouldWaitForBudget`` (nothing charged) when fewer than ``min_people`` can;
        ``ShouldKeepRelease`` when (pipeline, date, stage) was released under other terms.
        """

    def complete(self, release_id: str, url: str, sha256: str) -> LedgerRow:
        """Mark a reservation as spent with its stored output. Idempotent."""

    def latest_release(
        self, pipeline: str, stage: str, on_or_before: date
    ) -> tuple[LedgerRow, str, str] | None:
        """(row, url, sha256) of the newest completed release of a stage."""

    def status(self, spec: LoopSpec, on: date, tonight: Sequence[LedgerRow] = ()) -> BudgetStatus:
        """``tonight``: rows of this logical date's releases; several of one count once."""

    def plan(self, spec: LoopSpec, pipeline: str, on: date) -> BudgetPlan:
        """What the stages of a date would spend, and how long the budget lasts."""

    def rename(self, pseudonyms: Mapping[str, str], key: str = "") -> int:
        """Move everyone's spending to pseudonyms (old -> new) of the key with this fingerprint; how many
        they are."""

    def follow_journal(self) -> None:
        """Start the journal where there is none, and write down what it lacks."""

    def recover(self, exists: Callable[[str, str], bool]) -> Recovered:
        """Charge what the journal says was spent and a restored ledger lacks. Idempotent.

        Args:
            exists: (url, sha256) -> whether the output of a release is there.
        """

    def charge_everyone(
        self, loops: Mapping[str, LoopSpec], since: date, until: date
    ) -> tuple[LedgerRow, ...]:
        """Charge everyone the most that the nights of some pipelines can have cost, where nothing tells."""

    def statement(self, person: str, on: date) -> Statement | None:
        """What a person's privacy has cost up to a date; None for one who was never charged."""

    def history(self, pipeline: str | None = None) -> tuple[LedgerRow, ...]:
        """Every row, oldest first."""

    def verify(self) -> int:
        """Check the whole chain; the number of rows. ``ShouldRepairLedger`` names the first bad row."""


class Policy(Protocol):
    """A policy that can be asked, whatever runtime serves it."""

    @property
    def version(self) -> str: ...

    @property
    def encoder(self) -> str:
        """Version of the encoder whose states it reads."""

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        """Propensities under epsilon-greedy exploration over valid actions."""


class CandidateScorer(Protocol):
    """A pairing model: how well people would suit a person, from their descriptors alone.

    Constraints: deterministic; permuting the candidates permutes the scores; a candidate that was never
    seen before is scored like any other.
    """

    @property
    def version(self) -> str: ...

    @property
    def encoder(self) -> str:
        """Version of the encoder whose states it reads."""

    def scores(self, context: Float32, descriptors: Float) -> Float:
        """(K,) finite scores of (K, Z) descriptors for one (d,) state; higher suits better."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Current time, UTC."""
