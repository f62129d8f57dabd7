"""Figures of the heads on held-out people: by hand, and intervals that cover a known truth."""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.evaluation import Estimate
from synthetic.heads import head_figures
from synthetic.heads.intervals import root_mean_square_of, share_of
from synthetic.user_model.linear import LinearUserModel
from tests.unit.synthetic.releases import FEATURES, model_of, random_weights
from tests.unit.synthetic.world import SPEC, make

REPEATED = 3


@cache
def model() -> LinearUserModel:
    return model_of(random_weights(7, 0.6))


def figures(episodes: EncodedEpisodes) -> dict[str, Estimate]:
    return {figure.name: figure for figure in head_figures(SPEC, model(), episodes)}


def clustered(people: int, seed: int) -> EncodedEpisodes:
    """Held-out people who do everything ``REPEATED`` times over, which naive intervals would count."""
    once = make(people, each=3, seed=seed, holdout_share=1.0)
    rows = np.repeat(np.arange(len(once)), REPEATED)
    again = {
        field.name: getattr(once, field.name)[rows]
        for field in dataclasses.fields(once)
        if field.name not in ("people", "interacting", "encoder", "slate")
    }
    return dataclasses.replace(once, **again)


def test_pairings_by_hand() -> None:
    episodes = make(200, holdout_share=0.5)
    found = figures(episodes)
    rows = episodes.holdout & (episodes.action == 1)
    true = episodes.reward[rows] >= SPEC.reward.success_at
    said = model().acceptance(episodes.context[rows], episodes.action[rows]) > 0.5
    hits, wrong = int((true & said).sum()), int((true != said).sum())
    assert found["pairing_accuracy"].value == pytest.approx((true == said).mean())
    assert found["pairing_f1"].value == pytest.approx(2 * hits / (2 * hits + wrong))
    shares = said[true].mean(), (~said)[~true].mean()
    assert found["pairing_balanced_accuracy"].value == pytest.approx(np.mean(shares))
    majority = max(true.mean(), 1.0 - true.mean())
    assert found["pairing_majority_share"].value == pytest.approx(majority)
    assert found["pairing_accuracy"].n == rows.sum()
    assert found["pairing_accuracy"].clusters == len(set(episodes.person[rows].tolist())) <= 100
    for figure in found.values():
        assert figure.low < figure.value < figure.high


def test_errors_by_hand() -> None:
    episodes = make(200, holdout_share=0.5)
    found, rows = figures(episodes), episodes.holdout
    said = model().expected_signals(episodes.context[rows], episodes.action[rows])
    away = (said - episodes.signals[rows]) * [1.0, 0.5]
    root = np.sqrt(np.nanmean(away**2, axis=0))
    assert found["engagement_rmse"].value == pytest.approx(root[0])
    assert found["thumb_rmse"].value == pytest.approx(root[1])
    thumbs = episodes.signals[rows, 1] / 2.0
    assert found["thumb_constant_rmse"].value == pytest.approx(np.nanstd(thumbs))
    # rows of a person follow each other, newest last
    last = np.r_[episodes.person[1:] != episodes.person[:-1], True]
    now = np.flatnonzero(rows & ~last)
    resting = episodes.context.copy()
    for row in now:
        mine = (episodes.person == episodes.person[row]) & (np.arange(len(rows)) <= row)
        resting[row, FEATURES.moving] = episodes.context[mine][:, FEATURES.moving].mean(axis=0)
    moved = model().next_context(episodes.context[now], episodes.action[now], resting[now])
    true = episodes.context[now + 1][:, FEATURES.moving]
    value = math.sqrt(float(((moved - true) ** 2).mean()))
    assert found["next_emotion_rmse"].value == pytest.approx(value)
    assert found["next_emotion_rmse"].n == len(now)
    stays = episodes.context[now][:, FEATURES.moving] - true
    unchanged = found["next_emotion_unchanged_rmse"].value
    assert unchanged == pytest.approx(math.sqrt(float((stays**2).mean())), rel=1e-6)


def test_the_evaluation_alone_says_the_same_of_single_decisions() -> None:
    episodes = make(200, holdout_share=0.5)
    assert figures(episodes) == figures(episodes.evaluation)


def test_intervals_cover_the_truth() -> None:
    truth = {name: figure.value for name, figure in figures(clustered(20_000, 1)).items()}
    covered = dict.fromkeys(truth, 0)
    naive, runs = 0, 150
    for run in range(runs):
        episodes = clustered(60, 100 + run)
        for name, figure in figures(episodes).items():
            covered[name] += figure.low <= truth[name] <= figure.high
        alone = dataclasses.replace(episodes, person=np.arange(len(episodes)))
        rows = alone.action == 1
        right = (alone.reward >= SPEC.reward.success_at) == (
            model().acceptance(alone.context, alone.action) > 0.5
        )
        figure = share_of("naive", right[rows].astype(np.float64), alone.person[rows])
        naive += figure.low <= truth["pairing_accuracy"] <= figure.high
    # 95 % of 150 is 142.5 with a standard deviation of 2.7
    assert min(covered.values()) >= 134, covered
    assert naive < 125


def test_what_was_not_seen_is_left_out() -> None:
    episodes = make(50, each=1, holdout_share=1.0)
    nobody = episodes.where(episodes.action != 1)
    assert not [name for name in figures(nobody) if name.startswith(("pairing", "next"))]
    assert figures(episodes.where(np.zeros(50, dtype=np.bool_))) == {}
    alone = share_of("x", np.array([1.0, 0.0]), np.array([3, 3]))
    assert math.isnan(alone.low)
    assert math.isnan(root_mean_square_of("x", np.zeros(4), np.arange(4)).high)
