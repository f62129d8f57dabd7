"""Journeys: the clock, the evidence, the loop's own reward, and who leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import JourneySpec, LoopSpec, Silence
from everloop.contracts.simulation import ProfileBatch, Responses
from synthetic.journeys import Journeys, roll_out
from synthetic.journeys.clock import Arrivals, Calendar, clock, operational, own_shift
from synthetic.journeys.evidence import Definition, Imperfections
from synthetic.journeys.rows import histories
from tests.unit.synthetic.world import LAYOUT, SPEC, contexts

DAYS = 30
HOUR = next(b for b in LAYOUT.of_kind("cycle")).dimensions


def journeys_of(rate: float = 2.0, ends_after: float = 168.0) -> LoopSpec:
    declared = JourneySpec(decisions_per_day=rate, ends_after_hours=ends_after)
    return SPEC.model_copy(update={"journeys": declared})


def profiles(people: int, seed: int = 1) -> ProfileBatch:
    return ProfileBatch(
        context=contexts(people, np.random.default_rng(seed)),
        mask=np.ones((people, len(SPEC.actions)), dtype=np.bool_),
        weight=np.ones(people),
        encoder=LAYOUT.encoder,
        release_id="made",
    )


class Made:
    """A hand-made user model: signals by mood and action, thumbs often missing, moods that wander."""

    release_id = "made"
    parameters = 1

    def __init__(self, spec: LoopSpec = SPEC, seed: int = 3) -> None:
        self.definition = Definition(spec)
        self.suits = np.random.default_rng(seed).normal(size=(len(spec.actions), 3))

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        n, rules = len(action), self.definition
        share = 1 / (1 + np.exp(-(context[:, :3] * self.suits[action]).sum(axis=1)))
        drawn = rng.beta(4 * share, 4 * (1 - share), (2, n)).T
        signals = rules.low + (rules.high - rules.low) * drawn
        present = rules.zero | (rng.random((n, 2)) < 0.5)
        moved = np.clip(context[:, :3] + 0.2 * rng.normal(size=(n, 3)), -1, 1)
        following = resting.copy()
        following[:, :3] = moved
        reward = rules.reward(signals, present)
        return Responses(signals, reward, following, rng.random(n) < 0.1, present)

    def expected_signals(self, context: Float32, action: Int) -> Float:
        raise NotImplementedError

    expected_reward = acceptance = end_chance = expected_signals


class Scripted(Made):
    """A user model that answers the same to everyone and writes down what it was asked."""

    def __init__(self, ended: float = 0.0, **changes: Any) -> None:
        super().__init__()
        self.ended, self.changes = ended, changes
        self.asked: list[Float32] = []

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        self.asked.append(context.copy())
        n = len(action)
        made = Responses(
            signals=np.tile([0.5, 1.0], (n, 1)),
            reward=np.full(n, 0.4 * 0.5 + 0.6),
            context=resting,
            ended=rng.random(n) < self.ended,
        )
        return replace(made, **self.changes)


def played(
    spec: LoopSpec | None = None, model: Any = None, people: int = 300, **more: Any
) -> Journeys:
    arguments = {"days": DAYS, "seed": 7} | more
    return roll_out(spec or journeys_of(), LAYOUT, model or Made(), profiles(people), **arguments)


def test_the_same_seed_gives_the_same_journeys_and_another_gives_others() -> None:
    one, same, other = played(), played(), played(seed=8)
    for name in ("count", "at", "action", "reward", "value", "latency", "late"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert one.decisions != other.decisions or not np.array_equal(one.at, other.at)


def test_what_is_only_exported_decides_no_response() -> None:
    plain = played(imperfections=Imperfections(contradicting=0.0, late=0.0))
    noisy = played(imperfections=Imperfections(contradicting=1.0, late=1.0))
    for name in ("count", "at", "action", "reward", "left"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(noisy, name))
    assert not plain.contradicts.any()
    assert not plain.late.any()
    assert noisy.contradicts.any()
    assert noisy.late.any()


def test_decisions_come_at_the_declared_rate_to_people_who_stay() -> None:
    made = played(journeys_of(rate=2.0), Scripted(), people=400)
    # a first decision within day 0, then a Poisson process of 2 a day for 29.5 days on average
    expected = 1 + 2.0 * 29.5
    assert made.count.mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / 400))
    assert not made.left.any()
    filled = np.arange(made.at.shape[1]) < made.count[:, None]
    assert (np.isfinite(made.at) == filled).all()
    assert ((made.action >= 0) == filled).all()
    assert (made.at[:, 0] < 1.0).all()
    assert (np.diff(made.at, axis=1)[filled[:, 1:]] >= 0).all()
    assert np.nanmax(made.at) < DAYS


def test_gaps_never_reach_what_would_have_ended_the_journey() -> None:
    spec = journeys_of(rate=0.5, ends_after=24.0)
    made = played(spec, Scripted())
    gaps = np.diff(made.at, axis=1)
    gaps = gaps[np.isfinite(gaps)]
    assert gaps.max() <= 1.0 + 1e-9
    assert made.count.mean() == pytest.approx(Arrivals.of(spec.journeys).expected(DAYS), rel=0.05)


def test_operational_gaps_are_exponential_when_nothing_cuts_them() -> None:
    rng = np.random.default_rng(5)
    before = rng.random(4000) * 10
    gaps = Arrivals(per_day=0.5, most_days=1e3).following(before, rng) - before
    assert kstest(gaps, "expon", args=(0, 2.0)).pvalue > 1e-3


@given(st.floats(min_value=0.0, max_value=400.0, allow_nan=False))
def test_the_day_curve_has_an_inverse(at: float) -> None:
    times = np.array([at])
    assert operational(clock(times)) == pytest.approx(times, abs=1e-9)
    assert np.floor(clock(times)) == np.floor(times)


def test_hours_follow_the_hour_at_which_a_profile_rests() -> None:
    spec, people = journeys_of(rate=3.0), profiles(200)
    for rests_at in (8.0, 20.0):
        angle = 2 * np.pi * rests_at / 24
        context = people.context.copy()
        context[:, HOUR] = np.sin(angle), np.cos(angle)
        made = roll_out(spec, LAYOUT, Scripted(), replace(people, context=context), days=10, seed=1)
        hours = made.at[np.isfinite(made.at)] % 1.0 * 24
        near = np.abs((hours - rests_at + 12) % 24 - 12) < 6
        assert near.mean() > 0.6
        night = np.abs((hours - rests_at - 8 + 12) % 24 - 12) < 2
        assert night.mean() < 0.05  # evenly over the day it would be a sixth


def test_cycles_move_with_time_and_a_missing_one_stays_missing() -> None:
    people, model = profiles(50), Scripted()
    context = people.context.copy()
    context[:10, HOUR] = 0.0
    made = roll_out(journeys_of(), LAYOUT, model, replace(people, context=context), days=3, seed=1)
    angle = 2 * np.pi * (made.at[:, 0] % 1.0)
    told = model.asked[0][:, HOUR]
    np.testing.assert_allclose(told[10:, 0], np.sin(angle[10:]), atol=1e-6)
    np.testing.assert_allclose(told[10:, 1], np.cos(angle[10:]), atol=1e-6)
    assert not told[:10].any()
    rest = [i for i in range(LAYOUT.width) if i not in range(HOUR.start, HOUR.stop)]
    np.testing.assert_array_equal(model.asked[0][:, rest], context[:, rest])


def circling(period: float) -> LoopSpec:
    """The loop with another period of its cycle."""
    moved = (
        f.model_copy(update={"period": period}) if f.name == "hour" else f for f in SPEC.context
    )
    return SPEC.model_copy(update={"context": tuple(moved)})


@pytest.mark.parametrize(
    ("period", "value"),
    [(7.0, [3, 0, 0]), (53.0, [1, 2, 3]), (168.0, [84, 0, 21.6])],
)
def test_weekdays_and_weeks_are_those_of_the_calendar(period: float, value: list[float]) -> None:
    start = date(2026, 1, 1)  # a Thursday in week 1; four days later begins week 2
    context, at = profiles(3).context, np.array([0.5, 4.0, 11.9])
    placed = Calendar(circling(period), LAYOUT, start, 20).place(context, at)
    angle = 2 * np.pi * np.array(value) / period
    np.testing.assert_allclose(placed[:, HOUR][:, 0], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(placed[:, HOUR][:, 1], np.cos(angle), atol=1e-6)


def test_other_cycles_stay_as_they_rest() -> None:
    spec, context = circling(30.0), profiles(3).context
    placed = Calendar(spec, LAYOUT, date(2026, 1, 1), 20).place(context, np.array([0.5, 4.0, 11.9]))
    np.testing.assert_array_equal(placed, context)
    assert not own_shift(spec, LAYOUT, context).any()


def test_people_leave_by_the_model_s_hazard() -> None:
    made = played(model=Scripted(ended=0.25), people=2000)
    # geometric: the chance to have left after k decisions is 1 - 0.75^k
    assert made.left.mean() > 0.99
    assert made.count.mean() == pytest.approx(4.0, abs=4 * math.sqrt(12 / 2000))


def test_a_late_signal_is_after_the_window_and_the_others_within_it() -> None:
    made = played(people=500, imperfections=Imperfections(late=0.5))
    closes = SPEC.reward.closes_after_seconds
    assert made.late.any()
    assert (made.latency[made.late] > closes).all()
    in_time = np.isfinite(made.latency) & ~made.late
    assert (made.latency[in_time] <= closes).all()
    assert (made.latency[in_time] >= 0).all()
    zero = [i for i, s in enumerate(SPEC.signals) if s.silence is Silence.ZERO]
    assert not made.late[:, :, zero].any()
    missing = np.isnan(made.value[:, :, 1]) & np.isfinite(made.at)
    sent = made.late[:, :, 1]
    share = sent.sum() / (sent.sum() + missing.sum())
    assert share == pytest.approx(0.5, abs=0.05)


def test_a_loop_that_closes_at_once_has_no_latency_in_time() -> None:
    at_once = SPEC.reward.model_copy(update={"closes_after_seconds": 0})
    spec = journeys_of().model_copy(update={"reward": at_once})
    made = played(spec, Made(spec))
    assert (made.latency[np.isfinite(made.latency) & ~made.late] == 0).all()
    assert (made.latency[made.late] >= 1).all()


def test_contradictions_keep_the_reward_and_pull_types_apart() -> None:
    made = played(people=500, imperfections=Imperfections(contradicting=1.0, late=0.0))
    both = np.isfinite(made.value).all(axis=2)
    assert made.contradicts[both].mean() > 0.9
    assert not made.contradicts[~both].any()
    value = made.value[both & made.contradicts]
    at_bound = (np.abs(value[:, 0] - [[0.0], [1.0]]) < 1e-12).any(axis=0)
    at_bound |= np.abs(np.abs(value[:, 1]) - 1.0) < 1e-12
    assert at_bound.all()


def recomputed(signals: Mapping[str, Any], spec: LoopSpec) -> float:
    """The definition in ``everloop/rewards/aggregate.sql``, by hand: one signal a type, closed episodes."""
    total = weights = 0.0
    for signal in spec.signals:
        said = signals.get(signal.name)
        if said is not None and not said["late"]:
            mean = 2 * said["value"] - 1 if signal.two_sided else said["value"]
        elif signal.silence is Silence.ZERO:
            mean = 0.0
        else:
            continue
        total, weights = total + signal.weight * mean, weights + signal.weight
    return total / weights


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    contradicting=st.floats(0, 1),
    late=st.floats(0, 1),
    rate=st.floats(0.2, 4),
    closes=st.sampled_from([0, 60, 86_400]),
)
def test_an_exported_reward_is_the_loop_s_definition_of_the_exported_signals(
    seed: int, contradicting: float, late: float, rate: float, closes: int
) -> None:
    reward = SPEC.reward.model_copy(update={"closes_after_seconds": closes})
    spec = journeys_of(rate).model_copy(update={"reward": reward})
    made = played(
        spec,
        Made(spec, seed),
        people=15,
        days=5,
        seed=seed,
        imperfections=Imperfections(contradicting, late),
    )
    found = list(histories(made, spec))
    assert [len(rows) for rows in found] == made.count.tolist()
    for rows in found:
        for row in rows:
            assert row["reward"] == pytest.approx(recomputed(row["signals"], spec), abs=3e-6)  # type: ignore[arg-type]
            success, failure = spec.reward.success_at, spec.reward.failure_at
            score = float(row["reward"])  # type: ignore[arg-type]
            outcome = (
                "success" if score >= success else "failure" if score <= failure else "neutral"
            )
            assert row["outcome"] == outcome
            for name, said in row["signals"].items():  # type: ignore[union-attr]
                assert spec.signal(name).low <= said["value"] <= spec.signal(name).high
                assert said["late"] == (said["latency"] > closes)


def test_rows_say_when_and_who_left() -> None:
    spec, start = journeys_of(), date(2026, 3, 2)
    made = played(spec, Scripted(ended=0.3), people=50, start=start)
    outcomes = set()
    for person, rows in enumerate(histories(made, spec)):
        assert [("left" in row) for row in rows] == [False] * (len(rows) - 1) + [
            bool(made.left[person])
        ]
        for row in rows:
            at = datetime.fromisoformat(str(row["at"]))
            moment = at - datetime.fromisoformat("2026-03-02T00:00:00+00:00")
            assert moment.total_seconds() / 86_400 == pytest.approx(
                float(row["day"]) + float(row["hour"]) / 24,
                abs=1e-3,  # type: ignore[arg-type]
            )
            outcomes.add(row["outcome"])
    assert outcomes == {"success"}


def test_a_caller_s_chooser_decides() -> None:
    def stubborn(context: Float32, mask: Bool, rng: np.random.Generator) -> Int:
        return np.full(len(mask), 2, dtype=np.int64)

    made = played(chooser=stubborn)
    assert set(np.unique(made.action)) == {-1, 2}
    masked = profiles(20)
    masked.mask[3, 2] = False
    with pytest.raises(ShouldFixArgument, match="action 2, which is not valid"):
        roll_out(journeys_of(), LAYOUT, Made(), masked, days=2, seed=1, chooser=stubborn)


def test_uniform_choices_respect_masks() -> None:
    people = profiles(100)
    people.mask[:, 1] = False
    made = roll_out(journeys_of(), LAYOUT, Made(), people, days=10, seed=1)
    taken = made.action[made.action >= 0]
    assert set(np.unique(taken)) == {0, 2, 3}
    assert np.bincount(taken)[[0, 2, 3]] == pytest.approx(len(taken) / 3, rel=0.15)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"days": 0}, "days=0 is not within 1..366"),
        ({"days": 367}, "days=367"),
        ({"spec": journeys_of(rate=1000.0), "days": 30}, "more than 10,000"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        played(**changes)


def test_profiles_that_do_not_fit_are_refused() -> None:
    people = profiles(10)
    for wrong, said in (
        (replace(people, encoder="other"), "encoder other"),
        (replace(people, context=people.context[:, :5]), "contexts"),
        (replace(people, mask=people.mask & False), "no valid action"),
        (replace(people, context=people.context[:0], mask=people.mask[:0]), "nobody"),
    ):
        with pytest.raises(ShouldFixArgument, match=said):
            roll_out(journeys_of(), LAYOUT, Made(), wrong, days=2, seed=1)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ShouldFixArgument, match="no share"):
            Imperfections(late=share)


def test_a_model_that_answers_nonsense_is_refused() -> None:
    for changes, said in (
        ({"reward": np.full(300, 0.1)}, "not the loop's weighted mean"),
        ({"signals": np.full((300, 2), np.nan)}, "not the loop's weighted mean"),
        ({"context": np.full((300, LAYOUT.width), np.nan)}, "within"),
    ):
        with pytest.raises(ShouldRestoreArtefact, match=said):
            played(model=Scripted(**changes))


def test_the_definition_counts_silence_as_the_loop_says() -> None:
    definition = Definition(SPEC)
    value = np.array([[0.5, 1.0], [0.5, 1.0], [0.5, 1.0]])
    counts = np.array([[True, True], [True, False], [False, True]])
    assert definition.reward(value, counts) == pytest.approx([0.8, 0.5, 0.6])
