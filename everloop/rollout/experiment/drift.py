"""Whether the effect changes while the trial runs: a two-sided CUSUM on daily differences.

The differences of strata, U_d / h_d, have the covariance of ``weights.modelled``: days of the same people
go together, and a new step of the ramp brings new people, whose luck then stays. So differences are
whitened by its Cholesky factor L, and each is compared with the one steady effect that fits the strata
before it (recursive residuals; Brown, Durbin and Evans 1975): with y = L^-1 (U / h) and x = L^-1 1,

    w_d = (y_d - x_d b) / sqrt(1 + x_d^2 / S),    S = sum_{e<d} x_e^2,  b = sum_{e<d} x_e y_e / S,

clipped to [-3, 3]. A steady effect, large or small, is no drift. Then (Page 1954)

    up_d = max(0, up_{d-1} + w_d - slack),    down_d = max(0, down_{d-1} - w_d - slack).

The clip keeps one rare reward of a small arm from being an alarm; three days of a large change are one.
With slack .5 and threshold 5 a trial without drift runs about 470 days on average to a false alarm, where
days are normal (Siegmund's approximation; ``bench/gates`` measures it).
"""

from __future__ import annotations

import math

import numpy as np

from everloop.rollout.experiment.moments import Moments
from everloop.rollout.experiment.observations import Floats
from everloop.rollout.experiment.weights import modelled

CLIP = 3.0


def departures(moments: Moments) -> Floats:
    """w of each stratum with both arms but the first."""
    known = np.flatnonzero(moments.weight > 0)
    if len(known) < 2:
        return np.zeros(0)
    weight = moments.weight[known]
    covariance = _covariance(moments)[np.ix_(known, known)] / np.outer(weight, weight)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        # people who all come every day leave two strata with one and the same difference
        factor = np.diag(np.sqrt(np.diag(covariance)))
    if not (np.diag(factor) > 0).all():
        return np.zeros(0)
    both = np.linalg.solve(
        factor, np.stack([moments.score[0][known] / weight, np.ones(len(known))], 1)
    )
    found = []
    for d in range(1, len(known)):
        y, x = both[:d, 0], both[:d, 1]
        squares = float(x @ x)
        left = float(both[d, 0] - both[d, 1] * (x @ y) / squares)
        found.append(left / math.sqrt(1.0 + float(both[d, 1]) ** 2 / squares))
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
    """Of the measure's scores about the steady effect, no smaller than the sandwich says in all."""
    columns = np.array([1.0, -float(moments.score[0].sum() / moments.weight.sum())])
    raw, observed = (
        np.einsum("k,l,klde->de", columns, columns, c[:2, :2])
        for c in (moments.raw, moments.observed)
    )
    model = modelled(raw, moments.together, moments.decisions.sum(axis=0), moments.nested)
    designed = float(np.trace(raw * moments.nested))
    return model * max(1.0, float(np.trace(observed)) / designed if designed > 0 else 1.0)
