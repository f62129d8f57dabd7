"""The plan of the budget: what a night may cost, and that a period of nights fits."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import (
    BudgetStatus,
    GaussianMechanism,
    LedgerRow,
    ReleaseStatus,
    SubsampledGaussianMechanism,
)
from everloop.loops import load
from everloop.privacy import accounting, plan


def with_privacy(**changes: object) -> LoopSpec:
    spec = load("companion")
    privacy = PrivacySpec.model_validate(PrivacySpec().model_dump() | changes)
    return spec.model_copy(update={"privacy": privacy})


def test_first_and_later_nights_by_hand() -> None:
    spec = with_privacy(
        epsilon=1.0,
        delta=1e-5,
        period_days=365,
        first_fit_share=0.25,
        user_model_share=0.7,
        steps=4,
    )
    first = plan.night_mechanism(spec, "user_model", first=True)
    later = plan.night_mechanism(spec, "user_model", first=False)
    assert first.mu_squared == pytest.approx(0.0718514 * 0.25 * 0.7, rel=1e-5)
    assert first.sigma == pytest.approx((4 / (0.0718514 * 0.25 * 0.7)) ** 0.5, rel=1e-5)
    assert later.mu_squared == pytest.approx(0.0718514 * 0.75 / 365 * 0.7, rel=1e-5)
    assert (first.steps, first.clip) == (4, spec.privacy.clip)


def test_profiles_are_one_release_of_unit_norm() -> None:
    mechanism = plan.night_mechanism(with_privacy(), "profiles", first=True)
    assert (mechanism.steps, mechanism.clip) == (1, 1.0)
    assert mechanism.mu_squared == pytest.approx(0.0718514 * 0.25 * 0.2, rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    first=st.floats(0.01, 0.99),
    period=st.integers(1, 120),
    refit=st.integers(1, 200),
    rate=st.sampled_from([1.0, 0.1]),
)
def test_a_period_of_completed_nights_fits_the_budget(
    first: float, period: int, refit: int, rate: float
) -> None:
    spec = with_privacy(
        first_fit_share=first, period_days=period, profiles_refit_days=refit, sampling_rate=rate
    )
    spent = [0.0] * (period + 2 * refit + 1)
    for stage in plan.STAGES:
        history: list[LedgerRow] = []
        for day in range(len(spent)):
            on = date(2026, 1, 1) + timedelta(days=day)
            if plan.served_by(spec.privacy, stage, on, history) is None:
                spent[day] += plan.night_mu_squared(spec, stage, first=not history)
                history.append(row(on, stage))
    budget = plan.budget_mu_squared(spec.privacy)
    periods = [math.fsum(spent[max(0, end - period) : end]) for end in range(1, len(spent) + 1)]
    assert max(periods) <= budget * (1 + 1e-12)
    assert max(periods) >= budget * first * (1 - 1e-9)


def test_the_plan_spends_most_of_a_period() -> None:
    """By hand: the user model and quality .25 + 364/365 .75; profiles .25 + 4 (.75 90/365)."""
    spec = with_privacy()
    assert plan.later_share(spec.privacy, "profiles") == pytest.approx(0.75 * 90 / 365)
    assert plan.later_share(spec.privacy, "quality") == pytest.approx(0.75 / 365)
    two = with_privacy(profiles_refit_days=300).privacy
    assert plan.later_share(two, "profiles") == pytest.approx(0.5)  # two of them in a period
    whole = with_privacy(profiles_refit_days=400).privacy
    assert plan.later_share(whole, "profiles") == pytest.approx(0.75 * 400 / 365)


def test_a_stage_is_due_when_its_last_release_has_served_its_days() -> None:
    privacy, last = with_privacy().privacy, row(date(2026, 3, 1), "profiles")
    for days, due in ((-1, True), (0, True), (1, False), (89, False), (90, True), (500, True)):
        on = date(2026, 3, 1) + timedelta(days=days)
        serves = plan.served_by(privacy, "profiles", on, (last, row(on, "user_model")))
        assert serves == (None if due else last)
    assert plan.due_after(privacy, last) == date(2026, 5, 30)
    assert plan.served_by(privacy, "user_model", date(2026, 3, 2), (last,)) is None


def test_what_was_never_finished_neither_serves_nor_was_first() -> None:
    spec = with_privacy()
    lost = row(date(2026, 5, 30), "profiles", status=ReleaseStatus.RESERVED)
    whole = row(date(2026, 3, 1), "profiles")
    tomorrow = date(2026, 5, 31)
    assert plan.served_by(spec.privacy, "profiles", tomorrow, (whole, lost)) is None
    assert plan.served_by(spec.privacy, "profiles", tomorrow, (lost,)) is None
    assert plan.served_by(spec.privacy, "profiles", lost.logical_date, (whole, lost)) is None
    early = row(date(2026, 4, 1), "profiles", status=ReleaseStatus.RESERVED)
    assert plan.served_by(spec.privacy, "profiles", date(2026, 4, 2), (whole, early)) == whole
    first = plan.night_mechanism(spec, "profiles", first=True)
    later = plan.night_mechanism(spec, "profiles", first=False)
    assert plan.planned_mechanism(spec, "profiles", tomorrow, (lost,)) == first
    assert plan.planned_mechanism(spec, "profiles", tomorrow, (whole, lost)) == later


def test_a_subsampled_user_model_costs_what_is_planned_at_the_judging_order() -> None:
    spec = with_privacy(sampling_rate=0.05, steps=300)
    planned = plan.night_mu_squared(spec, "user_model", first=False)
    mechanism = plan.night_mechanism(spec, "user_model", first=False)
    assert isinstance(mechanism, SubsampledGaussianMechanism)
    assert (mechanism.steps, mechanism.sampling_rate) == (300, 0.05)
    accountant = RdpAccountant([18])
    accountant.compose(PoissonSampledDpEvent(0.05, GaussianDpEvent(mechanism.sigma)), 300)
    assert accountant.rdp[0] == pytest.approx(18 * planned / 2, rel=1e-6)
    assert isinstance(plan.night_mechanism(spec, "profiles", first=False), GaussianMechanism)
    assert planned == pytest.approx(0.0611055 * 0.7 * 0.75 / 365, rel=1e-5)


def test_unknown_stages_have_no_budget() -> None:
    with pytest.raises(ShouldFixArgument, match=r"'training'.*user_model"):
        plan.night_mechanism(with_privacy(), "training", first=True)


def row(
    on: date,
    stage: str = "user_model",
    sigma: float = 9.0,
    status: ReleaseStatus = ReleaseStatus.SPENT,
) -> LedgerRow:
    return LedgerRow(
        sequence=1,
        release_id="r",
        pipeline="p",
        logical_date=on,
        stage=stage,
        configuration_sha256="c",
        dataset_id="d",
        mechanism={"kind": "gaussian", "sigma": sigma, "clip": 2.0, "steps": 3},
        mu_squared=3 / sigma**2,
        delta=1e-5,
        people=1,
        people_commitment="",
        status=status,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        library="",
        previous_sha256="",
        row_sha256="",
    )


def test_only_the_first_release_of_a_stage_is_first() -> None:
    spec, tonight = with_privacy(), date(2026, 3, 1)
    first = plan.night_mechanism(spec, "user_model", first=True)
    later = plan.night_mechanism(spec, "user_model", first=False)
    assert plan.planned_mechanism(spec, "user_model", tonight, ()) == first
    others = (row(date(2026, 2, 1), "profiles"),)
    assert plan.planned_mechanism(spec, "user_model", tonight, others) == first
    for other_day in (date(2026, 2, 28), date(2026, 3, 2)):
        assert plan.planned_mechanism(spec, "user_model", tonight, (row(other_day),)) == later


def test_a_date_keeps_the_mechanism_it_was_reserved_with() -> None:
    rows = (row(date(2026, 3, 1), sigma=7.5), row(date(2026, 3, 2), sigma=200.0))
    kept = plan.planned_mechanism(with_privacy(), "user_model", date(2026, 3, 1), rows)
    assert (kept.sigma, kept.clip, kept.steps) == (7.5, 2.0, 3)


def test_remaining_epsilon_is_that_of_what_is_left() -> None:
    budget = accounting.mu(1.0, 1e-5) ** 2
    status = BudgetStatus(1.0, 1e-5, 365, 0.0, 0.6, 0.6, budget, budget / 4, 10, 0)
    assert plan.remaining_epsilon(status) == pytest.approx(
        accounting.epsilon_of(budget * 0.75, 1e-5)
    )
    assert plan.remaining_epsilon(status) > 1.0 - 0.6
    gone = BudgetStatus(1.0, 1e-5, 365, 0.0, 1.0, 1.0, budget, budget * 1.01, 0, 3)
    assert plan.remaining_epsilon(gone) == 0.0
