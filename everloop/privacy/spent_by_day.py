"""How the privacy budget was used up, day by day, beside a pipeline that starts anew every night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from everloop.contracts.figures import SpendingDay
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import LedgerRow
from everloop.privacy import accounting
from everloop.privacy.plan import QUALITY
from everloop.privacy.spending import releases_of


def spent_by_day(
    spec: LoopSpec, history: Sequence[LedgerRow], until: date
) -> tuple[SpendingDay, ...]:
    """One entry per day from the first release to ``until``, the last ``period_days`` days at most.

    Somebody is learned from or held out, so a day's loss is the larger one of what the user model and
    the profiles have cost and of what published quality has. A subsampled release counts with the mu^2
    that the ledger's row gives for it.

    Args:
        spec: budget, delta and period.
        history: a pipeline's ledger rows.
        until: the last day.
    """
    privacy, rows = spec.privacy, releases_of(history, lambda day: day <= until)
    if not rows:
        return ()
    nightly = accounting.mu(privacy.epsilon, privacy.delta) ** 2
    started = min(row.logical_date for row in rows)
    days = min((until - started).days + 1, privacy.period_days)
    found = []
    for back in range(days - 1, -1, -1):
        day = until - timedelta(days=back)
        counted = [r for r in rows if 0 <= (day - r.logical_date).days < privacy.period_days]
        measured = sum(r.mu_squared for r in counted if r.stage == QUALITY)
        learned = sum(r.mu_squared for r in counted if r.stage != QUALITY)
        nights = min((day - started).days + 1, privacy.period_days)
        found.append(
            SpendingDay(
                day,
                accounting.epsilon_of(max(learned, measured), privacy.delta),
                accounting.epsilon_of(nights * nightly, privacy.delta),
            )
        )
    return tuple(found)
