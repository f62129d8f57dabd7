"""Fit a mixture of product distributions to noisy 1-way and 2-way tables: post-processing.

Minimised is half the squared misfit over the noise's variance (the Gaussian log-likelihood) plus
PRIOR sum_k w_k KL(component k || all), the mutual information between component and each variable:
what the tables do not show to depend, stays independent, and the more so the larger the noise is.
Several fits from different starts are averaged, which is again a mixture. As in GEM and RAP++ (Liu,
Vietri, Wu 2021; Vietri et al. 2022) the generator is fitted to the tables by gradient; here all tables
are measured once, and two matrix products give the misfit and its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.profiles.mixture import Mixture, independent, starts_of
from synthetic.profiles.simplex import to_simplex

PRIOR = 120.0
"""Strength of the prior, in nats of misfit per nat of mutual information: a table's cells are thought
to differ from independence by about 1 / sqrt(PRIOR cells). Chosen with the other constants on made-up
populations whose structures and seeds no benchmark uses."""
COMPONENTS = 24
MEMBERS = 12
ITERATIONS = 600
_LEAST = 1e-4
_SPREAD = 1.0
_SEED = 20_260_103


@dataclass(frozen=True, slots=True, eq=False)
class NoisyTables:
    """What a release says of V variables with B bins; 2-way tables may use coarser bins, G in all.

    Attributes:
        cards: (V,) bins of each variable.
        group: (B,) coarse bin of each bin, counted over all variables; ascending, a group never spans
            two variables.
        shares: (B,) noisy 1-way shares.
        deviation: standard deviation of each, infinite where only the pairs were measured.
        joint: (G, G) noisy 2-way shares, symmetric; 0 where not measured.
        measured: (V, V) which pairs were; symmetric, False on the diagonal.
        joint_deviation: standard deviation of each measured 2-way share.
    """

    cards: tuple[int, ...]
    group: Int
    shares: Float
    deviation: float
    joint: Float
    measured: Bool
    joint_deviation: float

    def __post_init__(self) -> None:
        bins, groups = sum(self.cards), int(self.group.max(initial=-1)) + 1
        shapes = (self.group.shape, self.shares.shape, self.joint.shape, self.measured.shape)
        if shapes != ((bins,), (bins,), (groups, groups), (len(self.cards), len(self.cards))):
            raise ShouldFixArgument(
                f"Noisy tables over {self.cards} have shapes {shapes}, which do not fit together."
            )
        if not (np.isfinite(self.shares).all() and np.isfinite(self.joint).all()):
            raise ShouldFixArgument("Noisy tables hold NaN or infinity.")
        if not (self.deviation > 0.0 and self.joint_deviation > 0.0):
            raise ShouldFixArgument(
                f"Noise deviations {self.deviation} and {self.joint_deviation} are not above 0."
            )


def fit_mixture(
    tables: NoisyTables,
    components: int = COMPONENTS,
    members: int = MEMBERS,
    iterations: int = ITERATIONS,
    prior: float = PRIOR,
) -> Mixture:
    """The fitted mixture, ``members`` fits of ``components`` each; deterministic.

    Without any measured pair it is the product of the projected 1-way shares.
    """
    shares = projected_shares(tables)
    if not tables.measured.any():
        return independent(shares, tables.cards)
    fits = [
        _fit(tables, shares, components, iterations, prior, np.random.default_rng([_SEED, member]))
        for member in range(members)
    ]
    return Mixture(
        np.concatenate([weights for weights, _ in fits]) / members,
        np.concatenate([bins for _, bins in fits]),
        tables.cards,
    )


def projected_shares(tables: NoisyTables) -> Float:
    """(B,) probabilities of each variable: the noisy shares, or the pairs' margins, on the simplex."""
    noisy = tables.shares if np.isfinite(tables.deviation) else _margins(tables)
    projected = np.empty_like(noisy)
    for start, card in zip(starts_of(tables.cards), tables.cards, strict=True):
        projected[start : start + card] = to_simplex(noisy[start : start + card])
    return projected


