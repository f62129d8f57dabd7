"""The Gymnasium views: the checker, the vector API, and actions that the mask excludes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from everloop.contracts.errors import ShouldFixArgument
from rl.environment import JourneyEnv, JourneySource, JourneyVectorEnv
from tests.learning.worlds import World, identity, loop_of, people

SPEC = loop_of(fields=2, actions=3)
HALF = np.ones((40, 3), dtype=np.bool_)
HALF[::2, 0] = False
HALF[1::2, 2] = False


def source_of(length: int = 4, **changes: Any) -> JourneySource:
    return JourneySource(World(identity), replace(people(SPEC), **changes), length)


# it warns that the environment is not registered under a name
@pytest.mark.filterwarnings("ignore:.*spec.*:UserWarning")
@pytest.mark.parametrize("changes", [{}, {"mask": HALF}])
def test_the_single_view_passes_gymnasiums_checker(changes: dict[str, Any]) -> None:
    check_env(JourneyEnv(source_of(**changes)), skip_render_check=True)


def test_the_single_view_plays_one_journey() -> None:
    env = JourneyEnv(source_of(length=2))
    first, _ = env.reset(seed=5)
    assert env.observation_space.contains(first)
    right = np.int64(first[0] > 0)
    _, reward, terminated, truncated, info = env.step(right)
    assert (reward, terminated, truncated, info) == (1.0, False, False, {})
    following, _, _, truncated, _ = env.step(np.int64(0))
    assert truncated
    assert env.observation_space.contains(following)
    assert np.array_equal(env.reset(seed=5)[0], first)


def test_an_excluded_action_is_not_taken_and_the_first_valid_one_is() -> None:
    env = JourneyEnv(source_of(mask=HALF))
    for seed in range(8):
        first, _ = env.reset(seed=seed)
        mask = env.action_masks()
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, first[4:] > 0.5)
        excluded = np.int64(np.flatnonzero(~mask)[0])
        valid = int(np.flatnonzero(mask)[0])
        _, reward, _, _, info = env.step(excluded)
        assert info == {"taken": valid}
        assert reward == float(valid == (first[0] > 0)), "the reward is the taken one's"


@pytest.mark.parametrize("action", [-1, 3])
def test_what_is_not_in_the_catalogue_is_refused(action: int) -> None:
    env = JourneyEnv(source_of())
    env.reset(seed=1)
    with pytest.raises(ShouldFixArgument, match=f"Action {action} is not in the catalogue of 3"):
        env.step(np.int64(action))


def test_the_vector_view_resets_in_the_same_step() -> None:
    env = JourneyVectorEnv(source_of(length=2), 3)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, _ = env.reset(seed=1)
    assert env.observation_space.contains(first)
    _, _, _, _, infos = env.step(np.zeros(3, dtype=np.int64))
    assert infos == {}
    state, reward, terminated, truncated, infos = env.step(np.zeros(3, dtype=np.int64))
    assert truncated.all()
    assert not terminated.any()
    assert reward.shape == (3,)
    assert infos["_final_obs"].all()
    np.testing.assert_array_equal(state, env.journeys.observation)
    np.testing.assert_array_equal(env.action_masks(), state[:, 4:] > 0.5)
    assert not np.array_equal(np.stack(infos["final_obs"]), state)


def shapes(infos: dict[str, Any]) -> dict[str, Any]:
    return {
        key: shapes(value) if isinstance(value, dict) else (value.shape, value.dtype)
        for key, value in infos.items()
    }


def test_the_vector_view_answers_as_gymnasiums_own_does() -> None:
    """One person and a world without chance: both must play the very same journeys."""
    weight = np.eye(40)[4]

    def still(context: Any, action: Any, rng: Any) -> Any:
        return (action == 1).astype(np.float64), -context, context[:, 0] * (action == 2) > 0.5

    mask = np.ones((40, 3), dtype=np.bool_)
    mask[4, 0] = False
    context = np.tile(np.array([[1.0, 0, -1, 0]], dtype=np.float32), (40, 1))
    profiles = replace(people(SPEC), weight=weight, mask=mask, context=context)
    source = JourneySource(World(still), profiles, 3)
    ours = JourneyVectorEnv(source, 4)
    theirs = SyncVectorEnv([lambda: JourneyEnv(source)] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
    np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = rng.integers(3, size=4)
        own, expected = ours.step(actions), theirs.step(actions)
        for left, right in zip(own[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype
        assert shapes(own[4]) == shapes(expected[4])
        for key in ("_final_obs", "_final_info", "taken", "_taken"):
            if key in own[4]:
                np.testing.assert_array_equal(own[4][key], expected[4][key])
        if "final_obs" in own[4]:
            for left, right in zip(own[4]["final_obs"], expected[4]["final_obs"], strict=True):
                assert (left is None) == (right is None)
                assert left is None or np.array_equal(left, right)
    theirs.close()


def test_the_vector_view_repeats_from_a_seed_and_goes_on_without_one() -> None:
    def play(seed: int) -> np.ndarray[Any, Any]:
        env = JourneyVectorEnv(source_of(mask=HALF), 5)
        seen = [env.reset(seed=seed)[0], env.reset()[0]]
        seen += [env.step(np.zeros(5, dtype=np.int64))[0] for _ in range(9)]
        return np.stack(seen)

    np.testing.assert_array_equal(play(3), play(3))
    assert not np.array_equal(play(3), play(4))
    assert not np.array_equal(play(3)[0], play(3)[1])


def test_what_the_vector_view_cannot_do_is_refused() -> None:
    env = JourneyVectorEnv(source_of(), 2)
    with pytest.raises(ShouldFixArgument, match=r"seed=\[1, 2\] is not one number"):
        env.reset(seed=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(ShouldFixArgument, match="reset_mask"):
        env.reset(options={"reset_mask": np.ones(2, dtype=np.bool_)})
    env.reset(seed=1)
    with pytest.raises(ShouldFixArgument, match=r"shape \(3,\) are not one per journey \(2,\)"):
        env.step(np.zeros(3, dtype=np.int64))
