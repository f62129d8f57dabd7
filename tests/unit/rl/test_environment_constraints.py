"""Journeys under limits and flags: their clock, their masks, and how far the limits hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.constraints import constraints_of
from rl.encoders import encode_context
from rl.environment import JourneyBatch, JourneyEnv, JourneySource, JourneyVectorEnv
from rl.environment.clock import Arrivals
from tests.learning.worlds import Answer, World, never, people
from tests.unit.rl.constraints.worlds import DAY, HOUR, constrained, limit, raw_limited

OFTEN = {"journeys": {"decisions_per_day": 8.0, "ends_after_hours": 48}}
CALM = np.ones((1, 6), dtype=np.bool_)


def still(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
    return np.zeros(len(action)), context, never(len(action))


def source_of(
    spec: LoopSpec, answer: Any = still, length: int = 50, mask: Any = None, pulse: float = 80
) -> JourneySource:
    context = np.repeat(encode_context(spec, [{"pulse": pulse, "mood": "even"}]), 20, axis=0)
    profiles = people(spec, context=context, mask=mask)
    changed = spec.model_copy(
        update={"training": spec.training.model_copy(update={"journey_length": length})}
    )
    return JourneySource.of(changed, World(answer), profiles)


def test_masks_are_what_the_rules_leave_of_everybodys_life() -> None:
    spec = constrained(
        [limit("intervention", per_day=2), limit("recommend_hive", "suggest_pairing", hours=5)],
        **OFTEN,
    )
    journeys = JourneyBatch(source_of(spec), 6)
    rng = np.random.default_rng(2)
    journeys.reset(rng)
    chooser = np.random.default_rng(1)
    lives: list[list[tuple[int, str]]] = [[] for _ in range(6)]
    bound = 0
    for _ in range(120):
        now, mask = journeys.now, journeys.mask
        assert now is not None
        for row, life in enumerate(lives):
            excluded = raw_limited(spec, life, int(now[row]))
            assert {spec.action_ids[i] for i in np.flatnonzero(~mask[row])} == excluded
            bound += bool(excluded)
        action = np.where(mask, chooser.random(mask.shape), -1.0).argmax(axis=1)
        step = journeys.step(action)
        for row, life in enumerate(lives):
            life.append((int(now[row]), spec.action_ids[action[row]]))
            if step.done[row]:
                life.clear()
    assert bound > 100, "the limits were met"


def test_nobody_meets_more_than_the_budget_whatever_they_are_asked() -> None:
    spec = constrained([limit("intervention", per_day=2, hours=3)], **OFTEN)
    journeys = JourneyBatch(source_of(spec), 30)
    journeys.reset(np.random.default_rng(0))
    cheer = spec.action_index["cheer"]
    made: list[list[int]] = [[] for _ in range(30)]
    for _ in range(49):
        now, mask = journeys.now, journeys.mask
        assert now is not None
        for row in np.flatnonzero(mask[:, cheer]):
            made[row].append(int(now[row]))
        journeys.step(np.where(mask[:, cheer], cheer, 0))
    for times in made:
        assert max(np.bincount(np.array(times) // DAY - 20_000)) <= 2
        assert min(np.diff(times)) >= 3 * HOUR
    assert max(len(times) for times in made) > 4


def test_a_budget_is_back_the_next_day() -> None:
    spec = constrained([limit("intervention", per_day=1)], journeys={"decisions_per_day": 0.4})
    journeys = JourneyBatch(source_of(spec), 200)
    journeys.reset(np.random.default_rng(0))
    before = journeys.now
    journeys.step(np.full(200, spec.action_index["calm"]))
    after = journeys.now
    assert before is not None
    assert after is not None
    same_day = before // DAY == after // DAY
    assert 0 < same_day.sum() < 100
    np.testing.assert_array_equal(journeys.mask[:, spec.action_index["cheer"]], ~same_day)


def test_a_flag_follows_the_state_and_not_the_start() -> None:
    spec = constrained(flags=[{"field": "pulse", "never": ["cheer"], "at_least": 150}])

    def excited(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        after = context.copy()
        after[:, 0] = -after[:, 0]
        return np.zeros(len(action)), after, never(len(action))

    journeys = JourneyBatch(source_of(spec, excited, pulse=65), 3)  # 65 and 155 lie opposite
    journeys.reset(np.random.default_rng(0))
    cheer = spec.action_index["cheer"]
    seen = [journeys.mask[:, cheer].tolist()]
    for _ in range(3):
        step = journeys.step(np.zeros(3, dtype=np.int64))
        np.testing.assert_array_equal(step.following[:, 6:] > 0.5, journeys.mask)
        seen.append(journeys.mask[:, cheer].tolist())
    assert seen == [[True] * 3, [False] * 3, [True] * 3, [False] * 3]
    assert journeys.now is None, "flags need no clock"


def test_an_action_that_a_constraint_takes_away_is_refused() -> None:
    spec = constrained([limit("intervention", per_day=0)])
    journeys = JourneyBatch(source_of(spec), 2)
    journeys.reset(np.random.default_rng(0))
    with pytest.raises(ShouldFixArgument, match="is not valid for person"):
        journeys.step(np.full(2, spec.action_index["cheer"]))


def test_profiles_that_constraints_leave_nothing_are_named() -> None:
    spec = constrained(
        [limit("intervention", per_day=5)],
        [{"field": "pulse", "never": ["wait"], "at_least": 150}],
    )
    only = np.ones((20, 6), dtype=np.bool_)
    only[7] = [name in ("wait", "cheer") for name in spec.action_ids]
    source_of(spec, mask=only)
    with pytest.raises(
        ShouldFixArgument, match=r"Profile 7 of people.*take away all of wait, cheer"
    ):
        source_of(spec, mask=only, pulse=160)


def test_a_state_that_a_journey_leaves_without_action_is_named() -> None:
    spec = constrained(flags=[{"field": "pulse", "never": ["wait"], "at_least": 150}])
    only = np.zeros((20, 6), dtype=np.bool_)
    only[:, 0] = True

    def excited(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        return np.zeros(len(action)), np.ones_like(context), never(len(action))

    journeys = JourneyBatch(source_of(spec, excited, mask=only), 3)
    journeys.reset(np.random.default_rng(0))
    with pytest.raises(ShouldFixArgument, match=r"Profile \d+ of people has no valid action"):
        journeys.step(np.zeros(3, dtype=np.int64))


def test_constraints_of_another_loop_are_refused() -> None:
    spec = constrained([limit("intervention", per_day=1)])
    other = constrained(order=range(5))
    with pytest.raises(ShouldFixArgument, match="6 dimensions and 5 actions"):
        JourneySource(World(still), people(other), 4, constraints_of(spec))


def test_journeys_under_limits_repeat_from_a_seed() -> None:
    spec = constrained([limit("intervention", per_day=1, hours=2)], **OFTEN)

    def play(seed: int) -> np.ndarray[Any, Any]:
        env = JourneyVectorEnv(source_of(spec, length=4), 5)
        seen = [env.reset(seed=seed)[0]]
        seen += [env.step(np.full(5, spec.action_index["cheer"]))[0] for _ in range(12)]
        return np.stack(seen)

    np.testing.assert_array_equal(play(1), play(1))
    assert not np.array_equal(play(1), play(2))


# it warns that the environment is not registered under a name
@pytest.mark.filterwarnings("ignore:.*spec.*:UserWarning")
def test_the_single_view_passes_gymnasiums_checker_under_constraints() -> None:
    spec = constrained(
        [limit("intervention", "recommend_hive", "suggest_pairing", per_day=0)],
        [{"field": "pulse", "never": ["walk"], "at_least": 50}],
    )
    check_env(JourneyEnv(source_of(spec)), skip_render_check=True)


def test_undeclared_constraints_cost_no_random_number() -> None:
    plain, guarded = constrained(), constrained([limit("intervention", per_day=9)])
    one, other = np.random.default_rng(4), np.random.default_rng(4)
    for spec, rng in ((plain, one), (guarded, other)):
        journeys = JourneyBatch(source_of(spec), 3)
        journeys.reset(rng)
        journeys.step(np.zeros(3, dtype=np.int64))
    bare = np.random.default_rng(4)
    unguarded = JourneyBatch(JourneySource(World(still), source_of(plain).profiles, 50), 3)
    unguarded.reset(bare)
    unguarded.step(np.zeros(3, dtype=np.int64))
    assert one.bit_generator.state == bare.bit_generator.state
    assert one.bit_generator.state != other.bit_generator.state


def test_gaps_are_exponential_and_cut_off() -> None:
    arrivals = Arrivals(per_day=0.5, most_days=7.0)
    days = arrivals.gaps(200_000, np.random.default_rng(0)) / DAY
    assert days.max() <= 7.0
    cut = 0.5 * 7.0
    mean = 2.0 - 7.0 / np.expm1(cut)
    assert days.mean() == pytest.approx(mean, abs=0.02)
    share = (1 - np.exp(-0.5 * 1.0)) / (1 - np.exp(-cut))
    assert (days < 1.0).mean() == pytest.approx(share, abs=0.005)
    first = arrivals.first(1000, np.random.default_rng(0))
    assert set(first // DAY) == {20_000}
    with pytest.raises(ShouldFixArgument, match="per_day=0"):
        Arrivals(per_day=0.0)
