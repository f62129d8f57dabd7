"""How a ledger makes its rows: named, committed to their people, priced and chained."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.ports import Clock
from everloop.contracts.privacy import LedgerRow, ReleaseRequest, ReleaseStatus
from everloop.privacy import renyi
from everloop.privacy.admission import Promise
from everloop.privacy.chain import GENESIS, chained
from everloop.privacy.dp_events import event_of
from everloop.privacy.ledger_keys import LedgerKeys
from everloop.privacy.mechanisms import as_json, divergences


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


@cache
def libraries() -> str:
    """Versions of what computes a release, as every ledger row keeps them."""
    found = []
    for name in ("everloop", "opacus", "torch", "numpy", "dp-accounting"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} unknown")
    return ", ".join(found)


class LedgerRows:
    """Appends rows within a transaction.

    Args:
        keys: what commits rows to their people.
        clock: tells when a row is recorded.
    """

    def __init__(self, keys: LedgerKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def charge(
        self,
        ledger: LedgerTransaction,
        request: ReleaseRequest,
        people: tuple[str, ...],
        promise: Promise,
        mu_squared: float,
    ) -> LedgerRow:
        """Append the reservation of a release and charge everyone in it.

        Args:
            people: distinct pseudonyms, sorted.
            promise: what the loop keeps to its people.
            mu_squared: what each of them pays.
        """
        mechanism = request.mechanism
        row = LedgerRow(
            sequence=0,
            release_id=release_id_of(request, self._keys.current_key),
            pipeline=request.pipeline,
            logical_date=request.logical_date,
            stage=request.stage,
            configuration_sha256=request.configuration_sha256,
            dataset_id=request.dataset_id,
            mechanism=as_json(mechanism),
            mu_squared=mu_squared,
            delta=promise.delta,
            people=len(people),
            people_commitment=self._keys.commitment(ledger.first_known_as(people).values()),
            status=ReleaseStatus.RESERVED,
            recorded_at=self._clock.now(),
            library=libraries(),
            previous_sha256=GENESIS,
            row_sha256="",
            epsilon=promise.epsilon,
            period_days=promise.period_days,
            key_id=self._keys.current,
            event=event_of(mechanism),
            rdp_version=renyi.VERSION,
            rdp=divergences(mechanism),
        )
        row = self.append(ledger, row, ReleaseStatus.RESERVED)
        ledger.charge(people, row.release_id, request.logical_date, mu_squared)
        return row

    def append(self, ledger: LedgerTransaction, row: LedgerRow, status: ReleaseStatus) -> LedgerRow:
        """Append a row of a release in another status."""
        told = replace(row, status=status, recorded_at=self._clock.now(), library=libraries())
        new = chained(told, ledger.last_row())
        ledger.append(new)
        return new
