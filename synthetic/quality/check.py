"""Are synthetic people and their answers close enough to real ones to learn a policy from?

Computed inside the trust boundary on held-out people, without noise: for operators and the gate,
never published (``published`` has the figures that are). Intervals are bootstraps over people unless
an estimate says otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.figures import QualityFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.profiles.marginals import counts_by_owner, mean_divergence
from synthetic.quality import answers
from synthetic.quality.closeness import Closeness, closeness
from synthetic.quality.clusters import diversity
from synthetic.quality.groups import group_fidelity
from synthetic.quality.noise_cost import noise_cost
from synthetic.quality.prediction import prediction
from synthetic.quality.resampling import CONFIDENCE, Resampler, wilson
from synthetic.quality.transfer import transfer
from synthetic.quality.two_sample import two_sample
from synthetic.quality.yardstick import limited, one_row_each, yardstick

LEAST_PEOPLE = 30
"""Held-out people below which no check answers."""


def check_quality(
    spec: LoopSpec,
    layout: EncodingLayout,
    profiles: ProfileBatch,
    model: UserModel,
    episodes: EncodedEpisodes,
    remaining_epsilon: float | None = None,
    reference: UserModel | None = None,
) -> QualityFigures:
    """Compare profiles and user model with held-out people.

    Estimates: ``distribution_distance`` (mean KL divergence of real from synthetic marginals, nats),
    ``diversity`` and ``least_diverse_cluster`` (see ``clusters``), ``two_sample_auc`` (see
    ``two_sample``), ``nearer_training`` and ``near_copies`` (see ``closeness``; a half where nothing is
    remembered), ``exact_copies`` (share of profiles that equal a real context), ``tstr_share`` with
    ``tstr_auc`` and ``trtr_auc`` (see ``transfer``), everything of ``prediction``, what the noise cost
    if there is a ``reference``, and ``remaining_epsilon`` if it is given; ``groups`` has distance and
    accuracy by protected group. At most ``yardstick.MOST_PEOPLE`` held-out people
    with their last ``privacy.episodes_per_person`` episodes are looked at.

    Args:
        spec: the loop; ``thresholds`` bounds what is accepted.
        layout: what the dimensions of contexts mean.
        profiles: synthetic people.
        model: the released user model.
        episodes: every encoded episode; holdout people are the yardstick.
        remaining_epsilon: what is left of the period's budget, to be shown beside.
        reference: the user model's features fitted without noise, to tell what the noise cost.

    Raises:
        ShouldFixArgument: profiles, episodes and layout are of different encoders.
    """
    encoders = {layout.encoder, profiles.encoder, episodes.encoder}
    if len(encoders) != 1:
        raise ShouldFixArgument(
            f"Profiles, episodes and layout are of different encoders: {', '.join(sorted(encoders))}.",
            "Generate profiles from this dataset's encoding.",
        )
    held_out = yardstick(episodes, spec.privacy.episodes_per_person)
    people = len(np.unique(held_out.person))
    shown = _remaining(remaining_epsilon)
    if people < LEAST_PEOPLE or not len(profiles):
        reason = (
            f"{people} held-out people and {len(profiles)} profiles are too few to compare; at least "
            f"{LEAST_PEOPLE} people are needed."
        )
        check = Check("held_out_people", CheckStatus.INSUFFICIENT, reason, people, LEAST_PEOPLE)
        return QualityFigures(estimates=shown, checks=(check,))
    alike, answered = _likeness(spec, layout, profiles, held_out)
    near = closeness(
        layout, profiles.context, episodes.training.context, held_out.context, _rng(spec, 1)
    )
    foreseen = prediction(spec, model, held_out)
    learned = limited(episodes.training, spec.privacy.episodes_per_person)
    taught = transfer(spec, profiles, model, learned, held_out, _rng(spec, 2))
    groups = group_fidelity(spec, layout, profiles, model, held_out)
    copies = _copy_estimates(near)
    cost = () if reference is None else noise_cost(spec, model, reference, held_out)
    limits = spec.thresholds
    return QualityFigures(
        estimates=(
            *alike,
            *copies,
            taught.share,
            taught.synthetic,
            taught.real,
            foreseen.skill,
            *foreseen.others,
            *cost,
            *shown,
        ),
        checks=(
            *answered,
            answers.exact_copies(near),
            answers.remembered_people(copies[1], limits.max_nearer_training),
            answers.near_copies(copies[2], limits.max_nearer_training),
            answers.transfer(taught, limits.min_tstr_share),
            answers.skill(foreseen.skill),
            *answers.groups(groups, limits.max_group_distance),
        ),
        groups=groups,
    )


def _likeness(
    spec: LoopSpec, layout: EncodingLayout, profiles: ProfileBatch, held_out: EncodedEpisodes
) -> tuple[tuple[Estimate, ...], tuple[Check, ...]]:
    """Distance, diversity and what a classifier can tell, with their answers."""
    by, limits = Resampler(held_out.person), spec.thresholds
    real = counts_by_owner(layout, held_out.context, by.owner, by.share, by.people)
    everyone = np.zeros(len(profiles), dtype=np.int64)
    synthetic = counts_by_owner(layout, profiles.context, everyone, profiles.weight, 1)[0]
    distance = by.biased_estimate(
        "distribution_distance", mean_divergence(layout, by.weights @ real, synthetic)
    )
    made = profiles.context.astype(np.float64)
    spread, least = diversity(
        made,
        profiles.weight,
        held_out.context.astype(np.float64),
        by,
        _rng(spec, 3),
    )
    rng = _rng(spec, 4)
    single = held_out.context[one_row_each(held_out.person, rng)].astype(np.float64)
    told_apart = two_sample(made, profiles.weight, single, rng)
    return (distance, spread, least, told_apart), (
        answers.distance(distance, limits.max_synthetic_distance),
        answers.diversity(spread, limits.min_synthetic_diversity),
        answers.least_diverse(least, limits.min_cluster_diversity),
        answers.two_sample(told_apart, limits.max_two_sample_auc),
    )


def _copy_estimates(near: Closeness) -> tuple[Estimate, Estimate, Estimate]:
    copies = Estimate(
        "exact_copies",
        near.copies / near.n,
        math.nan,
        math.nan,
        CONFIDENCE,
        near.n,
        near.n,
        "count of profiles",
    )
    nearer = wilson("nearer_training", near.nearer_training, near.compared, "profiles")
    much = sum(near.much_nearer)
    share = near.much_nearer[0] / much if much else math.nan
    return copies, nearer, wilson("near_copies", share, much, "profiles with a close person")


def _remaining(epsilon: float | None) -> tuple[Estimate, ...]:
    if epsilon is None:
        return ()
    method = "epsilon of the mu^2 that is left"
    return (Estimate("remaining_epsilon", epsilon, math.nan, math.nan, CONFIDENCE, 0, 0, method),)


def _rng(spec: LoopSpec, purpose: int) -> np.random.Generator:
    return np.random.default_rng([spec.training.seed, purpose])
