"""Gathering by person: the last episodes, newest first, and nothing unbounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixInput
from synthetic.people import gather, inputs_sha256, people_of
from tests.unit.synthetic.world import make


def shuffled(episodes: EncodedEpisodes, seed: int) -> EncodedEpisodes:
    return episodes.where(np.random.default_rng(seed).permutation(len(episodes)))  # type: ignore[arg-type]


def test_each_persons_last_episodes_newest_first() -> None:
    episodes = make(5, each=3)
    found = gather(episodes, people_of(episodes), last=2)
    assert found.people == tuple(episodes.people)
    assert found.rows.tolist() == [[2, 1], [5, 4], [8, 7], [11, 10], [14, 13]]
    np.testing.assert_allclose(found.share, 0.5)


def test_fewer_episodes_are_padded_and_weigh_their_own_mean() -> None:
    episodes = make(3, each=2)
    kept = np.ones(6, dtype=np.bool_)
    kept[2] = False
    found = gather(episodes.where(kept), people_of(episodes), last=20)
    assert found.rows.tolist() == [[1, 0], [2, -1], [4, 3]]
    np.testing.assert_allclose(found.share, [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])


def test_order_of_rows_does_not_matter() -> None:
    episodes = make(6, each=4)
    mixed = shuffled(episodes, 3)
    one, two = (gather(e, people_of(e), 3) for e in (episodes, mixed))
    assert episodes.episode_id[one.rows].tolist() == mixed.episode_id[two.rows].tolist()


def test_the_later_of_two_rows_at_one_time_is_newer() -> None:
    episodes = dataclasses.replace(make(1, each=3), timestamp=np.zeros(3))
    assert gather(episodes, people_of(episodes), 2).rows.tolist() == [[2, 1]]


def test_only_the_given_people() -> None:
    episodes = make(4)
    chosen = people_of(episodes)[1:3]
    found = gather(episodes, chosen, 20)
    assert found.people == chosen
    assert set(episodes.person[found.rows.ravel()]) == {1, 2}
    assert [len(part) for part in gather(episodes, people_of(episodes), 1).batches(3)] == [3, 1]


def test_nobody_is_nobody() -> None:
    assert len(gather(make(4), (), 20)) == 0
    assert people_of(make(4).where(np.zeros(16, dtype=np.bool_))) == ()


def test_people_without_an_episode_are_refused() -> None:
    episodes = make(4)
    with pytest.raises(ShouldFixInput, match="1 of 5 admitted people"):
        gather(episodes, (*people_of(episodes), "f" * 64), 20)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_unbounded_contexts_are_refused(value: float) -> None:
    episodes = make(4)
    episodes.context[7, 2] = value
    with pytest.raises(ShouldFixInput, match="Episode e7"):
        gather(episodes, people_of(episodes), 20)


@pytest.mark.parametrize("value", [np.inf, -1.01])
def test_unbounded_signals_are_refused_and_missing_ones_are_not(value: float) -> None:
    episodes = make(4)
    episodes.signals[3] = np.nan
    gather(episodes, people_of(episodes), 20)
    episodes.signals[5, 1] = value
    with pytest.raises(ShouldFixInput, match="Episode e5"):
        gather(episodes, people_of(episodes), 20)


def test_inputs_are_told_apart_but_not_by_rounding() -> None:
    episodes = make(4)
    before = inputs_sha256(episodes)
    episodes.signals[2, 0] += 1e-13
    assert inputs_sha256(episodes) == before
    episodes.signals[2, 0] += 1e-6
    assert inputs_sha256(episodes) != before
    assert inputs_sha256(make(4, seed=2)) != before


def test_rewards_are_inputs() -> None:
    episodes = make(4)
    before = inputs_sha256(episodes)
    episodes.reward[3] += 1e-13
    assert inputs_sha256(episodes) == before
    episodes.reward[3] = np.nan if np.isfinite(episodes.reward[3]) else 0.5
    assert inputs_sha256(episodes) != before
