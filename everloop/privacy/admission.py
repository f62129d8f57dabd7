"""Who can afford a release: the rolling budget of every person, over every period it touches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.ports import LedgerTransaction
from everloop.contracts.privacy import LedgerRow
from everloop.privacy import plan

_GUARD = 1e-12
"""Share of the budget kept back from rounding: sums of floats err on refusing."""


def period_start(end: date, period_days: int) -> date:
    """The day before the first of the ``period_days`` days that end with ``end``."""
    return date.fromordinal(max(1, end.toordinal() - period_days))


def affordable(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    on: date,
    cost: float,
    people: tuple[str, ...],
    privacy: PrivacySpec,
) -> tuple[str, ...]:
    """People for whom every period that contains the date stays within the budget.

    A backfilled date also lies in periods that end later. The sum over a period, as a function of
    its last day, can only rise on a day with a charge, so those days are all that need checking.
    """
    period = privacy.period_days
    last = on.toordinal() + period
    ends = {on} | {
        row.logical_date
        for row in rows
        if on < row.logical_date and row.logical_date.toordinal() < last
    }
    most: dict[str, float] = dict.fromkeys(people, 0.0)
    for end in sorted(ends):
        window, _ = ledger.spent(people, period_start(end, period), end)
        for person, spent in window.items():
            most[person] = max(most[person], spent)
    bound = plan.budget_mu_squared(privacy) * (1.0 - _GUARD)
    return tuple(person for person in people if most[person] + cost <= bound)
