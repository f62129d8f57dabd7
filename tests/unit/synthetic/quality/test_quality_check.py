"""Quality checks: good generators pass; collapsed, copying and useless ones are refused."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.figures import QualityFigures
from everloop.contracts.simulation import ProfileBatch, Responses
from synthetic.quality import check_quality
from synthetic.quality.auc import auc
from synthetic.quality.closeness import closeness
from synthetic.quality.yardstick import limited
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

    def acceptance(self, context: Float32, action: Int) -> Float:
        """The thumb decides where it is present, as it nearly always is on rewarded decisions."""
        return (self.expected_signals(context, action)[:, 1] + 1) / 2

    def end_chance(self, context: Float32, action: Int) -> Float:
        raise NotImplementedError

    def expected_reward(self, context: Float32, action: Int) -> Float:
        return self.expected_signals(context, action) @ np.array([0.4, 0.6])

    def respond(
        self,
        resting: Float32,
        context: Float32,
        action: Int,
        rng: np.random.Generator,
    ) -> Responses:
        means = self.expected_signals(context, action)
        thumb = np.where(rng.random(len(action)) < (means[:, 1] + 1) / 2, 1.0, -1.0)
        signals = np.stack([means[:, 0], thumb], axis=1)
        ended = np.zeros(len(action), dtype=np.bool_)
        return Responses(signals, signals @ np.array([0.4, 0.6]), context, ended)


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
        "least_diverse_cluster",
        "two_sample_auc",
        "exact_copies",
        "remembered_people",
        "near_copies",
        "tstr_share",
        "user_model_skill",
    ]
    distance = estimate(figures, "distribution_distance")
    assert 0.0 < distance.low <= distance.value < 0.05
    assert distance.clusters == 300
    assert estimate(figures, "diversity").value == pytest.approx(1.0, abs=0.1)
    assert estimate(figures, "two_sample_auc").value == pytest.approx(0.5, abs=0.07)
    assert estimate(figures, "nearer_training").value == pytest.approx(0.5, abs=0.08)
    assert estimate(figures, "exact_copies").value == 0.0
    assert estimate(figures, "remaining_epsilon").value == 0.6
    assert estimate(figures, "tstr_share").value > 0.95
    for figure in figures.estimates:
        if figure.name not in ("exact_copies", "remaining_epsilon"):
            assert (
                figure.low <= figure.value <= figure.high or figure.name == "distribution_distance"
            )
            assert figure.n > 0


def test_a_collapsed_generator_is_refused() -> None:
    one = contexts(1, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    collapsed = np.repeat(one, 500, axis=0)
    collapsed[:, :3] += rng.normal(0, 0.02, (500, 3))
    figures = check(profiles(collapsed))
    assert status(figures, "diversity") is CheckStatus.FAILED
    assert "collapsed" in named(figures, "diversity").reason
    assert status(figures, "least_diverse_cluster") is CheckStatus.FAILED
    assert status(figures, "two_sample_auc") is CheckStatus.FAILED
    assert status(figures, "distribution_distance") is CheckStatus.FAILED


def test_a_generator_with_a_few_kinds_of_people_is_refused() -> None:
    rng = np.random.default_rng(8)
    modes = GOOD.context[:6][rng.integers(0, 6, 500)].copy()
    modes[:, :3] += rng.normal(0, 0.02, (500, 3))
    figures = check(profiles(modes))
    assert status(figures, "diversity") is CheckStatus.FAILED
    assert status(figures, "two_sample_auc") is CheckStatus.FAILED


def test_half_of_the_people_being_one_person_is_refused() -> None:
    half = GOOD.context.copy()
    half[::2] = half[0]
    figures = check(profiles(half))
    assert status(figures, "least_diverse_cluster") is CheckStatus.FAILED
    assert status(figures, "diversity") is CheckStatus.PASSED


def test_right_marginals_of_people_who_cannot_be_are_refused() -> None:
    """Real people's three moods agree, synthetic people's never do; each by itself is right."""
    rng = np.random.default_rng(9)
    one = make(600, each=3, holdout_share=0.5)
    shift = np.sign(one.context[:, :1])
    one.context[:, 1:3] = np.clip(0.9 * shift + 0.05 * rng.normal(size=(1800, 2)), -1, 1)
    shuffled = one.context[rng.permutation(1800)[:500]].copy()
    shuffled[:, 1:3] *= -1.0
    figures = check(profiles(shuffled), episodes=one)
    assert status(figures, "distribution_distance") is CheckStatus.PASSED
    assert status(figures, "two_sample_auc") is CheckStatus.FAILED


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
    assert status(figures, "near_copies") is CheckStatus.FAILED


def test_a_few_jittered_copies_among_many_are_refused() -> None:
    rng = np.random.default_rng(15)
    mixed = GOOD.context.copy()
    mixed[:40] = EPISODES.training.context[:40]
    mixed[:40, :3] += rng.normal(0, 0.002, (40, 3)).astype(np.float32)
    figures = check(profiles(np.clip(mixed, -1, 1)))
    assert status(figures, "exact_copies") is CheckStatus.PASSED
    assert status(figures, "remembered_people") is CheckStatus.PASSED
    assert status(figures, "near_copies") is CheckStatus.FAILED


def test_small_groups_are_merged_and_then_left_out() -> None:
    held = EPISODES.where(EPISODES.holdout)
    in_b = len(np.unique(held.person[held.context[:, 10] == 1.0]))

    def groups(least: int) -> dict[str, int]:
        limits = SPEC.thresholds.model_copy(update={"fairness_min_group": least})
        spec = SPEC.model_copy(update={"protected": ("group",), "thresholds": limits})
        found = check_quality(spec, LAYOUT, GOOD, Model(), EPISODES).groups
        return {g.group: g.people for g in found}

    merged = groups(in_b + 1)
    assert set(merged) == {"a", "other groups"}
    assert merged["other groups"] > in_b
    assert set(groups(merged["other groups"] + 1)) == {"a"}


def test_responses_that_teach_the_opposite_are_refused() -> None:
    figures = check(model=Model(-1.0))
    assert status(figures, "tstr_share") is CheckStatus.FAILED
    assert estimate(figures, "tstr_auc").value < 0.5 < estimate(figures, "trtr_auc").low


def test_a_protected_group_that_is_left_out_is_refused() -> None:
    spec = SPEC.model_copy(update={"protected": ("group",)})
    figures = check_quality(spec, LAYOUT, GOOD, Model(), EPISODES)
    assert status(figures, "group_fidelity") is CheckStatus.PASSED
    groups = {(g.group, g.estimate.name): g for g in figures.groups}
    assert {name for name, _ in groups} == {"a", "b", "c"}
    assert groups["a", "acceptance_accuracy"].estimate.value > 0.6
    without = GOOD.context[GOOD.context[:, 11] == 0.0]
    figures = check_quality(spec, LAYOUT, profiles(without), Model(), EPISODES)
    assert status(figures, "group_fidelity") is CheckStatus.FAILED
    assert "group c" in named(figures, "group_fidelity").reason


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
    assert repr(check()) == repr(check())


def test_acceptance_by_hand() -> None:
    held = EPISODES.where(EPISODES.holdout & np.isfinite(EPISODES.reward))
    figures = check()
    yes = held.reward >= SPEC.reward.success_at
    chance = Model().acceptance(held.context, held.action)
    expected = Model().expected_reward(held.context, held.action)
    by_hand = {
        "acceptance_accuracy": ((chance >= 0.5) == yes).mean(),
        "acceptance_majority": max(yes.mean(), 1 - yes.mean()),
        "acceptance_auc": auc(yes, chance),
        "acceptance_brier": ((chance - yes) ** 2).mean(),
        "expected_reward_error": math.sqrt(((expected - held.reward) ** 2).mean()),
        "expected_reward_bias": (expected - held.reward).mean(),
    }
    for name, value in by_hand.items():
        assert estimate(figures, name).value == pytest.approx(value), name
    assert estimate(figures, "acceptance_accuracy").low > by_hand["acceptance_majority"]


def test_what_the_noise_cost_is_told_beside_a_reference() -> None:
    blurred, sharp = Model(0.0), Model()
    names = ("auc_private", "auc_without_noise", "auc_lost_to_noise", "auc_share_of_noiseless")
    figures = check_quality(SPEC, LAYOUT, GOOD, blurred, EPISODES, None, sharp)
    private, plain, lost, share = (estimate(figures, name) for name in names)
    assert private.value == 0.5
    assert lost.value == pytest.approx(plain.value - 0.5)
    assert lost.low > 0.1
    assert share.value == pytest.approx(0.5 / plain.value)
    assert not {e.name for e in check().estimates} & set(names)


def test_many_held_out_people_are_a_fixed_sample() -> None:
    many = make(900, each=2, holdout_share=1.0)
    few = limited(many, last=1, most=200)
    assert len(few) == len(np.unique(few.person)) == 200
    assert np.array_equal(few.person, limited(many, last=1, most=200).person)
    newest = dict(zip(many.person, many.timestamp, strict=True))
    assert all(newest[p] == t for p, t in zip(few.person, few.timestamp, strict=True))


def test_memory_is_bounded_whatever_the_log() -> None:
    """83 MB are held at 20,000 people and at 60,000: no more than a sample is looked at."""
    many = make(30_000, each=2, holdout_share=0.5)
    tracemalloc.start()
    try:
        check_quality(SPEC, LAYOUT, GOOD, Model(), many)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
