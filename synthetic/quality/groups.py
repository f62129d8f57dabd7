"""Are synthetic people and the user model as true to each protected group as to the others?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import EncodedEpisodes, EncodingLayout, Float, Float32
from everloop.contracts.evaluation import GroupValue
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from synthetic.profiles.marginals import counts_by_owner, mean_divergence
from synthetic.quality.prediction import accepted
from synthetic.quality.resampling import Resampler

MERGED = "other groups"
DISTANCE = "distribution_distance"
ACCURACY = "acceptance_accuracy"


def group_fidelity(
    spec: LoopSpec,
    layout: EncodingLayout,
    profiles: ProfileBatch,
    model: UserModel,
    held_out: EncodedEpisodes,
) -> tuple[GroupValue, ...]:
    """Distance to the synthetic people of the same group, and the user model's accuracy, by group.

    The distance is the mean KL divergence of contexts within the group, plus log(p / q) where its share p
    of held-out people is above its share q of synthetic ones: how surprising its people are, nats.
    Groups under ``thresholds.fairness_min_group`` held-out people are merged; if they are too few
    together, nothing is said of them.
    """
    found: list[GroupValue] = []
    everyone = Resampler(held_out.person)
    for attribute in spec.protected:
        names = group_of(spec, layout, attribute, held_out.context)
        made = group_of(spec, layout, attribute, profiles.context)
        for label, members in _merged(names, held_out, spec.thresholds.fairness_min_group).items():
            rows = held_out.where(np.isin(names, members))
            same = np.isin(made, members)
            by = Resampler(rows.person)
            real = counts_by_owner(layout, rows.context, by.owner, by.share, by.people)
            synthetic = counts_by_owner(
                layout,
                profiles.context[same],
                np.zeros(int(same.sum()), dtype=np.int64),
                profiles.weight[same],
                1,
            )[0]
            share = everyone.share[np.isin(names, members)].sum() / everyone.people
            rarer = _rarer(float(share), profiles.weight[same], profiles.weight)
            distance = mean_divergence(layout, by.weights @ real, synthetic) + rarer
            values = [by.biased_estimate(DISTANCE, distance)]
            answered = rows.where(np.isfinite(rows.reward))
            if len(answered):
                of = Resampler(answered.person)
                chance = model.acceptance(answered.context, answered.action)
                right = accepted(spec, answered.reward) == (chance >= 0.5)
                values.append(of.estimate(ACCURACY, of.mean(right.astype(np.float64))))
            found += [GroupValue(attribute, label, by.people, value) for value in values]
    return tuple(found)


def group_of(
    spec: LoopSpec, layout: EncodingLayout, attribute: str, context: Float32
) -> NDArray[np.str_]:
    """(n,) group of each context, "" where it is not known."""
    block = next(b for b in layout.of_kind("category") if b.field == attribute)
    one_hot = context[:, block.dimensions]
    labels = np.array([*spec.field(attribute).choices, ""])
    return labels[np.where(one_hot.max(axis=1) > 0, one_hot.argmax(axis=1), len(labels) - 1)]


def _merged(
    names: NDArray[np.str_], held_out: EncodedEpisodes, least: int
) -> dict[str, tuple[str, ...]]:
    """Label -> the groups under it, each label with at least ``least`` people."""
    people = {
        str(name): len(np.unique(held_out.person[names == name])) for name in np.unique(names)
    }
    people.pop("", None)
    found: dict[str, tuple[str, ...]] = {
        name: (name,) for name, count in people.items() if count >= least
    }
    small = tuple(name for name, count in people.items() if count < least)
    if small and len(np.unique(held_out.person[np.isin(names, small)])) >= least:
        found[small[0] if len(small) == 1 else MERGED] = small
    return found


def _rarer(share: float, weight: Float, total: Float) -> float:
    """max(0, log(p / q)), with half a synthetic person added to q."""
    half = 0.5 * total.sum() / len(total)
    return max(0.0, math.log(share) - math.log((weight.sum() + half) / total.sum()))


def worst(groups: tuple[GroupValue, ...], most: float) -> GroupValue | None:
    """The group that synthetic people are farthest from, if one surely is beyond ``most``; else the one
    that they may be farthest from, by the upper end of its interval."""
    distances = [g for g in groups if g.estimate.name == DISTANCE]
    beyond = [g for g in distances if g.estimate.low > most]
    return max(beyond or distances, key=lambda g: g.estimate.high, default=None)
