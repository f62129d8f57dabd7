"""How much the service explores, and the draw of an action."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from everloop.contracts.loop_spec import LoopSpec

NEGLIGIBLE_HALVINGS = 20
"""After so many halvings less than a millionth of the excess is left: nobody needs to count on."""


def enough_episodes(spec: LoopSpec) -> int:
    """The number of episodes beyond which ``serving_epsilon`` no longer changes noticeably."""
    return NEGLIGIBLE_HALVINGS * spec.serving.exploration_halves_after


def draw(propensity: Sequence[float], uniform: float) -> int:
    """Index of the action that a uniform number of [0, 1) picks.

    Index i is picked with probability ``propensity[i]`` (to the last bits of the running sum), never
    one whose propensity is 0. ``propensity`` is >= 0 and sums to 1.
    """
    edges = list(accumulate(propensity))
    index = min(bisect_right(edges, uniform * edges[-1]), len(edges) - 1)
    while propensity[index] <= 0.0:  # rounding at the very end of the sum
        index -= 1
    return index
