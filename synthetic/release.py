"""How a stage gets its private release of a night: budget, computation, storage, or the last one.

The order is fixed: reserve (durable), compute with the reservation's own noise, store, complete. A
kill anywhere resumes with the same people and noise, so that budget is spent once and the output is
the same. When nothing new may be released, the newest stored release serves and the note says why.
That a release did or did not happen depends on how many people there are: this one bit a night is
not covered by the mechanism, so reasons stay with operators.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from everloop.contracts.documents import write_atomically
from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import (
    EverloopError,
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldKeepRelease,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import BlobStore, PrivacyLedger, Reservation
from everloop.contracts.privacy import (
    GaussianMechanism,
    LedgerRow,
    Mechanism,
    ReleaseNote,
    ReleaseRequest,
    ReleaseStatus,
    mechanism_from,
)


@dataclass(frozen=True, slots=True)
class Night:
    """Where and for when a stage releases."""

    spec: LoopSpec
    ledger: PrivacyLedger
    blobs: BlobStore
    pipeline: str
    stage: str
    logical_date: date
    dataset_id: str
    workdir: Path

    @property
    def file(self) -> Path:
        """Where the released file is put for the stages that follow."""
        return self.workdir / f"{self.stage}.safetensors"

    def previous(self) -> tuple[LedgerRow, Path] | None:
        """The newest completed release before this date, to start from."""
        found = self.ledger.latest_release(
            self.pipeline, self.stage, self.logical_date - timedelta(days=1)
        )
        return None if found is None else (found[0], self.blobs.fetch(*found[1:]))

    def first_fit_mu_squared(self) -> float:
        """mu^2 that the plan gives this stage's first fit; a public constant of the loop."""
        return self.ledger.first_mu_squared(self.spec, self.stage)


@dataclass(frozen=True, slots=True)
class Released:
    """The release that serves tonight. ``reused``: why it is an older one, "" for tonight's own.

    ``due``: when the next one is due, where the plan has none tonight.
    """

    row: LedgerRow
    path: Path
    reused: str
    due: date | None = None


Compute = Callable[[Reservation, Path], Path]
"""Writes the output of a reservation to a path; draws noise from its seed alone."""

Usable = Callable[[Path], bool]
"""Whether a stored release says something to the present specification."""


def configuration_sha256(configuration: Mapping[str, Json]) -> str:
    """SHA-256 of the canonical JSON of everything that decides a release's output."""
    return hashlib.sha256(canonical_json(configuration).encode()).hexdigest()


def release(
    night: Night,
    people: Sequence[str],
    configuration: Mapping[str, Json],
    compute: Compute,
    usable: Usable = lambda _: True,
) -> Released:
    """Tonight's release, made now or before, or the newest one with the reason.

    A stage that the plan does not release tonight is served by its last release, and spends nothing.

    Args:
        night: where and when.
        people: pseudonyms of everyone who could take part.
        configuration: everything that decides the output; other values are another release.
        compute: makes the output of a reservation.
        usable: whether an older release's file can serve; one of another encoding cannot, so that a new
            one is made early, within everyone's budget, or the refusal stands.

    Raises:
        ShouldCollectMoreData: fewer than ``privacy.min_people`` people, and no earlier release.
        ShouldWaitForBudget: too few people can afford it, or the date's budget was taken under other
            terms and its computation never finished; and no earlier release.
        ShouldRepairLedger: the ledger does not verify.
    """
    serves = _not_due(night, usable)
    if serves is not None:
        return serves
    needed = night.spec.privacy.min_people
    if len(people) < needed:
        return _reuse(
            night,
            ShouldCollectMoreData(
                f"{len(people)} people have episodes to learn from, fewer than {needed}.",
                "Collect more, or lower privacy.min_people.",
            ),
            usable,
        )
    request = ReleaseRequest(
        pipeline=night.pipeline,
        logical_date=night.logical_date,
        stage=night.stage,
        configuration_sha256=configuration_sha256(configuration),
        dataset_id=night.dataset_id,
        mechanism=night.ledger.night_mechanism(
            night.spec, night.pipeline, night.stage, night.logical_date
        ),
    )
    try:
        reservation = night.ledger.reserve(request, people, night.spec, needed)
    except (ShouldWaitForBudget, ShouldKeepRelease) as problem:
        return _reuse(night, problem, usable)
    if reservation.stored_url is not None and reservation.stored_sha256 is not None:
        stored = night.blobs.fetch(reservation.stored_url, reservation.stored_sha256)
        return Released(reservation.row, _place(stored, night.file), "")
    path = compute(reservation, night.file)
    url, sha256 = night.blobs.put(path)
    return Released(night.ledger.complete(reservation.release_id, url, sha256), path, "")


