"""How much of a budget is gone, what a date would spend of it, and how long the rest lasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from everloop.contracts.ledger_ports import LedgerTransaction
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import (
    BudgetPlan,
    BudgetStatus,
    LedgerRow,
    Mechanism,
    StagePlan,
    mechanism_from,
)
from everloop.privacy import accounting, mechanisms, plan, renyi
from everloop.privacy.admission import Price, affordable, period_start
from everloop.privacy.spending import (
    Floats,
    Spending,
    releases_of,
    spending,
)

_ROUNDING = 1e-9
"""So that nights that fit exactly are not lost to the last bit of a float."""


def status(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    privacy: PrivacySpec,
    on: date,
    tonight: Sequence[LedgerRow] = (),
) -> BudgetStatus:
    """The budget on a date, of the person who has spent most in the period that ends with it; later
    releases do not count.

    ``epsilon_tonight`` is the most that any one person spent in ``tonight``'s releases: they may be over
    different people, whose losses do not add up.

    ``nights_left`` = min(period_days, floor(remaining mu^2 / mu^2 of a later night)), where a night
    is every stage's planned share together and nothing older leaves the period meanwhile; what is
    charged today has left it after ``period_days``, hence the cap. ``people_retired`` are those
    whom not one more night fits. Of whom any release of the period was subsampled, ``mu_squared_period``
    is their share of what Renyi accounting allows, times the budget.

    Args:
        ledger: of the transaction that read ``rows``.
        rows: of the whole ledger.
        privacy: the loop's budget.
        on: the last day of the period.
        tonight: rows of this date's releases; several of one release count once.
    """
    budget = plan.budget_mu_squared(privacy)
    night = plan.later_night_mu_squared(privacy)
    people = ledger.people()
    start = period_start(on, privacy.period_days)
    released = list({row.release_id: row for row in tonight}.values())
    within = spending(ledger, releases_of(rows, lambda d: start < d <= on), people)
    total = spending(ledger, releases_of(rows, lambda d: d <= on), people)
    used = used_shares(within, privacy)
    period = float(used.max(initial=0.0)) * budget
    left = min(privacy.period_days, max(0, math.floor((budget - period) / night + _ROUNDING)))
    return BudgetStatus(
        epsilon_budget=privacy.epsilon,
        delta=privacy.delta,
        period_days=privacy.period_days,
        epsilon_tonight=_most(spending(ledger, released, people), privacy.delta),
        epsilon_period=_most(within, privacy.delta),
        epsilon_since_first_seen=_most(total, privacy.delta),
        mu_squared_budget=budget,
        mu_squared_period=period,
        nights_left=left,
        people_retired=int((used * budget + night > budget).sum()),
    )


def _most(spent: Spending, delta: float) -> float:
    return float(spent.epsilons(delta).max(initial=0.0))


def epsilon_together(releases: Sequence[LedgerRow], delta: float) -> float:
    """epsilon at ``delta`` of someone who takes part in all of some releases."""
    kinds = [mechanism_from(row.mechanism) for row in releases]
    return epsilon_of_price(Price.of(kinds), delta)


def epsilon_of_price(price: Price, delta: float) -> float:
    """epsilon at ``delta`` of what releases cost one person."""
    if price.divergences is None:
        return accounting.epsilon_of(price.mu_squared, delta)
    exact = renyi.gaussian(price.mu_squared)
    return renyi.epsilon_of(
        tuple(a + b for a, b in zip(price.divergences, exact, strict=True)), delta
    )


def used_shares(spent: Spending, privacy: PrivacySpec) -> Floats:
    """Share of a period's budget that each person has used, (n,); 1 is all of it."""
    exact: Floats = spent.mu_squared / accounting.mu(privacy.epsilon, privacy.delta) ** 2
    judged = spent.subsampled | (privacy.sampling_rate < 1.0)
    if not judged.any():
        return exact
    index = renyi.judging_index(privacy.epsilon, privacy.delta)
    allowed = renyi.allowed(privacy.epsilon, privacy.delta)
    found: Floats = np.where(judged, spent.at(index) / allowed, exact)
    return found


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    serves_until: date | None
    done: bool
    mechanism: Mechanism


def planned(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    spec: LoopSpec,
    pipeline: str,
    on: date,
) -> BudgetPlan:
    """What the stages of a date would spend, in their order, and how long the budget lasts."""
    privacy = spec.privacy
    history = [row for row in rows if row.pipeline == pipeline]
    people = ledger.people()
    found, costs = [], list[Mechanism]()
    for stage in (_stage(spec, name, on, history) for name in plan.STAGES):
        spends = stage.serves_until is None and not stage.done
        if spends:
            costs.append(stage.mechanism)
        able = affordable(ledger, rows, on, Price.of(costs), people, privacy) if spends else people
        found.append(_stage_plan(stage, spends, privacy, len(people), len(able)))
    now = status(ledger, rows, privacy, on)
    first = on if costs else on + timedelta(days=1)
    return BudgetPlan(
        on=on,
        stages=tuple(found),
        epsilon=epsilon_of_price(Price.of(costs), privacy.delta),
        budget=now,
        lasts_until=first + timedelta(days=now.nights_left - 1),
        free_again=_free_again(ledger, rows, privacy, on, people),
    )


def _stage(spec: LoopSpec, name: str, on: date, history: Sequence[LedgerRow]) -> _Stage:
    serves = plan.served_by(spec.privacy, name, on, history)
    return _Stage(
        name,
        None if serves is None else plan.due_after(spec.privacy, serves),
        any(row.stage == name and row.logical_date == on for row in history),
        plan.planned_mechanism(spec, name, on, history),
    )


def _stage_plan(
    stage: _Stage, spends: bool, privacy: PrivacySpec, people: int, able: int
) -> StagePlan:
    price = Price.of((stage.mechanism,))
    return StagePlan(
        stage=stage.name,
        serves_until=stage.serves_until,
        done=stage.done,
        mechanism=mechanisms.as_json(stage.mechanism),
        mu_squared=mechanisms.mu_squared_of(stage.mechanism, privacy) if spends else 0.0,
        epsilon=epsilon_of_price(price, privacy.delta) if spends else 0.0,
        people=people,
        affordable=able,
    )


def _free_again(
    ledger: LedgerTransaction,
    rows: Sequence[LedgerRow],
    privacy: PrivacySpec,
    on: date,
    people: tuple[str, ...],
) -> date | None:
    """The first date on which the person who spent most can pay for another night."""
    period = privacy.period_days
    night = plan.later_night_mu_squared(privacy) / plan.budget_mu_squared(privacy)
    around = releases_of(rows, lambda d: period_start(on, period) < d)
    used = used_shares(spending(ledger, around, people), privacy)
    if used.max(initial=0.0) + night <= 1.0:
        return on
    worst = (people[int(used.argmax())],)
    paid = [
        row
        for row, (took_part,) in zip(
            around, ledger.participation(worst, [row.release_id for row in around]), strict=True
        )
        if took_part
    ]
    leaving = {row.logical_date + timedelta(days=period) for row in paid}
    for day in sorted({on, *leaving}):
        inside = [row for row in paid if period_start(day, period) < row.logical_date <= day]
        if used_shares(spending(ledger, inside, worst), privacy)[0] + night <= 1.0:
            return day
    return None
