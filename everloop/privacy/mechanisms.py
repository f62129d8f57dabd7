"""What mechanisms cost and how ledger rows write them down."""

from __future__ import annotations

import math
from functools import lru_cache

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import GaussianMechanism, Mechanism, SubsampledGaussianMechanism
from everloop.privacy import renyi

_ROUNDING = 1e-14
"""Added to the logarithm of a step's moment, where it is computed as one plus something small."""
_ROUNDING_OF_FACTORIALS = 4e-15
_SIGMA_TOLERANCE = 1e-10


def as_json(mechanism: Mechanism) -> dict[str, float | int | str]:
    """A mechanism as rows keep it; a full batch has sampling rate 1."""
    rate = 1.0 if isinstance(mechanism, GaussianMechanism) else mechanism.sampling_rate
    return {
        "kind": mechanism.kind,
        "sigma": mechanism.sigma,
        "clip": mechanism.clip,
        "steps": mechanism.steps,
        "sampling_rate": rate,
    }


def divergences(mechanism: Mechanism) -> tuple[float, ...]:
    """Renyi divergences of all steps at ``renyi.ORDERS``, adding or removing one person.

    A subsampled Gaussian's come from dp_accounting (Mironov, Talwar, Zhang, "Renyi differential privacy
    of the sampled Gaussian mechanism", 2019), and are rounded up by more than its floats err.

    Raises:
        ShouldFixArgument: so little noise that a divergence is not finite.
    """
    if isinstance(mechanism, GaussianMechanism):
        return renyi.gaussian(mechanism.mu_squared)
    return tuple(
        mechanism.steps * _one_step(mechanism.sigma, mechanism.sampling_rate, order)
        for order in renyi.ORDERS
    )


def mu_squared_of(mechanism: Mechanism, privacy: PrivacySpec) -> float:
    """mu^2 of a mechanism; of a subsampled one, at the order that the budget is judged at."""
    if isinstance(mechanism, GaussianMechanism):
        return mechanism.mu_squared
    order = renyi.ORDERS[renyi.judging_index(privacy.epsilon, privacy.delta)]
    step = _one_step(mechanism.sigma, mechanism.sampling_rate, order)
    return renyi.as_mu_squared(mechanism.steps * step, privacy.epsilon, privacy.delta)


def subsampled_for(mu_squared: float, privacy: PrivacySpec) -> SubsampledGaussianMechanism:
    """The user model's subsampled mechanism that costs what a Gaussian of this mu^2 does.

    sigma is found by bisection so that the divergence at the judging order is at most
    alpha mu^2 / 2, and less by no more than a millionth of it.

    Raises:
        ShouldFixArgument: no sigma between 0.3 and 1e6 costs so much or so little.
    """
    order = renyi.ORDERS[renyi.judging_index(privacy.epsilon, privacy.delta)]
    sigma = _calibrated(order * mu_squared / 2.0 / privacy.steps, privacy.sampling_rate, order)
    return SubsampledGaussianMechanism(sigma, privacy.clip, privacy.steps, privacy.sampling_rate)


@lru_cache(maxsize=256)
def _calibrated(per_step: float, rate: float, order: int) -> float:
    def excess(log_sigma: float) -> float:
        return math.log(_one_step(math.exp(log_sigma), rate, order) / per_step)

    low, high = math.log(0.3), math.log(1e6)
    if not excess(low) > 0.0 > excess(high):
        raise ShouldFixArgument(
            f"No noise makes a step at sampling rate {rate:g} cost a divergence of {per_step:.3g}.",
            "Take fewer privacy.steps, or another privacy.sampling_rate.",
        )
    from scipy.optimize import brentq  # noqa: PLC0415

    root = float(brentq(excess, low, high, xtol=_SIGMA_TOLERANCE))
    return math.exp(root + 2.0 * _SIGMA_TOLERANCE)


@lru_cache(maxsize=65_536)
def _one_step(sigma: float, rate: float, order: int) -> float:
    """Divergence of one subsampled step at one order."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent  # noqa: PLC0415
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415

    accountant = RdpAccountant([order])
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(sigma)))
    found = max(0.0, float(accountant.rdp[0]))
    if not math.isfinite(found):
        raise ShouldFixArgument(
            f"Noise sigma={sigma:g} is too little to account for at order {order}.",
            "Use more noise.",
        )
    rounding = _ROUNDING + _ROUNDING_OF_FACTORIALS * math.lgamma(order + 1.0)
    return found + rounding / (order - 1.0)
