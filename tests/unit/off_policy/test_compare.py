"""Learners on the same held-out people: shared regression, the rule of choice, and attacks on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import PolicyOutput, Provenance, States
from rl.off_policy import regression
from rl.off_policy.compare import Entrant, compare
from rl.off_policy.evaluate import HeldOut, evaluate

PRIVATE, RAW = Provenance.PRIVATE_RELEASE, Provenance.RAW_LOG


class Renamed:
    """Another policy's decisions under another version; counts how often it is asked."""

    def __init__(self, policy: Any, version: str) -> None:
        self._policy, self.version, self.encoder = policy, version, policy.encoder
        self.asked = 0

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        self.asked += 1
        answer: PolicyOutput = self._policy.act(states, epsilon)
        return answer


def entrants(world: Any, **policies: Any) -> list[Entrant]:
    return [
        Entrant(name, Renamed(policy, name), RAW if name == "raw_dr" else PRIVATE)
        for name, policy in policies.items()
    ]


def held_out(world: Any, candidates: int = 3) -> HeldOut:
    return HeldOut(world.spec, world.episodes, None, candidates=candidates)


def test_a_better_alternative_is_chosen(world: Any) -> None:
    found = compare(held_out(world), entrants(world, ppo=world.bad, lin_ts=world.good))
    assert (found.chosen, found.distinguishable) == ("lin_ts", True)
    assert "lin_ts has the best lower bound" in found.reason
    assert "tell it from every other one" in found.reason
    (gap,) = found.differences
    want = world.value(world.good) - world.value(world.bad)
    assert gap.name == "ppo"
    assert 0 < gap.low < want < gap.high


def test_the_default_stays_where_it_is_best_or_equal(world: Any) -> None:
    best = compare(held_out(world), entrants(world, lin_ts=world.bad, ppo=world.good))
    assert best.chosen == "ppo"
    tied = compare(held_out(world), entrants(world, greedy=world.good, ppo=world.good))
    assert (tied.chosen, tied.distinguishable) == ("ppo", False)
    assert "ppo has the best lower bound" in tied.reason
    assert "do not show that it is better than greedy (difference 0.0000 [" in tied.reason
    alone = compare(held_out(world), entrants(world, ppo=world.bad, raw_dr=world.good))
    assert alone.distinguishable
    assert alone.reason == "ppo is the only policy that may be shipped."


class Tilted:
    """A hardly better policy: its own choice with 5 % of another's mixed in."""

    version, encoder = "tilted", ""

    def __init__(self, policy: Any, other: Any) -> None:
        self._policy, self._other, self.encoder = policy, other, policy.encoder

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        own: PolicyOutput = self._policy.act(states, epsilon)
        other: PolicyOutput = self._other.act(states, epsilon)
        return replace(own, propensity=0.97 * own.propensity + 0.03 * other.propensity)


def test_the_best_lower_bound_is_chosen_where_people_cannot_tell_and_this_is_said(
    world: Any,
) -> None:
    worse = Tilted(world.good, world.bad)
    found = compare(held_out(world), entrants(world, ppo=worse, greedy=world.good))
    low = {p.learner: p.evaluation.difference.low for p in found.policies}
    assert low["greedy"] > low["ppo"]
    (gap,) = found.differences
    assert gap.low < 0 < gap.high
    assert (found.chosen, found.distinguishable) == ("greedy", False)
    assert "do not show that it is better than ppo (difference " in found.reason


def test_the_default_is_left_where_its_overlap_allows_no_estimate(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging = held_out(world)
    judge = judging.evaluate

    def blind(policy: Any, **named: Any) -> Any:
        found = judge(policy, **named)
        if policy.version not in unusable:
            return found
        return replace(found, overlap=replace(found.overlap, problems=("No overlap.",)))

    monkeypatch.setattr(judging, "evaluate", blind)
    unusable = {"ppo"}
    assert compare(judging, entrants(world, ppo=world.good, greedy=world.bad)).chosen == "greedy"
    unusable = {"greedy"}
    assert compare(judging, entrants(world, ppo=world.bad, greedy=world.good)).chosen == "ppo"


def test_the_raw_logs_policy_is_never_chosen_and_shows_the_cost(world: Any) -> None:
    found = compare(held_out(world), entrants(world, ppo=world.bad, raw_dr=world.good))
    assert found.chosen == "ppo"
    assert found.privacy_cost is not None
    want = world.value(world.good) - world.value(world.bad)
    assert 0 < found.privacy_cost.low < want < found.privacy_cost.high
    (gap,) = found.differences
    assert gap.value == pytest.approx(-found.privacy_cost.value)


def test_a_report_only_learner_cannot_claim_private_releases(world: Any) -> None:
    with pytest.raises(ShouldFixArgument, match="raw_dr is not deployable"):
        Entrant("raw_dr", Renamed(world.good, "v"), PRIVATE)


def test_the_raw_logs_weights_cannot_enter_under_another_name(world: Any) -> None:
    smuggled = [
        Entrant("ppo", Renamed(world.bad, "a"), PRIVATE),
        Entrant("lin_ts", Renamed(world.good, "b"), PRIVATE),
        Entrant("raw_dr", Renamed(world.good, "b"), RAW),
    ]
    with pytest.raises(ShouldFixArgument, match="lin_ts has the weights"):
        compare(held_out(world), smuggled)


def test_the_default_learner_is_needed_and_names_are_distinct(world: Any) -> None:
    with pytest.raises(ShouldFixArgument, match="default learner ppo"):
        compare(held_out(world), entrants(world, greedy=world.good))
    twice = entrants(world, ppo=world.good) * 2
    with pytest.raises(ShouldFixArgument, match="not distinct"):
        compare(held_out(world), twice)


def test_one_regression_and_one_question_serve_all(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = 0
    original = regression.fit

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal fits
        fits += 1
        return original(*arguments, **named)

    monkeypatch.setattr(regression, "fit", counted)
    rivals = entrants(world, ppo=world.bad, greedy=world.good, lin_ts=world.good, raw_dr=world.bad)
    found = compare(held_out(world), rivals[:3])
    assert fits == 1
    once = rivals[0].policy.asked  # type: ignore[attr-defined]
    assert once == rivals[1].policy.asked  # type: ignore[attr-defined]
    rows = len(world.episodes)
    # at the judged states, the pilot's and those of whole journeys
    assert once <= 3 * (1 + rows // 16_384)
    assert len(found.policies) == 3


def test_each_is_judged_as_it_would_be_alone(world: Any) -> None:
    found = compare(held_out(world, 2), entrants(world, ppo=world.bad, greedy=world.good))
    rival = Renamed(world.good, "greedy")
    alone = evaluate(world.spec, world.episodes, rival, None, candidates=2, compared=2)
    judged = next(p for p in found.policies if p.learner == "greedy").evaluation
    assert judged.difference == alone.difference
    assert judged.estimates == alone.estimates
    assert judged.candidates == 2


def test_nobody_to_judge_on_keeps_the_default(world: Any) -> None:
    unlogged = replace(world.episodes, propensity=np.full(len(world.episodes), np.nan))
    judging = HeldOut(world.spec, unlogged, None, candidates=2)
    found = compare(judging, entrants(world, ppo=world.bad, greedy=world.good, raw_dr=world.good))
    assert found.chosen == "ppo"
    assert "No policy can be judged" in found.reason
    assert found.privacy_cost is not None
    assert np.isnan(found.privacy_cost.low)
    assert not found.distinguishable
