"""A policy's value for each protected group, on the reward rescaled to its attainable range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import EncodedEpisodes, Float, Int
from everloop.contracts.evaluation import GroupValue
from everloop.contracts.loop_spec import LoopSpec
from rl.off_policy.intervals import FEWEST_INFORMATIVE, clustered_mean, informative


def group_values(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    labels: Mapping[str, NDArray[np.str_]],
    contributions: Float,
) -> tuple[GroupValue, ...]:
    """Mean of (n,) contributions per group, rescaled to 0..1 of the attainable range.

    Args:
        spec: the loop.
        episodes: n judged decisions.
        labels: attribute -> (n,) group; "" where the group is not known (left out).
        contributions: (n,) an estimator's contributions, in reward units.

    Returns:
        Attributes and groups in sorted order, small groups merged; bounds are NaN where a group has
        too few decisions that differ in reward.
    """
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    rescaled = (contributions - low) / (high - low)
    confidence = 1 - spec.thresholds.alpha
    found = []
    for attribute in sorted(labels):
        of = merged(labels[attribute], episodes.person, spec.thresholds.fairness_min_group)
        for group in sorted(set(of.tolist()) - {""}):
            rows = of == group
            estimate = clustered_mean(
                "group value",
                rescaled[rows],
                episodes.person[rows],
                confidence,
                "share of the attainable range; t interval over people",
            )
            if informative(episodes.reward[rows]) < FEWEST_INFORMATIVE:
                estimate = replace(
                    estimate,
                    low=math.nan,
                    high=math.nan,
                    method="share of the attainable range; too few rewards differ for an interval",
                )
            found.append(GroupValue(attribute, group, estimate.clusters, estimate))
    return tuple(found)


def merged(labels: NDArray[np.str_], person: Int, smallest: int) -> NDArray[np.str_]:
    """Join groups of fewer than ``smallest`` people, and the next larger one if that is not enough.

    Returns:
        (n,) labels, a joint one written ``a + b``; a single small group that has nobody to join stays.
    """
    names = sorted(set(labels.tolist()) - {""})
    people = {name: len(np.unique(person[labels == name])) for name in names}
    by_size = sorted(names, key=lambda name: (people[name], name))
    joined = [name for name in by_size if people[name] < smallest]
    total = sum(people[name] for name in joined)
    if joined and total < smallest:
        joined = by_size[: len(joined) + 1]
    if len(joined) < 2:
        return labels
    together = " + ".join(sorted(joined))
    return np.where(np.isin(labels, joined), together, labels)
