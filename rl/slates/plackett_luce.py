"""Ordered slates: Plackett-Luce with exploration at every position.

A slate (c_1, .., c_L) of K candidates with scores s is drawn position by position without replacement,

    P(c_1, .., c_L) = prod_i [ (1 - epsilon) softmax(s over those left)(c_i) + epsilon / (K - i + 1) ]

(Luce 1959, Plackett 1975; the mixing is epsilon-greedy's, so that every order has at least
epsilon^L (K - L)! / K!). Everything is computed on the logarithmic scale and anew at each position,
since those left may score hundreds below those already picked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument


@dataclass(frozen=True, slots=True)
class Slate:
    """A drawn slate.

    Attributes:
        picked: positions of the candidates in the order of the slate, each once.
        log_propensity: ln P(picked), <= 0.
    """

    picked: tuple[int, ...]
    log_propensity: float

    @property
    def propensity(self) -> float:
        """P(picked), in (0, 1] unless it is too small for a float."""
        return math.exp(min(0.0, self.log_propensity))


def draw_slate(scores: Float, uniforms: Sequence[float], epsilon: float) -> Slate:
    """The slate that uniform numbers pick, one for each position.

    Args:
        scores: (K,) of the candidates, finite.
        uniforms: L numbers of [0, 1), 1 <= L <= K.
        epsilon: exploration share in [0, 1].

    Raises:
        ShouldFixArgument: naming the argument that does not fit.
    """
    known = _checked(scores, len(uniforms), epsilon)
    left = np.ones(len(known), dtype=np.bool_)
    picked: list[int] = []
    total = 0.0
    for uniform in uniforms:
        if not 0.0 <= uniform < 1.0:
            raise ShouldFixArgument(f"A uniform number of a slate is {uniform}, outside [0, 1).")
        where = np.flatnonzero(left)
        logs = _log_shares(known[where], epsilon)
        place = _pick(np.exp(logs), uniform)
        total += float(logs[place])
        picked.append(int(where[place]))
        left[where[place]] = False
    return Slate(tuple(picked), min(0.0, total))


def log_propensity(scores: Float, picked: Sequence[int], epsilon: float) -> float:
    """ln P(picked), <= 0; minus infinity where the law never draws it (only with epsilon = 0).

    Args:
        scores: (K,) of the candidates, finite.
        picked: L distinct positions in 0..K-1, in the order of the slate.
        epsilon: exploration share in [0, 1].

    Raises:
        ShouldFixArgument: naming the argument that does not fit.
    """
    known = _checked(scores, len(picked), epsilon)
    left = np.ones(len(known), dtype=np.bool_)
    total = 0.0
    for index in picked:
        if not 0 <= index < len(known) or not left[index]:
            raise ShouldFixArgument(
                f"A slate picks candidate {index}, who is not among those left of {len(known)}.",
                "Name each candidate at most once, by a position from 0.",
            )
        logs = _log_shares(known[left], epsilon)
        total += float(logs[int(left[:index].sum())])
        left[index] = False
    return min(0.0, total)


def _mixed(log_share: Float, left: int, epsilon: float) -> Float:
    """ln[(1 - epsilon) exp(log_share) + epsilon / left], elementwise."""
    greedy = math.log1p(-epsilon) if epsilon < 1.0 else -math.inf
    spread = math.log(epsilon) - math.log(left) if epsilon > 0.0 else -math.inf
    mixed: Float = np.logaddexp(greedy + log_share, spread)
    return mixed


def log_sum_exp(scores: Float) -> float:
    """ln sum exp(scores), for finite scores of which there is at least one."""
    highest = float(scores.max())
    return highest + math.log(float(np.exp(scores - highest).sum()))


def _log_shares(scores: Float, epsilon: float) -> Float:
    return _mixed(scores - log_sum_exp(scores), len(scores), epsilon)


def _pick(shares: Float, uniform: float) -> int:
    edges = np.cumsum(shares)
    place = min(int(np.searchsorted(edges, uniform * edges[-1], side="right")), len(edges) - 1)
    while shares[place] <= 0.0:  # rounding at the very end of the sum
        place -= 1
    return place


def _checked(scores: Float, size: int, epsilon: float) -> Float:
    known = np.asarray(scores, dtype=np.float64)
    if known.ndim != 1 or not np.isfinite(known).all():
        raise ShouldFixArgument(
            f"Scores of shape {known.shape} are not one finite number per candidate."
        )
    if not 1 <= size <= len(known):
        raise ShouldFixArgument(
            f"A slate of {size} people cannot be made of {len(known)} candidates.",
            "Mask pairings of more people than there are candidates.",
        )
    if not 0.0 <= epsilon <= 1.0:
        raise ShouldFixArgument(f"epsilon={epsilon} is outside [0, 1].")
    return known
