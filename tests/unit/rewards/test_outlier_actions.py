"""Outlier actions: found where they were planted, hardly ever where there are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import poisson

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import ReviewKind
from everloop.loops import load
from everloop.rewards.engine import bounded_engine, register_parquet
from everloop.rewards.outlier_actions import (
    MIN_DAYS,
    MIN_DECISIONS,
    MIN_PERSON_DAYS,
    jumps_of,
    outlier_actions,
)
from everloop.rewards.suspicion import Suspicion, strongest
from tests.made_datasets import Row, episode_id, write_dataset

SPEC = load("companion")
WATCHED = next(a.id for a in SPEC.actions if a.kind.value == "intervention")
OTHER = next(a.id for a in SPEC.actions if a.kind.value == "recommend_hive")
FIRST = datetime(2024, 5, 1, 6, tzinfo=UTC)

Find = Callable[..., tuple[Suspicion, ...]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    def _find(rows: Iterable[Row], spec: LoopSpec = SPEC) -> tuple[Suspicion, ...]:
        dataset = write_dataset(tmp_path / "d", rows)
        with bounded_engine(tmp_path, 256, 1) as connection:
            register_parquet(connection, "episodes", dataset.episodes_path)
            return outlier_actions(connection, spec)

    return _find


def person_days(counts: Sequence[int], action: str = WATCHED, arm: str = "active") -> list[Row]:
    """Person i has one decision to do nothing and ``counts[i]`` of ``action``, all on one day."""
    rows: list[Row] = []
    for person, count in enumerate(counts):
        for number in range(count + 1):
            taken = action if number < count else "no_action"
            at = FIRST + timedelta(seconds=len(rows) % 60_000)
            rows.append(Row(len(rows), f"p{person}", at, taken, arm=arm))
    return rows


def of_person(rows: Sequence[Row], person: int, action: str) -> set[str]:
    return {
        episode_id(row.number)
        for row in rows
        if row.person == f"p{person}" and row.action == action
    }


def test_where_others_have_none_ten_are_strange_and_nine_are_not(find: Find) -> None:
    """2 sqrt(10.375) - 2 sqrt(.375) = 5.217 and 2 sqrt(9.375) - 2 sqrt(.375) = 4.899."""
    rows = person_days([0] * 40 + [9, 10])
    found = find(rows)
    assert {one.episode_id for one in found} == of_person(rows, 41, WATCHED)
    assert len(found) == 10
    assert {one.kind for one in found} == {ReviewKind.OUTLIER_ACTION}
    z = 2 * math.sqrt(10.375) - 2 * math.sqrt(0.375)
    assert [one.score for one in found] == pytest.approx([z] * 10)
    assert found[0].reason == (
        f"{WATCHED} was taken 10 times for this person on 2024-05-01; the median of 42 person-days "
        f"is 0 (robust z {z:.1f}, limit 5)."
    )


def test_a_scale_wider_than_chance_is_that_of_the_people(find: Find) -> None:
    """Counts 0, 4 and 16 a third each: on 2 sqrt(c + 3/8) the median is 4.18 and the MAD 2.96."""
    usual = [0, 4, 16] * 20
    middle = 2 * math.sqrt(4.375)
    scale = 1.4826 * (middle - 2 * math.sqrt(0.375))
    wanted = math.ceil(((middle + 5 * scale) / 2) ** 2 - 0.375)
    assert not find(person_days([*usual, wanted - 1]))
    rows = person_days([*usual, wanted])
    assert {one.episode_id for one in find(rows)} == of_person(rows, 60, WATCHED)


def test_a_busy_tenth_of_the_people_widens_the_scale(find: Find) -> None:
    """Of 51, 44 have none and 6 have nine: the MAD is 0, the 90 % quantile nine's."""
    middle = 2 * math.sqrt(0.375)
    scale = (2 * math.sqrt(9.375) - middle) / 1.2816
    wanted = math.ceil(((middle + 5 * scale) / 2) ** 2 - 0.375)
    usual = [0] * 44 + [9] * 6
    assert not find(person_days([*usual, wanted - 1]))
    rows = person_days([*usual, wanted])
    assert {one.episode_id for one in find(rows)} == of_person(rows, 50, WATCHED)


def test_too_few_is_never_strange(find: Find) -> None:
    assert not find(person_days([60] * 40 + [0]))


def test_few_person_days_say_nothing(find: Find) -> None:
    assert not find(person_days([0] * (MIN_PERSON_DAYS - 2) + [40]))
    assert find(person_days([0] * (MIN_PERSON_DAYS - 1) + [40]))


