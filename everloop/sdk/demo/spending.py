"""What the person who has spent most has lost by a date, and what another accounting would say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import PrivacyLedger
from everloop.privacy import accounting
from everloop.privacy.plan import budget_mu_squared


@dataclass(frozen=True, slots=True)
class Spending:
    """epsilon at the loop's delta, of the person who has spent most.

    Attributes:
        tonight: on the date alone.
        period: within the ``period_days`` that end with the date.
        since_first_seen: ever.
        every_night: of as many nights as released something in the period, had each taken the whole
            period's epsilon, as pipelines do that begin a new budget every night; mu^2 adds up.
    """

    tonight: float
    period: float
    since_first_seen: float
    every_night: float


def spending(ledger: PrivacyLedger, spec: LoopSpec, pipeline: str, on: date) -> Spending:
    """The spending by a date, from the ledger alone."""
    privacy = spec.privacy
    first = on - timedelta(days=privacy.period_days - 1)
    rows = [row for row in ledger.history(pipeline) if first <= row.logical_date <= on]
    tonight = [row for row in rows if row.logical_date == on]
    nights = {row.logical_date for row in rows}
    budget = ledger.status(spec, on, tonight)
    return Spending(
        tonight=budget.epsilon_tonight,
        period=budget.epsilon_period,
        since_first_seen=budget.epsilon_since_first_seen,
        every_night=accounting.epsilon_of(len(nights) * budget_mu_squared(privacy), privacy.delta),
    )
