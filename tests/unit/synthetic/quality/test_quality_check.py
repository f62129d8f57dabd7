"""Quality checks: good generators pass; collapsed, copying and useless ones are refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.figures import QualityFigures
from everloop.contracts.simulation import ProfileBatch, Responses
from synthetic.closeness import closeness
from synthetic.quality import check_quality
from tests.unit.synthetic.world import LAYOUT, SPEC, contexts, make, truth

EPISODES = make(600, each=3, holdout_share=0.5)


class Model:
    """Expected signals by a rule; ``sharpness`` 1 is the truth, 0 a constant, -1 the opposite."""

    release_id = "m" * 32
    parameters = 1

    def __init__(self, sharpness: float = 1.0) -> None:
        self.sharpness = sharpness

    def expected_signals(self, context: Float32, action: Int) -> Float:
        share = truth(context)[np.arange(len(action)), action]
        share = 0.5 + self.sharpness * (share - 0.5)
        return np.stack([share, 2 * share - 1], axis=1)

    def expected_reward(self, context: Float32, action: Int) -> Float:
        raise NotImplementedError

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        raise NotImplementedError


def profiles(context: Float32) -> ProfileBatch:
    return ProfileBatch(
        context=context.astype(np.float32),
        mask=np.ones((len(context), 4), dtype=np.bool_),
        weight=np.ones(len(context)),
        encoder=LAYOUT.encoder,
        release_id="p" * 32,
    )


GOOD = profiles(contexts(500, np.random.default_rng(77)))


def check(
    people: ProfileBatch = GOOD,
    model: Model | None = None,
    episodes: EncodedEpisodes = EPISODES,
    remaining: float | None = None,
) -> QualityFigures:
    return check_quality(SPEC, LAYOUT, people, model or Model(), episodes, remaining)


def status(figures: QualityFigures, name: str) -> CheckStatus:
    return named(figures, name).status


def named(figures: QualityFigures, name: str) -> Check:
    return next(c for c in figures.checks if c.name == name)


def estimate(figures: QualityFigures, name: str) -> Estimate:
    return next(e for e in figures.estimates if e.name == name)


def test_a_good_generator_and_model_pass_everything() -> None:
    figures = check(remaining=0.6)
    assert {c.status for c in figures.checks} == {CheckStatus.PASSED}
    assert figures.inside_boundary
    assert [c.name for c in figures.checks] == [
        "distribution_distance",
        "diversity",
        "exact_copies",
        "remembered_people",
        "user_model_skill",
    ]
    distance = estimate(figures, "distribution_distance")
    assert 0.0 < distance.low <= distance.value < 0.05
    assert distance.clusters == 300
    assert estimate(figures, "diversity").value == pytest.approx(1.0, abs=0.1)
    assert estimate(figures, "nearer_training").value == pytest.approx(0.5, abs=0.08)
    assert estimate(figures, "exact_copies").value == 0.0
    assert estimate(figures, "remaining_epsilon").value == 0.6


def test_a_collapsed_generator_is_refused() -> None:
    one = contexts(1, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    collapsed = np.repeat(one, 500, axis=0)
    collapsed[:, :3] += rng.normal(0, 0.02, (500, 3))
    figures = check(profiles(collapsed))
    assert status(figures, "diversity") is CheckStatus.FAILED
    assert "collapsed" in named(figures, "diversity").reason
    assert status(figures, "distribution_distance") is CheckStatus.FAILED


def test_a_copying_generator_is_refused() -> None:
    copied = EPISODES.training.context[:400]
    figures = check(profiles(copied))
    assert status(figures, "exact_copies") is CheckStatus.FAILED
    assert "400 of 400" in named(figures, "exact_copies").reason
    assert status(figures, "remembered_people") is CheckStatus.FAILED
    assert status(figures, "distribution_distance") is CheckStatus.PASSED


def test_one_copy_among_many_is_refused() -> None:
    mixed = GOOD.context.copy()
    mixed[17] = EPISODES.context[EPISODES.holdout][3]
    figures = check(profiles(mixed))
    assert status(figures, "exact_copies") is CheckStatus.FAILED
    assert named(figures, "exact_copies").value == 1.0
    assert status(figures, "remembered_people") is CheckStatus.PASSED


def test_a_generator_that_blurs_what_it_remembers_is_refused() -> None:
    rng = np.random.default_rng(5)
    remembered = EPISODES.training.context[:500].copy()
    remembered[:, :3] += rng.normal(0, 0.01, (500, 3)).astype(np.float32)
    remembered = np.clip(remembered, -1, 1)
    figures = check(profiles(remembered))
    assert status(figures, "exact_copies") is CheckStatus.PASSED
    assert status(figures, "remembered_people") is CheckStatus.FAILED


def test_a_shifted_generator_is_refused() -> None:
    shifted = GOOD.context.copy()
    shifted[:, :5] = np.clip(shifted[:, :5] + 0.8, -1, 1)
    shifted[:, [3]] = 0.0
    assert status(check(profiles(shifted)), "distribution_distance") is CheckStatus.FAILED


def test_skill_by_hand() -> None:
    held = EPISODES.where(EPISODES.holdout)
    figures = check()
    expected = Model().expected_signals(held.context, held.action)
    skills = []
    for index in range(2):
        known = np.isfinite(held.signals[:, index])
        found = held.signals[known, index]
        error = ((found - expected[known, index]) ** 2).mean()
        skills.append(1 - error / found.var())
        name = SPEC.signal_names[index]
        own = 0.5 if index == 1 else 1.0
        assert estimate(figures, f"rmse_{name}").value == pytest.approx(own * math.sqrt(error))
        assert estimate(figures, f"skill_{name}").value == pytest.approx(skills[-1])
        rests_on = (int(known.sum()), len(np.unique(held.person[known])))
        for figure in (estimate(figures, f"rmse_{name}"), estimate(figures, f"skill_{name}")):
            assert (figure.n, figure.clusters) == rests_on
    overall = estimate(figures, "user_model_skill")
    assert overall.value == pytest.approx(0.4 * skills[0] + 0.6 * skills[1])
    assert overall.low < overall.value < overall.high
    assert overall.low > 0.05


def test_a_model_worse_than_a_constant_is_refused() -> None:
    figures = check(model=Model(-1.0))
    assert status(figures, "user_model_skill") is CheckStatus.FAILED
    assert "worse than a constant" in named(figures, "user_model_skill").reason


def test_a_constant_model_is_not_enough() -> None:
    few = make(80, each=2, seed=6, holdout_share=0.5)
    figures = check(model=Model(0.02), episodes=few)
    assert status(figures, "user_model_skill") is CheckStatus.INSUFFICIENT


def test_comparison_rows_are_not_compared() -> None:
    spoilt = dataclasses.replace(
        EPISODES,
        comparison=EPISODES.holdout & (np.arange(len(EPISODES)) % 3 == 0),
    )
    spoilt.signals[spoilt.comparison] = -1.0
    figures = check(episodes=spoilt)
    assert estimate(figures, "user_model_skill").n == 600
    assert status(figures, "user_model_skill") is CheckStatus.PASSED


def test_signals_that_never_vary_or_never_come() -> None:
    silent = make(100, each=2, holdout_share=0.5)
    silent.signals[:, 1] = np.nan
    silent.signals[:, 0] = 0.0
    figures = check(episodes=silent)
    assert status(figures, "user_model_skill") is CheckStatus.INSUFFICIENT
    assert "not tested" in named(figures, "user_model_skill").reason
    assert [e.name for e in figures.estimates if e.name.startswith("rmse")] == ["rmse_engagement"]
    unrewarded = dataclasses.replace(silent, reward=np.full(200, np.nan))
    unrewarded = dataclasses.replace(
        unrewarded, reward=np.where(silent.holdout, np.nan, silent.reward)
    )
    figures = check(episodes=unrewarded)
    assert status(figures, "user_model_skill") is CheckStatus.INSUFFICIENT


@pytest.mark.parametrize("people", [10, 58])
def test_too_few_people_are_insufficient(people: int) -> None:
    figures = check(episodes=make(people, holdout_share=0.5), remaining=0.1)
    assert [c.status for c in figures.checks] == [CheckStatus.INSUFFICIENT]
    assert [e.name for e in figures.estimates] == ["remaining_epsilon"]


def test_no_training_people_leave_copies_unknown() -> None:
    figures = check(episodes=make(100, holdout_share=1.0))
    assert status(figures, "remembered_people") is CheckStatus.INSUFFICIENT


def test_other_encoders_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="small-1, small-2"):
        check(dataclasses.replace(GOOD, encoder="small-2"))


def test_contexts_of_categories_alone_cannot_show_copies() -> None:
    layout = dataclasses.replace(
        LAYOUT,
        width=4,
        blocks=tuple(
            dataclasses.replace(b, start=b.start - 9) for b in LAYOUT.blocks if b.field == "group"
        ),
    )
    rng = np.random.default_rng(1)
    made, learned, held = (contexts(200, rng)[:, 9:13] for _ in range(3))
    found = closeness(layout, made, learned, held, rng)
    assert not found.comparable
    assert found.copies == 0
    assert found.nearer_training == pytest.approx(0.5, abs=0.1)


def test_figures_repeat() -> None:
    assert check() == check()
