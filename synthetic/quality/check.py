"""Are synthetic people and their answers close enough to real ones to learn a policy from?

Computed inside the trust boundary on held-out people, without noise: for operators and the gate,
never published. Intervals are bootstraps over people.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, EncodingLayout, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.figures import QualityFigures
from everloop.contracts.loop_spec import LoopSpec, SignalSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.closeness import Closeness, closeness
from synthetic.marginals import counts_by_owner, mean_divergence

CONFIDENCE = 0.95
RESAMPLES = 300
LEAST_PEOPLE = 30
"""Held-out people below which no check answers."""
LEAST_DIVERSITY = 0.5
MOST_NEARER_TRAINING = 0.55
_TWO_SIDED = 1.959963984540054
_PERCENTILE = "percentile bootstrap over people, inside the trust boundary"
_NORMAL = "normal interval with the bootstrap's deviation over people, inside the trust boundary"


def check_quality(
    spec: LoopSpec,
    layout: EncodingLayout,
    profiles: ProfileBatch,
    model: UserModel,
    episodes: EncodedEpisodes,
    remaining_epsilon: float | None = None,
) -> QualityFigures:
    """Compare profiles and user model with held-out people.

    Estimates: ``distribution_distance`` (mean KL divergence of real from synthetic marginals, nats),
    ``diversity`` (variance of synthetic over real contexts), ``nearer_training`` (share of profiles
    nearer to people that were learned from than to held-out ones; a half where nothing is
    remembered), ``exact_copies`` (share of profiles that equal a real context),
    ``user_model_skill`` (1 - squared error over that of the best constant, mean over signal types
    by their weight), the same for each type as ``skill_NAME``, and ``rmse_NAME`` in the signal's own
    range; ``remaining_epsilon`` if it is given.

    Args:
        spec: the loop; ``thresholds.max_synthetic_distance`` bounds the distance.
        layout: what the dimensions of contexts mean.
        profiles: synthetic people.
        model: the released user model.
        episodes: every encoded episode; holdout people are the yardstick.
        remaining_epsilon: what is left of the period's budget, to be shown beside.

    Raises:
        ShouldFixArgument: profiles, episodes and layout are of different encoders.
    """
    encoders = {layout.encoder, profiles.encoder, episodes.encoder}
    if len(encoders) != 1:
        raise ShouldFixArgument(
            f"Profiles, episodes and layout are of different encoders: {', '.join(sorted(encoders))}.",
            "Generate profiles from this dataset's encoding.",
        )
    held_out = episodes.where(episodes.holdout & ~episodes.comparison)
    people = len(np.unique(held_out.person))
    shown = _remaining(remaining_epsilon)
    if people < LEAST_PEOPLE or not len(profiles):
        reason = (
            f"{people} held-out people and {len(profiles)} profiles are too few to compare; at least "
            f"{LEAST_PEOPLE} people are needed."
        )
        check = Check("held_out_people", CheckStatus.INSUFFICIENT, reason, people, LEAST_PEOPLE)
        return QualityFigures(estimates=shown, checks=(check,))
    resampler = _Resampler(held_out.person)
    distance = _distance(layout, profiles, held_out, resampler)
    diversity = _diversity(layout, profiles, held_out, resampler)
    near = closeness(
        layout,
        profiles.context,
        episodes.training.context,
        held_out.context,
        np.random.default_rng([spec.training.seed, 1]),
    )
    skills, errors = _prediction(spec, model, held_out)
    estimates = (distance, diversity, *_copy_estimates(near), *skills, *errors, *shown)
    checks = (
        _distance_check(distance, spec.thresholds.max_synthetic_distance),
        _diversity_check(diversity),
        *_copy_checks(near),
        _skill_check(skills[0]),
    )
    return QualityFigures(estimates=estimates, checks=checks)


class _Resampler:
    """Bootstrap weights over the people of n rows; the same for every figure."""

    def __init__(self, person: Int) -> None:
        _, self.owner = np.unique(person, return_inverse=True)
        self.people = int(self.owner.max()) + 1
        rows = np.bincount(self.owner)
        self.share: Float = 1.0 / rows[self.owner]
        chances = np.full(self.people, 1.0 / self.people)
        drawn = np.random.default_rng([20_260_103, self.people]).multinomial(
            self.people, chances, RESAMPLES
        )
        self.weights: Float = np.concatenate([np.ones((1, self.people)), drawn.astype(float)])
        """(1 + RESAMPLES, people); the first row is the sample itself."""

    def estimate(self, name: str, figures: Float, known: Bool | None = None) -> Estimate:
        """From (1 + RESAMPLES,) values of a figure, the first on the sample itself.

        ``known``: (n,) the rows that the figure rests on; all by default.
        """
        rest = figures[1:][np.isfinite(figures[1:])]
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(rest, [tail, 1.0 - tail]) if len(rest) else (math.nan, math.nan)
        told = self._estimate(name, figures, (float(low), float(high)), _PERCENTILE)
        if known is None:
            return told
        return replace(told, n=int(known.sum()), clusters=len(np.unique(self.owner[known])))

    def biased_estimate(self, name: str, figures: Float) -> Estimate:
        """For a figure >= 0 that resampling itself raises: its deviation still holds, its place not."""
        spread = _TWO_SIDED * float(figures[1:].std())
        value = float(figures[0])
        return self._estimate(name, figures, (max(0.0, value - spread), value + spread), _NORMAL)

    def _estimate(
        self, name: str, figures: Float, interval: tuple[float, float], method: str
    ) -> Estimate:
        return Estimate(
            name=name,
            value=float(figures[0]),
            low=interval[0],
            high=interval[1],
            confidence=CONFIDENCE,
            n=len(self.owner),
            clusters=self.people,
            method=method,
        )


def _distance(
    layout: EncodingLayout, profiles: ProfileBatch, held_out: EncodedEpisodes, by: _Resampler
) -> Estimate:
    real = counts_by_owner(layout, held_out.context, by.owner, by.share, by.people)
    everyone = np.zeros(len(profiles), dtype=np.int64)
    synthetic = counts_by_owner(layout, profiles.context, everyone, profiles.weight, 1)[0]
    figures = mean_divergence(layout, by.weights @ real, synthetic)
    return by.biased_estimate("distribution_distance", figures)


def _diversity(
    layout: EncodingLayout, profiles: ProfileBatch, held_out: EncodedEpisodes, by: _Resampler
) -> Estimate:
    context = held_out.context.astype(np.float64)
    first, square = np.zeros((2, by.people, layout.width))
    np.add.at(first, by.owner, by.share[:, None] * context)
    np.add.at(square, by.owner, by.share[:, None] * context**2)
    total = by.weights.sum(axis=1, keepdims=True)
    real = (by.weights @ square / total - (by.weights @ first / total) ** 2).sum(axis=1)
    made = np.average(profiles.context.astype(np.float64) ** 2, axis=0, weights=profiles.weight)
    made -= np.average(profiles.context.astype(np.float64), axis=0, weights=profiles.weight) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = made.sum() / real
    return by.estimate("diversity", figures)


def _copy_estimates(near: Closeness) -> tuple[Estimate, Estimate]:
    z, share, n = _TWO_SIDED, near.nearer_training, near.n
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    nearer = Estimate(
        "nearer_training",
        share,
        centre - spread,
        centre + spread,
        CONFIDENCE,
        n,
        n,
        "Wilson interval over profiles, inside the trust boundary",
    )
    copies = Estimate(
        "exact_copies", near.copies / n, math.nan, math.nan, CONFIDENCE, n, n, "count of profiles"
    )
    return nearer, copies


def _prediction(
    spec: LoopSpec, model: UserModel, held_out: EncodedEpisodes
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """((overall skill, skill of each type), RMSE of each type) on rewarded held-out episodes."""
    rows = held_out.where(np.isfinite(held_out.reward))
    if not len(rows):
        return (_nothing("user_model_skill"),), ()
    by = _Resampler(rows.person)
    expected = model.expected_signals(rows.context, rows.action)
    skills, errors, weights, rests_on = [], [], [], []
    for index, signal in enumerate(spec.signals):
        known: Bool = np.isfinite(rows.signals[:, index])
        if not known.any():
            continue
        error, baseline = _squares(rows.signals[:, index], expected[:, index], known, by)
        with np.errstate(divide="ignore", invalid="ignore"):
            skills.append(1.0 - error / baseline)
        errors.append(
            by.estimate(f"rmse_{signal.name}", np.sqrt(error) * _own_range(signal), known)
        )
        weights.append(signal.weight)
        rests_on.append(known)
        skills[-1] = np.where(baseline > 0.0, skills[-1], math.nan)
    names = [e.name.removeprefix("rmse_") for e in errors]
    if not skills or not any(np.isfinite(s[0]) for s in skills):
        return (_nothing("user_model_skill"),), tuple(errors)
    usable = [i for i, s in enumerate(skills) if np.isfinite(s[0])]
    overall = np.average(
        np.stack([skills[i] for i in usable]), axis=0, weights=[weights[i] for i in usable]
    )
    single = tuple(by.estimate(f"skill_{names[i]}", skills[i], rests_on[i]) for i in usable)
    return (by.estimate("user_model_skill", overall), *single), tuple(errors)


def _squares(found: Float, expected: Float, known: Bool, by: _Resampler) -> tuple[Float, Float]:
    """Mean squared error of the model and of the best constant over the known rows, on each resample."""

    def per_person(values: Float) -> Float:
        return by.weights @ np.bincount(by.owner[known], weights=values[known], minlength=by.people)

    count = per_person(np.ones(len(found)))
    safe: Callable[[Float], Float] = lambda sums: np.divide(  # noqa: E731
        sums, count, out=np.full(len(count), math.nan), where=count > 0
    )
    error = safe(per_person((found - expected) ** 2))
    baseline = safe(per_person(found**2)) - safe(per_person(found)) ** 2
    return error, np.maximum(baseline, 0.0)


def _own_range(signal: SignalSpec) -> float:
    """Length of the signal's own range per unit of its mean's range: 1/2 for a two-sided one."""
    return (signal.high - signal.low) / 2.0 if signal.two_sided else 1.0


def _nothing(name: str) -> Estimate:
    return Estimate(name, math.nan, math.nan, math.nan, CONFIDENCE, 0, 0, "nothing to compare with")


def _remaining(epsilon: float | None) -> tuple[Estimate, ...]:
    if epsilon is None:
        return ()
    method = "epsilon of the mu^2 that is left"
    return (Estimate("remaining_epsilon", epsilon, math.nan, math.nan, CONFIDENCE, 0, 0, method),)


def _distance_check(distance: Estimate, most: float) -> Check:
    close = distance.value <= most
    return Check(
        "distribution_distance",
        CheckStatus.PASSED if close else CheckStatus.FAILED,
        f"Synthetic people are {distance.value:.3f} nats from held-out ones on average over their "
        f"context; at most {most:g} is allowed.",
        distance.value,
        most,
    )


def _diversity_check(diversity: Estimate) -> Check:
    enough = diversity.value >= LEAST_DIVERSITY
    said = "differ enough" if enough else "are too much alike: the generator has collapsed"
    return Check(
        "diversity",
        CheckStatus.PASSED if enough else CheckStatus.FAILED,
        f"Synthetic people {said}: their contexts have {diversity.value:.2f} of the real variance; "
        f"at least {LEAST_DIVERSITY:g} is asked for.",
        diversity.value,
        LEAST_DIVERSITY,
    )


def _copy_checks(near: Closeness) -> tuple[Check, Check]:
    copied = near.comparable and near.copies > 0
    nearer, _ = _copy_estimates(near)
    return (
        Check(
            "exact_copies",
            CheckStatus.FAILED if copied else CheckStatus.PASSED,
            f"{near.copies} of {near.n} synthetic people equal a real person's context."
            if near.comparable
            else "Contexts hold no numbers, so that equal ones say nothing about copying.",
            float(near.copies),
            0.0,
        ),
        _remembered_check(nearer),
    )


def _remembered_check(nearer: Estimate) -> Check:
    name = "remembered_people"
    if not math.isfinite(nearer.value):
        reason = "No episode was learned from, so nothing shows whom the generator remembers."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, MOST_NEARER_TRAINING)
    remembers = nearer.low > MOST_NEARER_TRAINING
    return Check(
        name,
        CheckStatus.FAILED if remembers else CheckStatus.PASSED,
        f"{nearer.value:.1%} of synthetic people are nearer to people who were learned from than to "
        f"held-out ones; a generator that remembers nobody has about 50 %.",
        nearer.value,
        MOST_NEARER_TRAINING,
    )


def _skill_check(skill: Estimate) -> Check:
    name = "user_model_skill"
    if not math.isfinite(skill.low):
        reason = "No held-out episode shows a signal that varies, so the user model was not tested."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, 0.0)
    told = f"{skill.value:.3f} [{skill.low:.3f}, {skill.high:.3f}]"
    if skill.low > 0.0:
        status, said = CheckStatus.PASSED, "predicts held-out people better than a constant"
    elif skill.high < 0.0:
        status, said = CheckStatus.FAILED, "predicts held-out people worse than a constant"
    else:
        status, said = CheckStatus.INSUFFICIENT, "cannot be told from a constant on held-out people"
    return Check(name, status, f"The user model {said}: skill {told}.", skill.value, 0.0)
