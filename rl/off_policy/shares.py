"""How the window's error probability is split over the bounds that are taken on the same people.

Of K policies that the window's nights judged, a night compares k with one another. With alpha for all,

    each policy against the baseline, alone (k = 1):    alpha / K
    each policy against the baseline, compared:         alpha / (2 K)
    each pair of the policies compared:                 alpha / (K (k - 1)).

A night has k bounds and k (k - 1) / 2 pairs, which use up k alpha / (2 K) each, k alpha / K together; over
all nights that is alpha (Bonferroni). All pairs are paid for, not only the k - 1 with the chosen policy:
the choice looks at the same people, so that any pair may become one of them. What privacy costs is such a
pair, turned round, and needs nothing further.
"""

from __future__ import annotations


def bound_share(alpha: float, candidates: int, compared: int) -> float:
    """Error probability of each side of candidate - baseline; ``candidates`` is K, ``compared`` k."""
    judged = max(candidates, compared)
    return alpha / judged if compared == 1 else alpha / (2 * judged)


def pair_share(alpha: float, candidates: int, compared: int) -> float:
    """Error probability of each side of the difference of two among ``compared`` >= 2 policies."""
    return alpha / (max(candidates, compared) * max(1, compared - 1))
