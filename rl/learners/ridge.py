"""Bayesian linear regression in closed form: what a linear bandit knows after n decisions.

With prior theta ~ N(0, s^2 / PENALTY) and rewards N(z . theta, s^2), the posterior is

    theta ~ N(theta', s^2 B^-1),    B = PENALTY 1 + sum z z^T,    theta' = B^-1 sum z r

(Agrawal and Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs"; Li, Chu,
Langford, Schapire 2010, "A contextual-bandit approach to personalized news article recommendation").
s^2 is estimated by the residuals' mean square. z = phi_a (x) u, so B is summed from one (q, q) matrix
of each action and never needs the (n, m q) rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from rl.learners.design import Design
from rl.learners.simulated import Decisions

PENALTY = 1.0


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of every action's coefficients theta_a in u.

    Attributes:
        mean: (A, q) posterior means.
        factor: (g, p, p) lower Cholesky factors of s^2 B^-1 of the g independent blocks: one of all
            m q coefficients where actions share them, one of q coefficients for each action else.
        design: turns coefficients into theta_a.
        noise: s, standard deviation of a reward around its mean.
    """

    mean: Float
    factor: Float
    design: Design
    noise: float

    @property
    def action_factor(self) -> Float:
        """(A, q, p) F_a with F_a F_a^T the posterior covariance of theta_a."""
        if not self.design.shared:
            return self.factor
        own = self.factor[0].reshape(self.design.phi.shape[1], self.design.width, -1)
        return np.asarray(np.einsum("am,mqp->aqp", self.design.phi, own))

    def draws(self, count: int, rng: np.random.Generator) -> Float:
        """(count, A, q) draws of all actions' coefficients from the joint posterior."""
        factor = self.action_factor
        if self.design.shared:
            white = rng.standard_normal((count, factor.shape[2]))
            return np.asarray(self.mean + np.einsum("aqp,kp->kaq", factor, white))
        white = rng.standard_normal((count, len(factor), factor.shape[2]))
        return np.asarray(self.mean + np.einsum("aqp,kap->kaq", factor, white))


def fit(decisions: Decisions, design: Design, penalty: float = PENALTY) -> Posterior:
    """The posterior after these decisions."""
    actions, width = len(design.phi), design.width
    gram, toward = np.zeros((actions, width, width)), np.zeros((actions, width))
    u = design.of(decisions.context)
    for action in range(actions):
        taken = decisions.action == action
        gram[action] = u[taken].T @ u[taken]
        toward[action] = u[taken].T @ decisions.reward[taken]
    precision, right = _blocks(design, gram, toward)
    precision = precision + penalty * np.eye(precision.shape[1])
    coefficients: Float = np.linalg.solve(precision, right[:, :, None])[:, :, 0].astype(np.float64)
    mean = coefficients
    if design.shared:
        mean = design.phi @ coefficients.reshape(design.phi.shape[1], width)
    residual = decisions.reward - (u * mean[decisions.action]).sum(axis=1)
    noise = float(np.sqrt(np.mean(residual**2))) if len(residual) else 1.0
    covariance = noise**2 * np.linalg.inv(precision)
    covariance = (covariance + covariance.swapaxes(1, 2)) / 2
    jitter = 1e-15 * np.eye(covariance.shape[1])
    factor = np.asarray(np.linalg.cholesky(covariance + jitter))
    return Posterior(mean, factor, design, noise)


def _blocks(design: Design, gram: Float, toward: Float) -> tuple[Float, Float]:
    """Normal equations (g, p, p) and (g, p) of the independent blocks."""
    if not design.shared:
        return gram, toward
    phi, size = design.phi, design.phi.shape[1] * design.width
    joint = np.einsum("am,an,aqr->mqnr", phi, phi, gram, optimize=True)
    return joint.reshape(1, size, size), (phi.T @ toward).reshape(1, size)
