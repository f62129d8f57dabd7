"""How far a release's parameters may be off: by its noise, whose size is public, and by sampling.

Noise: with J the Jacobian of the mean clipped gradient, a step maps an error e to (I - rate J) e and
adds noise of covariance (rate sigma C / N)^2 I, so that

    S <- (I - rate J) S (I - rate J)^T + (rate sigma C / N)^2 I

for every step, on from the release that it was warm-started from. J is taken on synthetic people: N
public contexts with responses drawn from the release itself. Sampling: H^+ G H^+ / N, G the covariance
of clipped gradients over the same people and H = J.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldRestoreArtefact


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """``noise`` and ``sampling``: (p, p) covariances of the released parameters."""

    noise: Float
    sampling: Float

    @property
    def total(self) -> Float:
        return self.noise + self.sampling

    def drawn(self, center: Float, count: int, rng: np.random.Generator) -> Float:
        """(count, p) parameters drawn from the normal distribution around ``center``."""
        values, vectors = np.linalg.eigh(self.total)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(center + rng.standard_normal((count, len(center))) @ root.T)

    def standard_error(self, gradient: Float) -> Float:
        """(n,) standard deviations of what has the gradients (n, p) by the parameters."""
        variance = np.einsum("np,np->n", gradient @ self.total, gradient)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def required(known: Uncertainty | None, release_id: str) -> Uncertainty:
    """``known``; ``ShouldRestoreArtefact`` for a release without it."""
    if known is None:
        raise ShouldRestoreArtefact(
            f"User model {release_id} does not say how far its weights may be off.",
            "Load it from a release rather than drawing it, or rerun fit_user_model.",
        )
    return known


def after_steps(before: Float, jacobian: Float, rate: float, deviation: float, steps: int) -> Float:
    """The noise covariance after ``steps`` steps of noise ``deviation`` a weight; see the module."""
    kept = np.eye(len(jacobian)) - rate * jacobian
    covariance = before
    for _ in range(steps):
        covariance = kept @ covariance @ kept.T + deviation**2 * np.eye(len(jacobian))
    return np.asarray((covariance + covariance.T) / 2.0)
