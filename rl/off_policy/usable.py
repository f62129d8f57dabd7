"""Whether held-out decisions can be judged at all, and why not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from rl.off_policy.scoring import judged_rows, training_rows

_ROUNDING = 1e-9


def check_arguments(
    episodes: EncodedEpisodes,
    candidates: int,
    floor: float | None,
    logged: int | None,
    groups: Mapping[str, NDArray[np.str_]],
) -> None:
    """Refuse arguments of ``HeldOut`` that are out of range, and a person on both sides of the split.

    Raises:
        ShouldFixArgument: naming the value.
    """
    if candidates < 1:
        raise ShouldFixArgument(f"candidates={candidates} is below 1.", "Count this one too.")
    if logged is not None and logged < 0:
        raise ShouldFixArgument(f"logged={logged} is negative.", "Count the loop's episodes.")
    if floor is not None and not 0 < floor <= 1:
        raise ShouldFixArgument(
            f"exploration_floor={floor} is outside (0, 1].",
            "Give the smallest epsilon that logged.",
        )
    learnt_from = episodes.person[training_rows(episodes)]
    both = np.intersect1d(learnt_from, episodes.person[episodes.holdout])
    if len(both):
        raise ShouldFixArgument(
            f"{len(both)} people are both trained on and held out, the first is "
            f"{episodes.people[both[0]]}.",
            "Split by person.",
        )
    for attribute, labels in groups.items():
        if len(labels) != len(episodes):
            raise ShouldFixArgument(
                f"groups[{attribute!r}] has {len(labels)} labels for {len(episodes)} episodes.",
                "Give one label per episode.",
            )


def unusable(spec: LoopSpec, episodes: EncodedEpisodes, active: Policy | None) -> str:
    """Why nothing can be estimated; "" where it can."""
    if active is not None and active.encoder != episodes.encoder:
        return (
            f"The active policy {active.version} reads states of encoder {active.encoder!r}, these "
            f"episodes were encoded by {episodes.encoder!r}: the two cannot be compared."
        )
    rows = judged_rows(episodes)
    if not rows.any():
        return (
            "There is no held-out decision with a reward and a logged propensity: "
            f"{int(episodes.holdout.sum()):,} of {len(episodes):,} decisions are held out."
        )
    if not training_rows(episodes).any():
        return "There is no rewarded decision of the other people to fit the reward model on."
    propensity, reward = episodes.propensity[rows], episodes.reward[rows]
    wrong = ~((propensity > 0) & (propensity <= 1))
    if wrong.any():
        return (
            f"{int(wrong.sum()):,} held-out decisions have a propensity outside (0, 1], "
            f"the first is {propensity[wrong][0]:g}."
        )
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    outside = (reward < low - _ROUNDING) | (reward > high + _ROUNDING)
    if outside.any():
        return (
            f"{int(outside.sum()):,} held-out rewards lie outside the attainable range "
            f"[{low:g}, {high:g}] that the loop declares, the first is {reward[outside][0]:g}: "
            "no bound can be trusted."
        )
    return ""
