from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldCollectMoreData
from rl.off_policy import regression


def _dense_ridge(episodes: EncodedEpisodes, penalty: float) -> Callable[[np.ndarray], np.ndarray]:
    """The same regression with every feature written out and one solve."""
    actions = episodes.mask.shape[1]

    def features(context: np.ndarray, action: np.ndarray) -> np.ndarray:
        hot = np.eye(actions)[action]
        x = context.astype(float)
        own = x[:, episodes.interacting]
        crossed = (hot[:, :, None] * own[:, None, :]).reshape(len(x), -1)
        return np.hstack([np.ones((len(x), 1)), x, hot, crossed])

    f = features(episodes.context, episodes.action)
    ridge = penalty * np.eye(f.shape[1])
    ridge[0, 0] = 0
    beta = np.linalg.solve(f.T @ f + ridge, f.T @ episodes.reward)

    def predict(context: np.ndarray) -> np.ndarray:
        columns = [features(context, np.full(len(context), a)) @ beta for a in range(actions)]
        return np.stack(columns, axis=1)

    return predict


@pytest.mark.parametrize("interacting", [(True, True, True), (True, False, False), (False,) * 3])
def test_equals_the_dense_solution(draw_world, interacting: tuple[bool, ...], monkeypatch) -> None:
    """With rows streamed in small blocks and one action that nobody took."""
    monkeypatch.setattr(regression, "_ROWS", 37)
    episodes = draw_world(2, people=120, masked=False).episodes
    episodes = episodes.where(episodes.action != 2)
    object.__setattr__(episodes, "interacting", np.array(interacting))
    model = regression.fit(episodes, -5.0, 5.0, penalty=3.0)
    want = _dense_ridge(episodes, 3.0)(episodes.context)
    got = np.clip(want, model.low, model.high)
    np.testing.assert_allclose(model.predict(episodes.context), got, atol=1e-9)
    assert model.low == pytest.approx(want.min())
    assert model.high == pytest.approx(want.max())


def test_finds_a_linear_truth(draw_world) -> None:
    episodes = draw_world(3, people=400, masked=False).episodes
    beta = np.random.default_rng(0).normal(0, 0.2, (3, 4))
    truth = 0.1 + episodes.context @ beta
    object.__setattr__(episodes, "reward", truth[np.arange(len(episodes)), episodes.action])
    model = regression.fit(episodes, -1.0, 1.0, penalty=1e-9)
    np.testing.assert_allclose(
        model.predict(episodes.context), np.clip(truth, model.low, model.high), atol=1e-6
    )


def test_predictions_stay_in_the_attainable_range_and_in_what_was_seen(draw_world) -> None:
    episodes = draw_world(4, people=60).episodes
    model = regression.fit(episodes, 0.0, 0.3)
    assert 0.0 <= model.low < model.high <= 0.3
    far = model.predict(np.full((5, 3), 1.0, dtype=np.float32))
    assert far.min() >= model.low
    assert far.max() <= model.high


def test_only_valid_actions_set_the_range(draw_world) -> None:
    episodes = draw_world(5, people=60, masked=False).episodes
    only = np.zeros_like(episodes.mask)
    only[np.arange(len(episodes)), episodes.action] = True
    object.__setattr__(episodes, "mask", only)
    model = regression.fit(episodes, -1.0, 1.0)
    taken = model.predict(episodes.context)[only]
    assert (model.low, model.high) == (pytest.approx(taken.min()), pytest.approx(taken.max()))


def test_no_episode_is_refused(draw_world) -> None:
    episodes = draw_world(4, people=10).episodes
    with pytest.raises(ShouldCollectMoreData, match="holdout_share"):
        regression.fit(episodes.where(np.zeros(len(episodes), dtype=bool)), -1, 1)
