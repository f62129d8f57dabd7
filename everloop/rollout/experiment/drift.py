"""Whether the effect changes while the trial runs: a two-sided CUSUM on daily differences.

The difference of stratum d is compared with the effect of the strata before it, in standard errors of
that comparison (recursive residuals; Brown, Durbin and Evans 1975), so that a steady effect, large or
small, is no drift:

    w_d = (U_d / h_d - sum_{e<d} U_e / sum_{e<d} h_e) / sqrt(c' C c),    clipped to [-3, 3],
    up_d = max(0, up_{d-1} + w_d - slack),    down_d = max(0, down_{d-1} - w_d - slack)   (Page 1954),

c the weights of that contrast, C the scores' covariance. The clip keeps one rare reward of a small arm
from being an alarm; three days of a large change are one. With slack .5 and threshold 5 a trial without
drift runs about 470 days on average to a false alarm, where days are normal (``bench/gates`` measures
it).
"""

from __future__ import annotations

import math

import numpy as np

from everloop.rollout.experiment.moments import Moments
from everloop.rollout.experiment.observations import Floats

CLIP = 3.0


def departures(moments: Moments) -> Floats:
    """w of each stratum with both arms but the first, clipped."""
    known = np.flatnonzero(moments.weight > 0)
    score, weight = moments.score[0][known], moments.weight[known]
    covariance = _covariance(moments)[np.ix_(known, known)]
    found = []
    for d in range(1, len(known)):
        contrast = np.zeros(d + 1)
        contrast[:d] = -1.0 / weight[:d].sum()
        contrast[d] = 1.0 / weight[d]
        variance = float(contrast @ covariance[: d + 1, : d + 1] @ contrast)
        if variance > 0:
            found.append(float(contrast @ score[: d + 1]) / math.sqrt(variance))
    return np.clip(np.array(found, dtype=np.float64), -CLIP, CLIP)


def cusum(steps: Floats, slack: float, threshold: float) -> tuple[float, bool]:
    """The larger of both sums after the last step, and whether either was ever above the threshold."""
    up = down = 0.0
    drifted = False
    for step in steps.tolist():
        up, down = max(0.0, up + step - slack), max(0.0, down - step - slack)
        drifted = drifted or max(up, down) > threshold
    return max(up, down), drifted


def _covariance(moments: Moments) -> Floats:
    """Of the measure's scores, about the effect so far; the larger of both on each stratum's own."""
    total = float(moments.weight.sum())
    columns = np.array([1.0, -float(moments.score[0].sum()) / total if total > 0 else 0.0])
    designed, observed = (
        np.einsum("k,l,klde->de", columns, columns, c[:2, :2])
        for c in (moments.designed, moments.observed)
    )
    larger = np.sqrt(np.maximum(1.0, _ratio(np.diag(observed), np.diag(designed))))
    return np.asarray(designed * np.outer(larger, larger))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.ones_like(above), where=below > 0)
