"""How many decisions people of each arm had, step by step of the ramp.

Everybody met in a step had the same days to come back, so that decisions per person compare at equal
exposure. A difference has two readings: decisions of one arm are lost on the way, or people come more or
less often because of what they met, which is an effect. The figures alone cannot tell them apart, so it is
reported and decides nothing.

With n1 and n0 people, m1 and m0 decisions per person and s^2 the variance over both arms, the relative
difference D = m1 / m0 - 1 has about the variance v = s^2 / m0^2 (1/n1 + 1/n0) where the arms are alike, and
departs where |D| > v reach(1/v, r, alpha_k) (``everloop.rollout.experiment.boundary``). The k-th step in
order of time has alpha_k = alpha / (k (k + 1)), which sums to alpha over any number of steps. It holds
about as well as normal theory does for that many people, who still gather decisions between looks.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.rollouts import StepVisits
from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.experiment.observations import CANDIDATE, Floats, TrialObservations

ALPHA = 0.01
"""Of a false warning over the whole trial."""
LEAST_PEOPLE = 50
"""Of each arm before a step is compared."""
_TIGHTEST = 0.05
"""Standard error of D at which the line is tightest."""


def visits(observations: TrialObservations) -> tuple[StepVisits, ...]:
    """Decisions per person and step in order of time; steps with few people of an arm are left out."""
    steps, step = np.unique(observations.percent, return_inverse=True)
    begun = [observations.timestamp[step == s].min() for s in range(len(steps))]
    found = []
    for place, s in enumerate(np.argsort(np.array(begun), kind="stable").tolist(), start=1):
        rows = step == s
        met = observations.arm == CANDIDATE
        control = _decisions(observations.person[rows & ~met])
        candidate = _decisions(observations.person[rows & met])
        if min(len(control), len(candidate)) >= LEAST_PEOPLE:
            alpha = ALPHA / (place * (place + 1))
            found.append(_compared(float(steps[s]), control, candidate, alpha))
    return tuple(found)


def _decisions(person: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Of each person who is there."""
    return np.asarray(np.unique(person, return_counts=True)[1], dtype=np.float64)


def _compared(percent: float, control: Floats, candidate: Floats, alpha: float) -> StepVisits:
    base, mean = float(control.mean()), float(candidate.mean())
    spread = float(np.var(np.concatenate([control, candidate]), ddof=1))
    variance = spread / base**2 * (1.0 / len(control) + 1.0 / len(candidate))
    departs = False
    if variance > 0:
        line = variance * float(reach(1.0 / variance, tuned_to(_TIGHTEST**-2, alpha), alpha))
        departs = abs(mean / base - 1.0) > line
    return StepVisits(percent, base, mean, departs)