def mechanism_of(reservation: Reservation) -> Mechanism:
    """The mechanism that a reservation paid for.

    Raises:
        ShouldFixArgument: its kind is not known here.
    """
    return mechanism_from(reservation.row.mechanism)


def gaussian_of(reservation: Reservation) -> GaussianMechanism:
    """The mechanism of a stage that is never subsampled.

    Raises:
        ShouldFixArgument: the reservation paid for a subsampled one.
    """
    mechanism = mechanism_of(reservation)
    if not isinstance(mechanism, GaussianMechanism):
        raise ShouldFixArgument(
            f"The {reservation.row.stage} release of {reservation.row.logical_date} was paid for as "
            "subsampled, which this stage is not.",
            "Use the next date.",
        )
    return mechanism


def _not_due(night: Night, usable: Usable) -> Released | None:
    """The release that serves a night on which the plan has none; None where one is to be made."""
    due = night.ledger.next_due(night.spec, night.pipeline, night.stage, night.logical_date)
    if due is None:
        return None
    found = night.ledger.latest_release(night.pipeline, night.stage, night.logical_date)
    if found is None:
        return None
    row, url, sha256 = found
    stored = night.blobs.fetch(url, sha256)
    if not usable(stored):
        return None
    reason = (
        f"A new release is not due: the release of {row.logical_date} serves until {due}; "
        "nothing was spent."
    )
    return Released(row, _place(stored, night.file), reason, due)


def _reuse(night: Night, problem: EverloopError, usable: Usable) -> Released:
    found = night.ledger.latest_release(night.pipeline, night.stage, night.logical_date)
    stored = None if found is None else night.blobs.fetch(*found[1:])
    if found is None or stored is None or not usable(stored):
        if not isinstance(problem, ShouldKeepRelease):
            raise problem
        raise ShouldWaitForBudget(
            f"{problem.message} That release was never finished or cannot serve any more, and no "
            "other one can.",
            "Rerun under the old terms, or wait for the next date.",
        ) from problem
    row = found[0]
    if row.logical_date == night.logical_date:
        reason = f"{problem.message} What changed was not applied; this date's release stands."
    else:
        reason = f"{problem.message} The release of {row.logical_date} serves instead."
    return Released(row, _place(stored, night.file), reason)


def _place(stored: Path, path: Path) -> Path:
    return write_atomically(stored.read_bytes(), path)


def note_of(
    night: Night, released: Released, parameters: int, metrics: Mapping[str, float]
) -> ReleaseNote:
    """What the report says of the release: its loss, the budget, and warnings.

    ``people`` counts who took part; like the budget's figures it stays inside the trust boundary.
    """
    spec, row = night.spec, released.row
    history = night.ledger.history(night.pipeline)
    tonight = [
        other
        for other in history
        if other.status is ReleaseStatus.RESERVED and other.logical_date == night.logical_date
    ]
    alone = night.ledger.status(spec, night.logical_date, [row])
    return ReleaseNote(
        release_id=row.release_id,
        stage=night.stage,
        released=not released.reused,
        reused=released.reused,
        epsilon=alone.epsilon_tonight,
        delta=spec.privacy.delta,
        mu_squared=row.mu_squared,
        mechanism=row.mechanism,
        people=row.people,
        parameters=parameters,
        budget=night.ledger.status(spec, night.logical_date, tonight),
        metrics=dict(metrics),
        warnings=(*_lost(night, history), *_warnings(spec, row)),
        due=released.due,
    )


def _lost(night: Night, history: Sequence[LedgerRow]) -> tuple[str, ...]:
    """What earlier dates of the period paid for and never finished."""
    completed = {row.release_id for row in history if row.status is ReleaseStatus.SPENT}
    lost = [
        row
        for row in history
        if row.stage == night.stage
        and row.release_id not in completed
        and 0 < (night.logical_date - row.logical_date).days < night.spec.privacy.period_days
    ]
    if not lost:
        return ()
    dates = ", ".join(sorted(row.logical_date.isoformat() for row in lost))
    return (
        f"The {night.stage} release of {dates} was reserved and never finished: mu^2 "
        f"{math.fsum(row.mu_squared for row in lost):.3g} is spent without a release. Rerun the date "
        "with the data that it had to have one.",
    )


def _warnings(spec: LoopSpec, row: LedgerRow) -> tuple[str, ...]:
    privacy = spec.privacy
    found = []
    if row.people * privacy.delta > 1.0:
        found.append(
            f"{row.people} people times delta {privacy.delta:g} is above 1: lower privacy.delta."
        )
    if not spec.person_ids:
        found.append(
            "These logs carry no person ids, so each row counts as a person of its own: the budget "
            "holds per row."
        )
    return tuple(found)
