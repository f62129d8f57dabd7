"""All bounds of a window together use up its error, and comparisons take their part of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from everloop.contracts.models import Provenance
from rl.off_policy.compare import Entrant, compare
from rl.off_policy.evaluate import HeldOut, evaluate
from rl.off_policy.shares import bound_share, pair_share
from tests.unit.off_policy.test_compare import Renamed, entrants


def test_by_hand() -> None:
    """Four learners tonight, the only night: 4 bounds at 1/8 and 6 pairs at 1/12 of alpha."""
    assert bound_share(0.05, 4, 4) == pytest.approx(0.05 / 8)
    assert pair_share(0.05, 4, 4) == pytest.approx(0.05 / 12)
    assert bound_share(0.05, 1, 1) == 0.05
    assert bound_share(0.05, 10, 1) == pytest.approx(0.005)


@pytest.mark.parametrize("nights", [(1,), (2,), (4,), (1, 1, 1), (4, 3, 1, 2), (7,) * 30])
def test_everything_a_window_shows_costs_alpha_at_most(nights: Sequence[int]) -> None:
    judged, alpha = sum(nights), 0.05
    spent = sum(
        k * bound_share(alpha, judged, k) + math.comb(k, 2) * (pair_share(alpha, judged, k))
        for k in nights
    )
    assert spent == pytest.approx(alpha)


def test_a_comparison_pays_for_what_it_shows(world: Any) -> None:
    judging = HeldOut(world.spec, world.episodes, None, candidates=3)
    found = compare(judging, entrants(world, ppo=world.bad, greedy=world.good, raw_dr=world.good))
    alpha = world.spec.thresholds.alpha
    for policy in found.policies:
        assert policy.evaluation.difference.confidence == pytest.approx(1 - 2 * alpha / 6)
    assert found.privacy_cost is not None
    for shown in (*found.differences, found.privacy_cost):
        assert shown.confidence == pytest.approx(1 - 2 * alpha / 6)
        assert f"error {alpha / 6:g} on each side" in shown.method
    alone = evaluate(world.spec, world.episodes, world.good, None, candidates=3).difference
    compared = next(p for p in found.policies if p.learner == "greedy").evaluation.difference
    assert compared.low < alone.low


def test_one_policy_under_two_names_is_one(world: Any) -> None:
    twice = [
        Entrant(name, Renamed(world.good, "same"), Provenance.PRIVATE_RELEASE)
        for name in ("ppo", "greedy")
    ]
    found = compare(HeldOut(world.spec, world.episodes, None), twice)
    assert found.best.evaluation.difference.confidence == pytest.approx(
        1 - 2 * world.spec.thresholds.alpha
    )


def test_all_intervals_of_a_night_hold_at_once(draw_world: Callable[..., Any]) -> None:
    """Bounds against the baseline, differences to the chosen one and privacy's cost: one family."""
    trials, alpha, wrong = 60, 0.1, 0
    truth = draw_world(999, people=20_000, mean_episodes=3)
    worth = {"ppo": truth.value(truth.bad), "greedy": truth.value(truth.good)}
    worth["raw_dr"], logged = worth["greedy"], truth.value(None)
    for seed in range(trials):
        drawn = draw_world(seed, people=300, mean_episodes=3, alpha=alpha)
        judging = HeldOut(drawn.spec, drawn.episodes, None, candidates=3)
        night = entrants(drawn, ppo=drawn.bad, greedy=drawn.good, raw_dr=drawn.good)
        found = compare(judging, night)
        shown = [(p.evaluation.difference, worth[p.learner] - logged) for p in found.policies]
        shown += [(d, worth[found.chosen] - worth[d.name]) for d in found.differences]
        wrong += any(not d.low <= want <= d.high for d, want in shown)
    # alpha for the lower and alpha for the upper sides
    assert wrong <= trials * 2 * alpha + 3 * math.sqrt(trials * 2 * alpha * (1 - 2 * alpha))
