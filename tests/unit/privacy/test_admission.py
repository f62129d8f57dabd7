"""Who may take part when loops promise different things, and when releases are of both kinds."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from everloop.contracts.errors import ShouldKeepRelease, ShouldRepairLedger, ShouldWaitForBudget
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import GaussianMechanism, Mechanism, ReleaseRequest
from everloop.loops import load
from everloop.privacy import accounting, mechanisms, plan, renyi
from everloop.privacy.chain import chained
from everloop.privacy.ledger import Ledger
from tests.conformance.memory_ledger_store import MemoryLedgerStore

DAY = date(2026, 3, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(4))
ANN, BEN, *_ = PEOPLE
BUDGET = accounting.mu(1.0, 1e-5) ** 2


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def spec_of(**privacy: object) -> LoopSpec:
    changed = PrivacySpec.model_validate(
        PrivacySpec(period_days=30).model_dump() | {"profiles_refit_days": 1} | privacy
    )
    return load("companion").model_copy(update={"privacy": changed})


STRICT, LOOSE = spec_of(), spec_of(epsilon=2.0)
SAMPLED = spec_of(sampling_rate=0.1, steps=300)


@pytest.fixture
def store() -> MemoryLedgerStore:
    return MemoryLedgerStore()


@pytest.fixture
def ledger(store: MemoryLedgerStore) -> Ledger:
    return Ledger(store, bytes(32), Clock())


def gaussian(share: float) -> GaussianMechanism:
    return GaussianMechanism(1 / math.sqrt(share * BUDGET), 1.0, 1)


def sampled(share: float) -> Mechanism:
    """A subsampled mechanism that costs a share of what Renyi accounting allows."""
    return mechanisms.subsampled_for(
        share * plan.budget_mu_squared(SAMPLED.privacy), SAMPLED.privacy
    )


def ask(
    ledger: Ledger,
    spec: LoopSpec,
    mechanism: Mechanism,
    days: int = 0,
    people: tuple[str, ...] = PEOPLE,
    pipeline: str = "strict",
) -> Reservation:
    on = DAY + timedelta(days=days)
    asked = ReleaseRequest(pipeline, on, "user_model", "c", "d", mechanism)
    return ledger.reserve(asked, people, spec, 1)


def test_a_looser_loop_cannot_spend_what_a_stricter_one_promised(ledger: Ledger) -> None:
    ask(ledger, STRICT, gaussian(0.5), people=(ANN,))
    made = ask(ledger, LOOSE, gaussian(0.6), days=1, pipeline="loose")
    assert made.admitted == PEOPLE[1:]
    assert ask(ledger, LOOSE, gaussian(0.49), days=2, pipeline="loose").admitted == PEOPLE
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, LOOSE, gaussian(0.02), days=3, people=(ANN,), pipeline="loose")


def test_a_stricter_loop_leaves_out_whom_a_looser_one_has_spent(ledger: Ledger) -> None:
    ask(ledger, LOOSE, gaussian(1.5), people=(ANN,), pipeline="loose")
    assert ask(ledger, STRICT, gaussian(0.1), days=1).admitted == PEOPLE[1:]
    # Ann was promised 2 alone, and is still within it.
    made = ask(ledger, LOOSE, gaussian(1.0), days=2, people=(ANN,), pipeline="loose")
    assert made.admitted == (ANN,)


def test_a_promise_binds_while_a_release_under_it_is_in_the_period(ledger: Ledger) -> None:
    ask(ledger, STRICT, gaussian(0.5), people=(ANN,))
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, LOOSE, gaussian(0.6), days=29, people=(ANN,), pipeline="loose")
    ask(ledger, LOOSE, gaussian(1.6), days=30, people=(ANN,), pipeline="loose")
    with pytest.raises(ShouldWaitForBudget):  # backfilled into a period with both
        ask(ledger, STRICT, gaussian(0.01), days=20, people=(ANN,), pipeline="other")


def test_promises_of_other_periods_hold_at_once(ledger: Ledger) -> None:
    short = spec_of(epsilon=2.0, period_days=2)
    ask(ledger, STRICT, gaussian(0.5), people=(ANN,))
    with pytest.raises(ShouldWaitForBudget):  # 20 days later is one period of 30, not of 2
        ask(ledger, short, gaussian(0.6), days=20, people=(ANN,), pipeline="short")
    assert ask(ledger, short, gaussian(0.6), days=20, people=(BEN,), pipeline="short").admitted


def test_there_is_one_budget_for_both_kinds(ledger: Ledger) -> None:
    """A whole budget of each side by side would be epsilon 1.4 and more."""
    ask(ledger, SAMPLED, sampled(0.6), people=(ANN,))
    rest = 0.4 * plan.budget_mu_squared(SAMPLED.privacy) / BUDGET
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, STRICT, gaussian(rest * 1.001), days=1, people=(ANN,))
    assert ask(ledger, STRICT, gaussian(rest * 0.999), days=1, people=(ANN,)).admitted == (ANN,)
    status = ledger.status(SAMPLED, DAY + timedelta(days=1))
    assert 0.95 < status.epsilon_period <= 1.0
    assert status.mu_squared_period == pytest.approx(
        plan.budget_mu_squared(SAMPLED.privacy) * 0.9996, rel=1e-5
    )


def test_who_spent_more_than_renyi_accounting_allows_gets_no_subsampled_release(
    ledger: Ledger,
) -> None:
    ask(ledger, STRICT, gaussian(0.9), people=(ANN,))  # of .0719, where Renyi allows .0611
    assert ask(ledger, SAMPLED, sampled(0.05), days=1).admitted == PEOPLE[1:]
    assert ask(ledger, STRICT, gaussian(0.09), days=2, people=(ANN,)).admitted == (ANN,)
    assert ask(ledger, SAMPLED, sampled(0.05), days=32, people=(ANN,)).admitted == (ANN,)


def test_a_backfilled_subsampled_release_is_judged_with_what_came_later(ledger: Ledger) -> None:
    ask(ledger, STRICT, gaussian(0.9), days=20, people=(ANN,))
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, SAMPLED, sampled(0.01), days=0, people=(ANN,))
    assert ask(ledger, SAMPLED, sampled(0.01), days=-10, people=(ANN,)).admitted == (ANN,)


def test_a_plan_with_subsampling_runs_for_two_periods(ledger: Ledger) -> None:
    spec = spec_of(sampling_rate=0.1, steps=50, period_days=10, profiles_refit_days=4)
    for night in range(20):
        on = DAY + timedelta(days=night)
        for stage in plan.STAGES:
            if ledger.next_due(spec, "p", stage, on) is not None:
                continue
            mechanism = ledger.night_mechanism(spec, "p", stage, on)
            asked = ReleaseRequest("p", on, stage, "c", "d", mechanism)
            made = ledger.reserve(asked, PEOPLE, spec, min_people=len(PEOPLE))
            ledger.complete(made.release_id, "blob:x", "a" * 64)
        assert ledger.status(spec, on).epsilon_period <= 1.0
    assert [row.logical_date.day for row in ledger.history() if row.stage == "profiles"][::2] == [
        1,
        5,
        9,
        13,
        17,
    ]


def test_a_subsampled_row_says_how_it_was_accounted_for(ledger: Ledger) -> None:
    row = ask(ledger, SAMPLED, sampled(0.2)).row
    assert (row.rdp_version, row.epsilon, row.period_days) == (renyi.VERSION, 1.0, 30)
    assert row.rdp == mechanisms.divergences(sampled(0.2))
    assert row.event is not None
    assert row.event["fields"]["event"]["class"] == "PoissonSampledDpEvent"
    assert "dp-accounting" in row.library
    assert row.mu_squared == pytest.approx(0.2 * plan.budget_mu_squared(SAMPLED.privacy))


def test_divergences_of_other_orders_stop_releases(
    ledger: Ledger, store: MemoryLedgerStore
) -> None:
    ask(ledger, SAMPLED, sampled(0.2))
    store.state.stored[0] = chained(replace(store.state.stored[0], rdp_version=9), None)
    with pytest.raises(ShouldRepairLedger, match=r"row 1 .* version 1"):
        ask(ledger, STRICT, gaussian(0.01), days=1)


def test_another_clip_bound_for_a_paid_date_spends_nothing(
    ledger: Ledger, store: MemoryLedgerStore
) -> None:
    paid = gaussian(0.2)
    ask(ledger, STRICT, paid)
    before = dict(store.state.totals)
    for clip in (0.5, 2.0):
        with pytest.raises(ShouldKeepRelease):
            ask(ledger, STRICT, GaussianMechanism(paid.sigma, clip, paid.steps))
    assert store.state.totals == before


def test_a_clock_that_goes_backwards_forgets_nothing(store: MemoryLedgerStore) -> None:
    clock = Clock()
    ledger = Ledger(store, bytes(32), clock)
    ask(ledger, STRICT, gaussian(0.6), days=5, people=(ANN,))
    clock.moment = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, STRICT, gaussian(0.6), days=4, people=(ANN,))
    with pytest.raises(ShouldWaitForBudget):
        ask(ledger, STRICT, gaussian(0.6), days=-20, people=(ANN,))
    assert ledger.verify() == 1
    assert ledger.status(STRICT, DAY + timedelta(days=5)).epsilon_period > 0.7
