"""The privacy ledger: who has spent how much, per person, for ever.

Every rule is here; where rows are kept is the ``LedgerStore`` port's business. The unit of privacy is
the person, neighbours differ by adding or removing one. All loops of a ledger spend from the same
people's totals, so they should declare the same epsilon, delta and period.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldKeepRelease,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Clock, LedgerStore, LedgerTransaction, Reservation
from everloop.contracts.privacy import (
    BudgetStatus,
    GaussianMechanism,
    LedgerRow,
    ReleaseRequest,
    ReleaseStatus,
)
from everloop.privacy import accounting, plan
from everloop.privacy.admission import affordable, period_start
from everloop.privacy.chain import GENESIS, broken, chained
from everloop.privacy.soundness import check_people, output_of, sound_rows

MIN_KEY_BYTES = 32
SEED_BYTES = 32


def release_id_of(request: ReleaseRequest, key: bytes) -> str:
    """First 32 hex digits of HMAC-SHA-256 under the ledger's key of ``pipeline|date|stage|configuration``.

    The id is published, and the configuration covers every input: without the key, whoever can guess
    all but one of the people could tell from a plain hash whether that one took part.
    """
    name = "|".join(
        (
            "release",
            request.pipeline,
            request.logical_date.isoformat(),
            request.stage,
            request.configuration_sha256,
        )
    )
    return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:32]


def libraries() -> str:
    """Versions of what computes a release, as every ledger row keeps them."""
    found = []
    for name in ("everloop", "opacus", "torch", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} unknown")
    return ", ".join(found)


class Ledger:
    """``PrivacyLedger`` over a ``LedgerStore``.

    Args:
        store: where rows, charges and sealed seeds are kept.
        key: secret of at least 32 bytes; commits rows to sets of people and seals noise seeds.
        clock: tells when a row is recorded.

    Raises:
        ShouldProvideKey: the key is too short.
    """

    def __init__(self, store: LedgerStore, key: bytes, clock: Clock) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ShouldProvideKey(
                f"The ledger key has {len(key)} bytes, fewer than {MIN_KEY_BYTES}.",
                "Set EVERLOOP_LEDGER_KEY to 32 or more bytes in hexadecimal.",
            )
        self._store = store
        self._key = key
        self._clock = clock

    def night_mechanism(
        self, spec: LoopSpec, pipeline: str, stage: str, on: date
    ) -> GaussianMechanism:
        """What the plan of the budget gives a stage on a date; see ``plan.planned_mechanism``."""
        return plan.planned_mechanism(spec, stage, on, self.history(pipeline))

    def reserve(
        self, request: ReleaseRequest, people: Sequence[str], spec: LoopSpec, min_people: int
    ) -> Reservation:
        """Charge every person who can afford the release, in one durable transaction.

        The same request again is not charged again: it resumes with the same people and the same
        seed while unfinished, and returns the stored output once complete.

        Raises:
            ShouldWaitForBudget: fewer than ``min_people`` can afford it; nothing was charged.
            ShouldKeepRelease: this pipeline, date and stage was reserved under other terms.
            ShouldRepairLedger: the ledger does not verify; nothing was charged.
        """
        offered = tuple(sorted(set(people)))
        with self._store.transaction() as ledger:
            rows = sound_rows(ledger)
            before = [row for row in rows if _same_slot(row, request)]
            if before:
                return self._again(ledger, request, before, offered)
            admitted = affordable(
                ledger,
                rows,
                request.logical_date,
                request.mechanism.mu_squared,
                offered,
                spec.privacy,
            )
            if len(admitted) < max(1, min_people):
                raise ShouldWaitForBudget(
                    f"{len(admitted)} of {len(offered)} people can afford the {request.stage} "
                    f"release of {request.logical_date} (mu^2 {request.mechanism.mu_squared:.3g}), "
                    f"fewer than {max(1, min_people)}.",
                    "Reuse the last release until older spending leaves the period.",
                )
            return self._charge(ledger, request, admitted, spec.privacy.delta)

    def complete(self, release_id: str, url: str, sha256: str) -> LedgerRow:
        """Append the ``spent`` row of a reservation and destroy its seed. Idempotent.

        Raises:
            ShouldFixArgument: nothing is reserved under this id.
            ShouldResolveConflict: it was completed with another output.
            ShouldRepairLedger: the ledger does not verify.
        """
        with self._store.transaction() as ledger:
            rows = sound_rows(ledger)
            of_release = [row for row in rows if row.release_id == release_id]
            if not of_release:
                raise ShouldFixArgument(
                    f"Release {release_id} was never reserved.", "Reserve it before any noise."
                )
            if of_release[-1].status is ReleaseStatus.SPENT:
                if ledger.output(release_id) != (url, sha256):
                    raise ShouldResolveConflict(
                        f"Release {release_id} is complete with another output than {sha256}.",
                        "Use the stored output.",
                    )
                return of_release[-1]
            row = self._append(ledger, of_release[-1], ReleaseStatus.SPENT)
            ledger.store_output(release_id, url, sha256)
            ledger.unseal(release_id)
            return row

    def latest_release(
        self, pipeline: str, stage: str, on_or_before: date
    ) -> tuple[LedgerRow, str, str] | None:
        """(row, url, sha256) of the completed release with the newest date; ``None`` if none."""
        with self._store.transaction() as ledger:
            complete = [
                row
                for row in ledger.rows()
                if row.status is ReleaseStatus.SPENT
                and (row.pipeline, row.stage) == (pipeline, stage)
                and row.logical_date <= on_or_before
            ]
            if not complete:
                return None
            row = max(complete, key=lambda r: r.logical_date)
            return (row, *output_of(ledger, row))

    def status(self, spec: LoopSpec, on: date, tonight: float) -> BudgetStatus:
        """The budget on a date, of the person who has spent most in the period that ends with it.

        ``nights_left`` = min(period_days, floor(remaining mu^2 / mu^2 of a later night)), where a night
        is every stage's planned share together and nothing older leaves the period meanwhile; what is
        charged today has left it after ``period_days``, hence the cap. ``people_retired`` are those
        whom not one more night fits.
        """
        privacy = spec.privacy
        budget = plan.budget_mu_squared(privacy)
        night = plan.later_night_mu_squared(privacy)
        with self._store.transaction() as ledger:
            window, total = ledger.spent(ledger.people(), period_start(on, privacy.period_days), on)
        period = max(window.values(), default=0.0)
        return BudgetStatus(
            epsilon_budget=privacy.epsilon,
            delta=privacy.delta,
            period_days=privacy.period_days,
            epsilon_tonight=accounting.epsilon_of(tonight, privacy.delta),
            epsilon_period=accounting.epsilon_of(period, privacy.delta),
            epsilon_since_first_seen=accounting.epsilon_of(
                max(total.values(), default=0.0), privacy.delta
            ),
            mu_squared_budget=budget,
            mu_squared_period=period,
            nights_left=min(privacy.period_days, max(0, math.floor((budget - period) / night))),
            people_retired=sum(spent + night > budget for spent in window.values()),
        )

    def history(self, pipeline: str | None = None) -> tuple[LedgerRow, ...]:
        """Every row (of a pipeline), oldest first."""
        with self._store.transaction() as ledger:
            return tuple(row for row in ledger.rows() if pipeline in (None, row.pipeline))

    def verify(self) -> int:
        """Check rows, commitments, every person's charges and every output; the number of rows.

        Raises:
            ShouldRepairLedger: naming the first bad row, or what does not belong to any.
        """
        with self._store.transaction() as ledger:
            rows = sound_rows(ledger)
            check_people(ledger, rows, self._commitment)
            return len(rows)

    def _charge(
        self,
        ledger: LedgerTransaction,
        request: ReleaseRequest,
        admitted: tuple[str, ...],
        delta: float,
    ) -> Reservation:
        release_id = release_id_of(request, self._key)
        mechanism = request.mechanism
        seed = secrets.token_bytes(SEED_BYTES)
        row = LedgerRow(
            sequence=0,
            release_id=release_id,
            pipeline=request.pipeline,
            logical_date=request.logical_date,
            stage=request.stage,
            configuration_sha256=request.configuration_sha256,
            dataset_id=request.dataset_id,
            mechanism=_as_json(mechanism),
            mu_squared=mechanism.mu_squared,
            delta=delta,
            people=len(admitted),
            people_commitment=self._commitment(admitted),
            status=ReleaseStatus.RESERVED,
            recorded_at=self._clock.now(),
            library=libraries(),
            previous_sha256=GENESIS,
            row_sha256="",
        )
        row = self._append(ledger, row, ReleaseStatus.RESERVED)
        ledger.charge(admitted, release_id, request.logical_date, mechanism.mu_squared)
        ledger.seal(release_id, _xor(seed, self._pad(row)))
        return Reservation(release_id, admitted, seed, row)

    def _again(
        self,
        ledger: LedgerTransaction,
        request: ReleaseRequest,
        before: Sequence[LedgerRow],
        offered: tuple[str, ...],
    ) -> Reservation:
        row = before[-1]
        _require_same_terms(row, request)
        admitted = ledger.charged(row.release_id)
        if row.status is ReleaseStatus.SPENT:
            url, sha256 = output_of(ledger, row)
            return Reservation(row.release_id, admitted, b"", row, url, sha256)
        if not set(admitted) <= set(offered):
            raise ShouldKeepRelease(
                f"The {row.stage} release of {row.logical_date} was reserved for people of whom "
                f"{len(set(admitted) - set(offered))} are not in dataset {row.dataset_id} any more.",
                "The same noise never covers other data: use the last release, or the next date.",
            )
        sealed = ledger.sealed(row.release_id)
        if sealed is None or len(sealed) != SEED_BYTES:
            raise broken(row, "has lost the seed of its unfinished release")
        return Reservation(row.release_id, admitted, _xor(sealed, self._pad(row)), row)

    def _append(
        self, ledger: LedgerTransaction, row: LedgerRow, status: ReleaseStatus
    ) -> LedgerRow:
        told = replace(row, status=status, recorded_at=self._clock.now(), library=libraries())
        new = chained(told, ledger.last_row())
        ledger.append(new)
        return new

    def _commitment(self, people: Iterable[str]) -> str:
        message = "people\0" + "\0".join(people)
        return hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()

    def _pad(self, row: LedgerRow) -> bytes:
        """One-time pad of a release's seed: without the key, or for another dataset, it is noise."""
        terms = "\0".join(("seal", row.release_id, row.dataset_id, row.configuration_sha256))
        return hmac.new(self._key, terms.encode(), hashlib.sha256).digest()


def _same_slot(row: LedgerRow, request: ReleaseRequest) -> bool:
    return (row.pipeline, row.logical_date, row.stage) == (
        request.pipeline,
        request.logical_date,
        request.stage,
    )


def _require_same_terms(row: LedgerRow, request: ReleaseRequest) -> None:
    asked = (request.configuration_sha256, request.dataset_id, _as_json(request.mechanism))
    if asked != (row.configuration_sha256, row.dataset_id, dict(row.mechanism)):
        raise ShouldKeepRelease(
            f"The {row.stage} release of {row.logical_date} was paid for with configuration "
            f"{row.configuration_sha256[:12]} and dataset {row.dataset_id[:12]}; this run has "
            f"configuration {request.configuration_sha256[:12]} and dataset "
            f"{request.dataset_id[:12]}.",
            "Use the stored release; changes take effect on the next date.",
        )


def _as_json(mechanism: GaussianMechanism) -> dict[str, float | int | str]:
    return {
        "kind": mechanism.kind,
        "sigma": mechanism.sigma,
        "clip": mechanism.clip,
        "steps": mechanism.steps,
        "sampling_rate": 1.0,
    }


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