def _margins(tables: NoisyTables) -> Float:
    """Least-variance mean of each variable's margins over the pairs that hold it; bins as groups."""
    owner = np.repeat(np.arange(len(tables.cards)), tables.cards)
    weight = tables.measured / np.asarray(tables.cards)
    total = weight.sum(axis=1)
    margins = (tables.joint * weight[owner][:, owner]).sum(axis=1)
    alone = total[owner] == 0.0
    even = 1.0 / np.asarray(tables.cards)[owner]
    return np.asarray(
        np.where(alone, even, margins / np.where(alone, 1.0, total[owner])), dtype=np.float64
    )


def _fit(
    tables: NoisyTables,
    shares: Float,
    components: int,
    iterations: int,
    prior: float,
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """((K,) weights, (K, B) bins) of one start: components scattered around independence."""
    misfit = Misfit(tables, components, prior)
    logits = np.log(np.maximum(shares, _LEAST)) + _SPREAD * rng.normal(
        size=(components, len(shares))
    )
    found = minimize(
        misfit,
        np.concatenate([np.zeros(components), logits.ravel()]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 20},
    )
    return misfit.parts(found.x)


class Misfit:
    """The objective and its gradient over K weight logits and K x B bin logits."""

    def __init__(self, tables: NoisyTables, components: int, prior: float) -> None:
        self._tables = tables
        self._components = components
        self._prior = prior
        self._starts = starts_of(tables.cards)
        self._group_starts = np.flatnonzero(np.diff(tables.group, prepend=-1))
        owner = np.repeat(np.arange(len(tables.cards)), tables.cards)
        of_group = owner[self._group_starts]
        self._precision = tables.measured[of_group][:, of_group] / tables.joint_deviation**2

    def parts(self, point: Float) -> tuple[Float, Float]:
        """((K,) weights, (K, B) bins) of a point of the search."""
        logits = point[: self._components]
        weights = np.exp(logits - logits.max())
        rows = point[self._components :].reshape(self._components, -1)
        top = self._spread(np.maximum.reduceat(rows, self._starts, axis=1))
        bins = np.exp(rows - top)
        return weights / weights.sum(), bins / self._sums(bins)

    def __call__(self, point: Float) -> tuple[float, Float]:
        """(objective, gradient) at a point."""
        tables = self._tables
        weights, bins = self.parts(point)
        coarse = np.add.reduceat(bins, self._group_starts, axis=1)
        residual = coarse.T @ (weights[:, None] * coarse) - tables.joint
        pull = self._precision * residual
        value = 0.25 * float((pull * residual).sum())
        along = coarse @ pull
        to_weights = 0.5 * (along * coarse).sum(axis=1)
        to_bins = (weights[:, None] * along)[:, tables.group]

        everyone = weights @ bins
        off = (everyone - tables.shares) / tables.deviation
        value += 0.5 * float(off @ off)
        to_weights = to_weights + bins @ (off / tables.deviation)
        to_bins = to_bins + weights[:, None] * (off / tables.deviation)

        surprise = np.log(np.maximum(bins, 1e-300)) - np.log(np.maximum(everyone, 1e-300))
        divergence = (bins * surprise).sum(axis=1)
        value += self._prior * float(weights @ divergence)
        to_weights = to_weights + self._prior * divergence
        to_bins = to_bins + self._prior * weights[:, None] * surprise

        moved = to_bins * bins
        logits = moved - bins * self._sums(moved)
        gradient = weights * (to_weights - weights @ to_weights)
        return value, np.concatenate([gradient, logits.ravel()])

    def _sums(self, rows: Float) -> Float:
        """Each variable's sum, repeated over its bins."""
        return self._spread(np.add.reduceat(rows, self._starts, axis=1))

    def _spread(self, of_variables: Float) -> Float:
        return np.repeat(of_variables, self._tables.cards, axis=1)