def test_actions_that_nobody_watches_may_be_frequent(find: Find) -> None:
    assert not find(person_days([0] * 40 + [40], action=OTHER))
    careful = SPEC.model_copy(
        update={
            "actions": tuple(
                a.model_copy(update={"safety_critical": a.id == OTHER}) for a in SPEC.actions
            )
        }
    )
    assert find(person_days([0] * 40 + [40], action=OTHER), careful)


def test_a_policy_outside_the_loop_is_not_judged_and_not_compared_with(find: Find) -> None:
    assert not find(person_days([0] * 40 + [40], arm="comparison"))
    usual = person_days([0] * 31)
    busy = [
        Row(5000 + row.number, f"q{row.person}", row.timestamp, row.action, arm="comparison")
        for row in person_days([30] * 60)
    ]
    own = [
        Row(9000 + n, "bot", FIRST, WATCHED if n else "no_action", arm="candidate")
        for n in range(13)
    ]
    found = find([*usual, *busy, *own])
    assert {one.episode_id for one in found} == {episode_id(9000 + n) for n in range(1, 13)}


def test_days_of_one_person_are_apart(find: Find) -> None:
    rows = person_days([0] * 40)
    rows += [
        Row(1000 + n, "p0", FIRST + timedelta(days=1 + n % 2, seconds=n), WATCHED)
        for n in range(18)
    ]
    assert not find(rows)


@pytest.mark.parametrize("mean", [0.05, 0.5, 1.0, 3.0, 10.0, 50.0])
def test_chance_alone_flags_three_in_ten_million(mean: float) -> None:
    """Exactly: P(z > 5) of a Poisson count beside its own median, on a scale of 1."""
    middle = 2 * math.sqrt(poisson.median(mean) + 0.375)
    limit = ((middle + 5) / 2) ** 2 - 0.375
    assert poisson.sf(math.floor(limit), mean) <= 3e-7


def test_fair_people_of_different_activity_are_hardly_ever_flagged(find: Find) -> None:
    rng = np.random.default_rng(11)
    counts = rng.poisson(rng.gamma(2.0, 1.5, 1500))
    assert not find(person_days([int(c) for c in counts]))


# Days.


def days(
    shares: Sequence[float], decisions: int = 400, version: str = "m1", start: int = 0
) -> list[Row]:
    """Day i has ``decisions`` of one model by as many people, ``shares[i]`` of them ``OTHER``."""
    rows: list[Row] = []
    for day, share in enumerate(shares):
        for number in range(decisions):
            action = OTHER if number < round(share * decisions) else "no_action"
            at = FIRST + timedelta(days=day, seconds=number)
            row = Row(start + len(rows), f"{version}-{number}", at, action)
            row.model_version = version
            rows.append(row)
    return rows


def test_a_day_of_three_times_the_share_is_found_whole(find: Find) -> None:
    usual = [(30 + 7 * n % 20) / 400 for n in range(20)]
    rows = days([*usual[:10], 0.30, *usual[10:]])
    found = find(rows)
    jumped = FIRST.date() + timedelta(days=10)
    planted = {
        episode_id(r.number) for r in rows if r.timestamp.date() == jumped and r.action == OTHER
    }
    assert {one.episode_id for one in found} == planted
    assert len(planted) == 120
    x = [2 * math.asin(math.sqrt((s * 400 + 0.375) / 400.75)) for s in usual]
    middle = float(np.median(x))
    mad = 1.4826 * float(np.median(np.abs(np.array(x) - middle)))
    upper = (float(np.quantile(x, 0.9)) - middle) / 1.2816
    jump = 2 * math.asin(math.sqrt(120.375 / 400.75))
    z = (jump - middle) / math.sqrt(max(mad, upper) ** 2 + 1 / 400)
    assert found[0].score == pytest.approx(z)
    assert found[0].reason == (
        f"{OTHER} was 30.00% of the 400 decisions of model m1 on {jumped}; the median of its 20 other "
        f"days is {np.median(usual):.2%} (robust z {z:.1f}, limit 5)."
    )


def test_a_new_model_may_act_otherwise(find: Find) -> None:
    rows = days([0.1] * 20)
    rows += [
        row
        for row in days([0.1] * 20 + [0.4], version="m2", start=50_000)
        if row.timestamp >= FIRST + timedelta(days=20)
    ]
    assert not find(rows)
    assert find(days([0.1] * 20 + [0.4]))


