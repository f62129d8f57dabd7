"""What an evaluation shows beside the gate's bounds: exploration, further intervals, journeys."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from rl.off_policy import bounds
from rl.off_policy.difference import overshoot
from rl.off_policy.evaluate import HeldOut, evaluate
from rl.off_policy.values import NAMES

HOUR = 3600.0


def _exploring(spec: LoopSpec, start: float, floor: float, halves: int) -> LoopSpec:
    document = spec.model_dump()
    document["exploration"] |= {"start": start, "serving_floor": floor}
    document["serving"] |= {"exploration_halves_after": halves}
    return LoopSpec.model_validate(document)


def test_policies_are_judged_at_what_the_service_explores_with_now(world: Any) -> None:
    """.3 -> .1 with 1,000 episodes logged and a half-life of 1,000: .2, which moves value and action
    shares, and which the most that a weight can be follows."""
    spec = _exploring(world.spec, 0.3, 0.1, 1000)
    found = evaluate(spec, world.episodes, world.good, None, logged=1000)
    assert found.epsilon == pytest.approx(0.2)
    setting = bounds.prepare(spec, world.episodes, 0.1, 1, found.epsilon)
    judged = setting.judged
    pi = world.good.act(States(judged.context, judged.mask), 0.2).propensity
    assert list(found.action_share.values()) == pytest.approx(pi.mean(axis=0).tolist())
    assert setting.known.overshoot == pytest.approx(overshoot(4, 0.1, 0.2))
    assert overshoot(4, 0.1, 0.2) == pytest.approx((1 - 0.2 + 0.05) * (4 / 0.1 - 1))
    weight = pi[np.arange(len(judged)), judged.action] / judged.propensity
    ips = {e.name: e for e in found.estimates}["ips"]
    assert ips.value == pytest.approx((weight * judged.reward).mean())


def test_without_a_count_the_datasets_episodes_count(world: Any) -> None:
    spec = _exploring(world.spec, 0.3, 0.1, len(world.episodes))
    assert evaluate(spec, world.episodes, world.good, None).epsilon == pytest.approx(0.2)
    later = evaluate(spec, world.episodes, world.good, None, logged=10**9)
    assert later.epsilon == pytest.approx(0.1)


def test_the_bounds_hold_for_what_would_be_served(draw_world: Callable[..., Any]) -> None:
    world = draw_world(31, people=4_000)
    spec = _exploring(world.spec, 0.5, 0.1, 10_000)
    found = evaluate(spec, world.episodes, world.good, None, logged=0)
    states = States(world.episodes.context, world.episodes.mask)
    worth = (world.good.act(states, 0.5).propensity * world.truth).sum(axis=1).mean()
    greedy = (world.good.act(states, 0.1).propensity * world.truth).sum(axis=1).mean()
    want = worth - world.value(None)
    assert found.difference.low < want < found.difference.high
    assert not found.difference.low < greedy - world.value(None) < found.difference.high


def test_a_start_below_the_floor_is_the_least_that_logged(world: Any) -> None:
    """.02 -> overshoot A / .02 - 1, not A / .1 - 1; 0 promises nothing about weights."""
    propensity = world.episodes.propensity
    for start, want in ((0.02, overshoot(4, 0.02, 0.02)), (0.0, math.inf)):
        spec = _exploring(world.spec, start, 0.1, 1000)
        setting = bounds.prepare(spec, world.episodes, start, 1)
        assert setting.epsilon == start
        assert setting.known.overshoot == pytest.approx(want)
    assert propensity.min() > 0.02 / 4
    judging = HeldOut(_exploring(world.spec, 0.02, 0.1, 1000), world.episodes, None)
    assert judging._setting is not None
    assert judging._setting.known.overshoot == pytest.approx(overshoot(4, 0.02, 0.02))
    found = evaluate(_exploring(world.spec, 0.0, 0.1, 1), world.episodes, world.good, None)
    assert math.isfinite(found.difference.low)


def test_a_negative_count_is_refused(world: Any) -> None:
    with pytest.raises(ShouldFixArgument, match="logged=-1"):
        evaluate(world.spec, world.episodes, world.good, None, logged=-1)


def test_every_estimator_has_a_bootstrap_interval_and_dr_has_betting_bounds(world: Any) -> None:
    found = evaluate(world.spec, world.episodes, world.good, None)
    drawn = [e for e in found.intervals if "bootstrap" in e.method]
    assert [e.name for e in drawn] == list(NAMES)
    for mine, t in zip(drawn, found.estimates, strict=True):
        assert mine.value == pytest.approx(t.value, abs=1e-12)
        assert (mine.n, mine.clusters, mine.confidence) == (t.n, t.clusters, t.confidence)
        assert mine.low < mine.value < mine.high
        assert mine.high - mine.low == pytest.approx(t.high - t.low, rel=0.15)
        assert "t interval" in t.method
        assert "1,000 resamples" in mine.method
    (bet,) = (e for e in found.intervals if "betting" in e.method)
    dr = found.estimates[NAMES.index("dr")]
    assert bet.name == "dr"
    assert bet.value == dr.value
    assert bet.low < dr.low < world.value(world.good) < dr.high < bet.high
    assert "error 0.025 on each side" in bet.method


def test_bounds_of_a_value_that_contradict_what_was_declared_are_none(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> tuple[float, float]:
        return 0.2, 0.1

    monkeypatch.setattr("rl.off_policy.value_bounds.bounds_of_value", broken)
    found = evaluate(world.spec, world.episodes, world.good, None)
    (bet,) = (e for e in found.intervals if "betting" in e.method)
    assert math.isnan(bet.low)
    assert math.isnan(bet.high)


def _paced(episodes: EncodedEpisodes, hours: float) -> EncodedEpisodes:
    """Each person's decisions in pairs, an hour apart, then a pause of ``hours``."""
    order = np.argsort(episodes.person, kind="stable")
    rank = np.empty(len(episodes), dtype=np.int64)
    starts = np.r_[True, np.diff(episodes.person[order]) != 0]
    first = np.flatnonzero(starts)
    rank[order] = np.arange(len(order)) - first[np.cumsum(starts) - 1]
    when = (rank // 2) * (hours + 1) * HOUR + (rank % 2) * HOUR
    return dataclasses.replace(episodes, timestamp=when.astype(float))


def test_long_journeys_are_refused_in_a_sentence(world: Any) -> None:
    found = evaluate(world.spec, world.episodes, world.good, None)
    assert found.journeys is None
    assert found.baseline_journeys is None
    assert "cannot be judged off-policy" in found.journeys_refused
    assert "ends_after_hours" in found.journeys_refused
    assert not any(e.name == "journeys" for e in found.intervals)


def test_short_journeys_have_a_value_and_so_has_the_baseline(
    draw_world: Callable[..., Any],
) -> None:
    world = draw_world(33, people=2000, mean_episodes=3)
    ends = world.spec.journeys.ends_after_hours
    episodes = _paced(world.episodes, ends + 1)
    found = evaluate(world.spec, episodes, world.good, None)
    assert found.journeys_refused == ""
    assert found.journeys is not None
    assert found.baseline_journeys is not None
    held = episodes.holdout
    people = np.bincount(episodes.person[held])
    count = int(((people + 1) // 2).sum())
    assert found.journeys.n == count
    assert found.baseline_journeys.value == pytest.approx(episodes.reward[held].sum() / count)
    # rewards do not depend on earlier actions here, so a journey is worth its steps' one-step values
    states = States(episodes.context[held], episodes.mask[held])
    worth = (world.good.act(states, 0.1).propensity * world.truth[held]).sum() / count
    assert found.journeys.low < worth < found.journeys.high
    (drawn,) = (e for e in found.intervals if e.name == "journeys")
    assert "bootstrap" in drawn.method
    assert drawn.low < worth < drawn.high
    duel = evaluate(world.spec, episodes, world.bad, world.good)
    assert duel.baseline_journeys is not None
    assert duel.baseline_journeys.value == pytest.approx(found.journeys.value)


def test_a_short_pause_joins_what_a_long_one_parts(draw_world: Callable[..., Any]) -> None:
    world = draw_world(33, people=2000, mean_episodes=3)
    ends = world.spec.journeys.ends_after_hours
    joined = evaluate(world.spec, _paced(world.episodes, ends - 1), world.good, None)
    assert joined.journeys is None


def test_incomplete_journeys_are_left_out_whole_and_counted(draw_world: Callable[..., Any]) -> None:
    world = draw_world(34, people=2000, mean_episodes=3)
    episodes = _paced(world.episodes, world.spec.journeys.ends_after_hours + 1)
    whole = evaluate(world.spec, episodes, world.good, None).journeys
    reward = episodes.reward.copy()
    second = np.flatnonzero(episodes.holdout & (episodes.timestamp == HOUR))[:40]
    reward[second] = math.nan
    holed = dataclasses.replace(episodes, reward=reward)
    found = evaluate(world.spec, holed, world.good, None).journeys
    assert whole is not None
    assert found is not None
    assert found.n == whole.n - 40
    assert "40 incomplete ones left out" in found.method
    elsewhere = np.zeros(len(episodes), dtype=bool)
    elsewhere[second] = True  # another policy took the second step
    compared = dataclasses.replace(episodes, comparison=elsewhere)
    without = evaluate(world.spec, compared, world.good, None).journeys
    assert without is not None
    assert without.n == whole.n - 40


def test_no_complete_journey_is_said(world: Any) -> None:
    episodes = world.episodes
    reward = episodes.reward.copy()
    first = np.unique(episodes.person, return_index=True)[1]
    reward[first] = math.nan
    found = evaluate(world.spec, dataclasses.replace(episodes, reward=reward), world.good, None)
    assert "No held-out journey has a reward" in found.journeys_refused
