"""How much each stratum counts, so that a longer trial never knows less.

Days of the same people are alike: another day at 95 to 5 brings mostly what the day before said of the
same few people, and summing it up with full weight would add more variance than knowledge. So each
stratum, when it comes, gets the weight w >= 0 with which (H + w h)^2 / (V + 2 w c + w^2 v) is largest,
for H and V of the strata before, its own h and v, and c what they share:

    w = (V h - H c) / (H v - h c), or 0 where that is below 0.

Where people come once, c = 0 and w = 1. Weights are settled by how decisions fall to arms and people,
and by two numbers that are taken from everybody: t, the covariance of two rewards of one person, and s,
the rest of their variance. Neither knows which arm was better, so no weight favours one.
"""

from __future__ import annotations

import numpy as np

from everloop.rollout.experiment.observations import Floats

LARGEST = 10.0


def stratum_weights(weight: Floats, covariance: Floats) -> Floats:
    """(D,) w of strata in order of time.

    Args:
        weight: (D,) h >= 0; a stratum without both arms has 0, and w 1.
        covariance: (D, D) of their scores, up to a factor.
    """
    found = np.ones(len(weight))
    known = np.flatnonzero(weight > 0)
    first = True
    whole = variance = 0.0
    for d in known.tolist():
        h, v = float(weight[d]), float(covariance[d, d])
        before = known[known < d]
        c = float(found[before] @ covariance[before, d])
        if not first:
            below = whole * v - h * c
            best = (variance * h - whole * c) / below if below > 0 else LARGEST
            found[d] = min(max(best, 0.0), LARGEST)
        first = False
        w = float(found[d])
        whole += w * h
        variance += 2.0 * w * c + w * w * v
    return found


def modelled(raw: Floats, together: Floats, decisions: Floats, nested: Floats) -> Floats:
    """(D, D) covariance of scores where rewards of one person covary by t, and vary by t + s.

    With R the sum of a person's residuals in a stratum and n their decisions there, E[R_d R_e] = t n_d n_e
    and E[R_d^2] = t n_d^2 + s n_d give t and s by moments, neither below 0.

    Args:
        raw: (D, D) sum over people of R_d R_e; together: of n_d n_e; decisions: (D,) of n_d.
        nested: (D, D) min p (1 - max p).
    """
    apart = ~np.eye(len(raw), dtype=np.bool_)
    pairs = float(together[apart].sum())
    shared = max(float(raw[apart].sum()) / pairs, 0.0) if pairs > 0 else 0.0
    whole = float(decisions.sum())
    own = float(np.trace(raw) - shared * np.trace(together)) / whole if whole > 0 else 0.0
    if own <= 0.0:
        own, shared = 1.0, 0.0
    return np.asarray(nested * (shared * together + np.diag(own * decisions)))
