"""How far a release's parameters may be off: by its noise, whose size is public, and by sampling."""

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
