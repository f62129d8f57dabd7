"""Who can afford releases: the rolling budget of every person, over every period they touch.

One filter, with two ways to add up. A period that holds Gaussian releases alone adds mu^2, which is
exact. One that holds a subsampled release adds Renyi divergences of everything in it at one order,
fixed by the budget (a Gaussian counts alpha mu^2 / 2): a budget for each kind side by side would let a
person lose both.

Every loop promises its people (epsilon, delta) in any period, and a workspace's loops share their
people. A person is held to the loop's own promise, and to each promise under which a release of the
period was charged to them; so no loop can spend what another has promised to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import GaussianMechanism, LedgerRow, Mechanism
from everloop.privacy import accounting, mechanisms, renyi
from everloop.privacy.spending import Bools, Spending, releases_of, spending

_GUARD = 1e-12
"""Share of the budget kept back from rounding: sums of floats err on refusing."""


@dataclass(frozen=True, slots=True, order=True)
class Promise:
    """No more than (epsilon, delta) in any ``period_days`` days."""

    epsilon: float
    delta: float
    period_days: int


@dataclass(frozen=True, slots=True)
class Price:
    """What releases of one date would cost: mu^2 of the Gaussian ones, divergences of the others."""

    mu_squared: float = 0.0
    divergences: tuple[float, ...] | None = None

    @classmethod
    def of(cls, asked: Sequence[Mechanism]) -> Price:
        """The price of several mechanisms together."""
        exact = [m.mu_squared for m in asked if isinstance(m, GaussianMechanism)]
        sampled = [mechanisms.divergences(m) for m in asked if not isinstance(m, GaussianMechanism)]
        together = tuple(float(total) for total in np.sum(sampled, axis=0)) if sampled else None
        return cls(sum(exact), together)


def promise_of(privacy: PrivacySpec) -> Promise:
    return Promise(privacy.epsilon, privacy.delta, privacy.period_days)


def promised(row: LedgerRow) -> Promise | None:
    """The promise that a release was charged under; rows from before they kept it have none."""
    if row.epsilon is None or row.period_days is None:
        return None
    return Promise(row.epsilon, row.delta, row.period_days)


def period_start(end: date, period_days: int) -> date:
    """The day before the first of the ``period_days`` days that end with ``end``."""
    return date.fromordinal(max(1, end.toordinal() - period_days))


def affordable(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    on: date,
    price: Price,
    people: tuple[str, ...],
    privacy: PrivacySpec,
) -> tuple[str, ...]:
    """People for whom every period that contains the date keeps every promise made to them.

    Args:
        rows: of the whole ledger.
        on: the releases' date.
        people: distinct pseudonyms.
        privacy: the asking loop's.
    """
    own = promise_of(privacy)
    others = {found for row in rows if (found := promised(row)) is not None} - {own}
    able = np.ones(len(people), dtype=np.bool_)
    for promise in (own, *sorted(others)):
        left = np.flatnonzero(able)
        if len(left) == 0:
            break
        asked = tuple(people[i] for i in left)
        able[left] = _keeps(ledger, rows, on, price, asked, promise, promise == own)
    return tuple(person for person, can in zip(people, able, strict=True) if can)


def _keeps(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    on: date,
    price: Price,
    people: tuple[str, ...],
    promise: Promise,
    own: bool,
) -> Bools:
    """For whom one promise holds in every period that contains the date; (n,).

    A backfilled date also lies in periods that end later. A sum over a period, as a function of its
    last day, can only rise on a day with a release, so those days are all that need checking; and
    nobody needs it who could pay for all of those periods at once.
    """
    period, day = promise.period_days, on.toordinal()
    around = releases_of(rows, lambda d: day - period < d.toordinal() < day + period)
    if not own:
        around_own = [row for row in around if promised(row) == promise]
        if not around_own:
            return np.ones(len(people), dtype=np.bool_)
    fits = _within(spending(ledger, around, people), price, promise)
    later = sorted({row.logical_date for row in around if row.logical_date > on})
    if fits.all() or (not later and own):
        return fits
    doubtful = np.flatnonzero(~fits)
    asked = tuple(people[i] for i in doubtful)
    kept = np.ones(len(asked), dtype=np.bool_)
    for end in (on, *later):
        inside = [row for row in around if period_start(end, period) < row.logical_date <= end]
        found = _within(spending(ledger, inside, asked), price, promise)
        if not own:
            under = [row for row in inside if promised(row) == promise]
            found |= ~spending(ledger, under, asked).took_part
        kept &= found
    fits[doubtful] = kept
    return fits


def _within(spent: Spending, price: Price, promise: Promise) -> Bools:
    """Whether a period with this spending has room for the price; (n,)."""
    bound = accounting.mu(promise.epsilon, promise.delta) ** 2 * (1.0 - _GUARD)
    exact: Bools = spent.mu_squared + price.mu_squared <= bound
    judged = spent.subsampled | (price.divergences is not None)
    if not judged.any():
        return exact
    try:
        index = renyi.judging_index(promise.epsilon, promise.delta)
    except ShouldFixArgument:  # a promise too small for any subsampled release
        return np.where(judged, False, exact)
    limit = renyi.allowed(promise.epsilon, promise.delta) * (1.0 - _GUARD)
    cost = renyi.ORDERS[index] * price.mu_squared / 2.0
    cost += 0.0 if price.divergences is None else price.divergences[index]
    return np.where(judged, spent.at(index) + cost <= limit, exact)
