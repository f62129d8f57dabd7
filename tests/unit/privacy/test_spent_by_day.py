"""The budget's use by day against sums of mu^2 written out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.loops import load
from everloop.privacy import accounting
from everloop.privacy.spent_by_day import spent_by_day

SPEC = load("companion")
FIRST = date(2026, 3, 1)
NIGHTLY = accounting.mu(1.0, 1e-5) ** 2


def row(
    day: int,
    stage: str,
    mu_squared: float,
    status: ReleaseStatus = ReleaseStatus.RESERVED,
) -> LedgerRow:
    return LedgerRow(
        sequence=day,
        release_id=f"{stage}-{day}",
        pipeline="companion/default",
        logical_date=FIRST + timedelta(days=day),
        stage=stage,
        configuration_sha256="c",
        dataset_id="d",
        mechanism={"kind": "gaussian", "sigma": 1.0, "clip": 1.0, "steps": 1},
        mu_squared=mu_squared,
        delta=1e-5,
        people=100,
        people_commitment="p",
        status=status,
        recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
        library="test",
        previous_sha256="",
        row_sha256="",
    )


def test_days_add_up_in_mu_squared() -> None:
    history = [
        row(0, "user_model", 0.01),
        row(0, "user_model", 0.01, ReleaseStatus.SPENT),
        row(0, "profiles", 0.004),
        row(2, "user_model", 0.001),
        row(9, "user_model", 0.5),
    ]
    found = spent_by_day(SPEC, history, FIRST + timedelta(days=3))
    assert [day.date for day in found] == [FIRST + timedelta(days=i) for i in range(4)]
    spent = [0.014, 0.014, 0.015, 0.015]
    assert [d.epsilon for d in found] == pytest.approx(
        [accounting.epsilon_of(m, 1e-5) for m in spent]
    )
    assert [d.every_night for d in found] == pytest.approx(
        [accounting.epsilon_of(n * NIGHTLY, 1e-5) for n in (1, 2, 3, 4)]
    )
    assert found[0].every_night == pytest.approx(1.0)


def test_held_out_people_pay_for_quality_alone() -> None:
    history = [row(0, "user_model", 0.01), row(0, "quality", 0.02)]
    (day,) = spent_by_day(SPEC, history, FIRST)
    assert day.epsilon == pytest.approx(accounting.epsilon_of(0.02, 1e-5))


def test_what_was_spent_a_period_ago_has_left_the_budget() -> None:
    period = SPEC.privacy.period_days
    history = [row(0, "user_model", 0.05), row(1, "user_model", 0.01)]
    found = spent_by_day(SPEC, history, FIRST + timedelta(days=period))
    assert len(found) == period
    assert found[-1].epsilon == pytest.approx(accounting.epsilon_of(0.01, 1e-5))
    assert found[-2].epsilon == pytest.approx(accounting.epsilon_of(0.06, 1e-5))
    assert found[-1].every_night == pytest.approx(33.9, rel=0.01)


def test_nothing_released_is_nothing_spent() -> None:
    assert spent_by_day(SPEC, [], FIRST) == ()
    assert spent_by_day(SPEC, [row(5, "user_model", 0.1)], FIRST) == ()
