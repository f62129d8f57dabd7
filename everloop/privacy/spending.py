"""What people have spent together in some releases, from who took part in each.

Prices come from the ledger's rows, which the hash chain covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.privacy import accounting, renyi

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spending:
    """Losses of ``people``, in their order.

    Shapes: mu_squared (n,) sums of mu^2 of Gaussian releases; divergences (n, orders) sums of subsampled
    releases at ``renyi.ORDERS``; subsampled (n,) whether there was any such release; took_part (n,).
    """

    people: tuple[str, ...]
    mu_squared: Floats
    divergences: Floats
    subsampled: Bools
    took_part: Bools

    def epsilons(self, delta: float) -> Floats:
        """epsilon of each person at ``delta``, (n,): in closed form, or by Renyi orders where any
        release was subsampled."""
        prices, which = np.unique(self.mu_squared, return_inverse=True)
        exact = np.array([accounting.epsilon_of(float(price), delta) for price in prices])
        found: Floats = exact[which] if len(prices) else np.zeros(0)
        some = np.flatnonzero(self.subsampled)
        if len(some):
            orders = np.array(renyi.ORDERS, dtype=np.float64)
            together = self.divergences[some] + np.outer(self.mu_squared[some], orders / 2.0)
            found[some] = renyi.epsilons_of(together, delta)
        return found

    def at(self, index: int) -> Floats:
        """Divergences of everything at one order, (n,)."""
        found: Floats = self.divergences[:, index] + renyi.ORDERS[index] * self.mu_squared / 2.0
        return found


def releases_of(
    rows: Sequence[LedgerRow], within: Callable[[date], bool] = lambda _: True
) -> list[LedgerRow]:
    """The reservation of each release whose date is wanted; what was reserved is spent."""
    return [
        row for row in rows if row.status is ReleaseStatus.RESERVED and within(row.logical_date)
    ]


def is_subsampled(row: LedgerRow) -> bool:
    return row.mechanism.get("kind", "gaussian") != "gaussian"


def spending(
    ledger: LedgerTransaction, releases: Sequence[LedgerRow], people: Sequence[str]
) -> Spending:
    """What each person spent in the releases; time and memory grow with people, and time with releases.

    Raises:
        ShouldRepairLedger: a subsampled release has no divergences that this everloop knows.
    """
    count = len(people)
    mu_squared, took_part = np.zeros(count), np.zeros(count, dtype=np.bool_)
    subsampled = np.zeros(count, dtype=np.bool_)
    vectors: dict[tuple[float, ...], NDArray[np.int64]] = {}
    charged = ledger.participation(people, [row.release_id for row in releases])
    for row, paid in zip(releases, charged, strict=True):
        took_part |= paid
        if is_subsampled(row):
            subsampled |= paid
            times = vectors.setdefault(_vector(row), np.zeros(count, dtype=np.int64))
            times += paid
        else:
            mu_squared += paid * row.mu_squared
    divergences = np.zeros((count if vectors else 0, len(renyi.ORDERS)))
    for vector, times in vectors.items():
        divergences += np.outer(times, vector)
    if not vectors:
        divergences = np.broadcast_to(0.0, (count, len(renyi.ORDERS)))
    return Spending(tuple(people), mu_squared, divergences, subsampled, took_part)


def _vector(row: LedgerRow) -> tuple[float, ...]:
    if row.rdp is None or row.rdp_version != renyi.VERSION or len(row.rdp) != len(renyi.ORDERS):
        raise ShouldRepairLedger(
            f"Privacy ledger row {row.sequence} (release {row.release_id}) is subsampled and has no "
            f"divergences at orders of version {renyi.VERSION}.",
            "Use the everloop that wrote it, or a newer one.",
        )
    return row.rdp
