"""The user model without privacy: the same loss and features, fitted to convergence.

Its weights are functions of the raw log. They stay inside the trust boundary, for reports and
benchmarks that say what the noise cost; no release, profile or policy may be computed from them.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import fmin_l_bfgs_b
from scipy.special import expit

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import PeopleEpisodes
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.samples import Samples, samples_of
from synthetic.user_model.weights import Weights, cold_weights, gradient_of, logits_of, unflatten

RIDGE = 1e-4
"""Penalty RIDGE / 2 |w - cold start|^2 on the mean loss: what was never seen stays where it started."""
ITERATIONS = 300
BATCH_PEOPLE = 2_000


def reference_fit(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    start: Weights | None = None,
    ridge: float = RIDGE,
    iterations: int = ITERATIONS,
) -> Weights:
    """Minimise the mean over people of their loss (``synthetic.user_model.outcomes``) by L-BFGS.

    Args:
        spec: the loop.
        features: public features.
        people: everyone, with the episodes that count.
        start: where to start; the optimum does not depend on it.
        ridge: weight of the distance from ``cold_weights``.
        iterations: most steps.

    Raises:
        ShouldFixArgument: there is nobody.
    """
    if not len(people):
        raise ShouldFixArgument("A reference fit without people.", "Pass at least one person.")
    cold = cold_weights(spec, features).flat
    parts = [samples_of(spec, features, part) for part in people.batches(BATCH_PEOPLE)]

    def objective(flat: Float) -> tuple[float, Float]:
        loss, gradient = 0.0, np.zeros(len(flat))
        for part in parts:
            one, slope = loss_and_gradient(features, part, flat)
            loss, gradient = loss + one, gradient + slope
        away = flat - cold
        return (
            loss / len(people) + ridge / 2.0 * float(away @ away),
            gradient / len(people) + ridge * away,
        )

    first = cold if start is None else start.flat
    found, _, _ = fmin_l_bfgs_b(objective, first, m=20, factr=1e5, pgtol=1e-6, maxiter=iterations)
    return unflatten(features, np.asarray(found, dtype=np.float64))


def loss_and_gradient(features: FeatureMap, samples: Samples, flat: Float) -> tuple[float, Float]:
    """Sum over the samples' people of their loss, and its gradient (p,)."""
    logits = logits_of(unflatten(features, flat), samples.seen)
    loss = samples.weight * (np.logaddexp(0.0, logits) - samples.target * logits)
    residual = samples.weight * (expit(logits) - samples.target)
    return float(loss.sum()), gradient_of(features, samples.seen, residual)