def z_of(shares: Sequence[float], decisions: float = 1000.0) -> np.ndarray:
    taken = np.array(shares) * decisions
    return jumps_of(taken, np.full(len(shares), decisions))[0]


def test_fewer_days_than_two_weeks_and_one_say_nothing() -> None:
    assert np.isnan(z_of([0.1] * (MIN_DAYS - 1) + [0.9])).all()
    assert z_of([0.1] * MIN_DAYS + [0.9])[-1] > 5


def test_days_of_few_decisions_are_not_compared(find: Find) -> None:
    usual = days([0.1] * 20, decisions=MIN_DECISIONS)
    few = [
        Row(90_000 + n, f"x{n}", FIRST + timedelta(days=20), OTHER)
        for n in range(MIN_DECISIONS - 1)
    ]
    enough = [*few, Row(99_000, "x99", FIRST + timedelta(days=20), OTHER)]
    for row in enough:
        row.model_version = "m1"
    assert not find([*usual, *few])
    assert len(find([*usual, *enough])) == MIN_DECISIONS


def test_weekends_are_no_jump_and_one_weekend_of_threefold_share_is() -> None:
    week = [0.1] * 5 + [0.3] * 2
    assert not (z_of(week * 4) > 5).any()
    once = [0.1] * 26 + [0.3] * 2
    assert np.flatnonzero(z_of(once) > 5).tolist() == [26, 27]


def test_days_of_two_sorts_are_as_far_apart_as_their_median_deviation_says() -> None:
    """Half at 5 %, half at 15 %: m = .623 and 1.4826 * MAD = .255 on x; .623 + 5 * .255 is 66 %."""
    usual = [0.05, 0.15] * 10
    assert not (z_of([*usual, 0.62], 1e5) > 5).any()
    assert z_of([*usual, 0.69], 1e5)[-1] > 5


def test_a_trifle_in_a_large_log_is_no_jump() -> None:
    shares = [0.1] * 20 + [0.149]
    assert np.isnan(z_of(shares, 1e6)[-1])
    assert z_of([0.1] * 20 + [0.151], 1e6)[-1] > 5


def test_too_small_a_share_is_never_a_jump() -> None:
    assert not (np.nan_to_num(z_of([0.5] * 20 + [0.0])) > 5).any()


def test_a_few_cases_of_a_rare_action_are_no_jump() -> None:
    assert not (z_of([0.0] * 20 + [0.009]) > 5).any()
    assert z_of([0.0] * 20 + [0.010])[-1] > 5


@pytest.mark.parametrize(
    ("reference", "at_most"), [(14, 12e-4), (27, 3e-4)], ids=["two weeks", "four weeks"]
)
def test_days_that_differ_by_more_than_chance_are_seldom_flagged(
    reference: int, at_most: float
) -> None:
    """Shares of about 30 % whose day effects dwarf chance, which is the worst case for a MAD."""
    rng = np.random.default_rng(12)
    flagged, asked = 0, 0
    for _ in range(250):
        x = 2 * math.asin(math.sqrt(0.3)) + rng.normal(0, 0.12, reference + 1)
        shares = np.sin(x / 2) ** 2
        flagged += int((z_of(shares.tolist(), 1e5) > 5).sum())
        asked += len(shares)
    assert flagged / asked <= at_most


def test_fair_days_are_not_flagged() -> None:
    rng = np.random.default_rng(13)
    for _ in range(100):
        decisions = rng.integers(50, 2000, 28).astype(float)
        taken = rng.binomial(decisions.astype(int), rng.beta(1, 8)).astype(float)
        assert not (jumps_of(taken, decisions)[0] > 5).any()


def test_the_strongest_suspicion_of_an_episode_and_kind_stays() -> None:
    def one(ident: str, score: float, kind: ReviewKind = ReviewKind.ANOMALY) -> Suspicion:
        return Suspicion(ident, kind, f"{score}", score)

    outlier = one("a", 5.5, ReviewKind.OUTLIER_ACTION)
    assert strongest([one("b", 6.0), one("a", 6.0), outlier, one("a", 7.0), one("a", 6.5)]) == (
        one("a", 7.0),
        one("b", 6.0),
        outlier,
    )


def test_the_windows_days_are_those_of_utc(find: Find) -> None:
    late = datetime(2024, 5, 1, 23, 59, 59, tzinfo=UTC)
    rows = person_days([0] * 40)
    rows += [Row(1000 + n, "p0", late + timedelta(seconds=2 * (n % 2)), WATCHED) for n in range(18)]
    assert not find(rows)
    assert date(2024, 5, 1) == late.date()
