"""What a voice's private training costs: the mechanism that its specification asks for, and its epsilon."""

from __future__ import annotations

import math

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.privacy import GaussianMechanism, Mechanism, SubsampledGaussianMechanism
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.privacy import accounting, renyi
from everloop.privacy.mechanisms import divergences

_LEAST, _MOST = 0.3, 1e6
_TOLERANCE = 1e-6


def epsilon_of_mechanism(mechanism: Mechanism, delta: float) -> float:
    """Least epsilon at ``delta``: exact for full batches, by Renyi orders for subsampled ones."""
    if isinstance(mechanism, GaussianMechanism):
        return accounting.epsilon_of(mechanism.mu_squared, delta)
    return renyi.epsilon_of(divergences(mechanism), delta)


def voice_mechanism(privacy: VoicePrivacySpec) -> Mechanism:
    """The mechanism with the least noise that costs each person at most ``epsilon`` at ``delta``.

    sigma is found by bisection, and is above the least one by no more than a millionth of it.

    Raises:
        ShouldFixArgument: the specification asks for no privacy, or no sigma in [0.3, 1e6] suffices.
    """
    if privacy.epsilon is None:
        raise ShouldFixArgument(
            "voice.privacy.epsilon is not set: training is not private.",
            "Set it, or train without.",
        )
    if privacy.sampling_rate == 1.0:
        mu = accounting.mu(privacy.epsilon, privacy.delta)
        return GaussianMechanism(math.sqrt(privacy.steps) / mu, privacy.clip, privacy.steps)
    low, high = math.log(_LEAST), math.log(_MOST)
    if _costs(privacy, high) > privacy.epsilon or _costs(privacy, low) <= privacy.epsilon:
        raise ShouldFixArgument(
            f"No sigma between {_LEAST:g} and {_MOST:g} gives epsilon={privacy.epsilon:g} at "
            f"delta={privacy.delta:g} in {privacy.steps} steps at rate {privacy.sampling_rate:g}.",
            "Take a larger epsilon or fewer steps.",
        )
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        if _costs(privacy, middle) > privacy.epsilon:
            low = middle
        else:
            high = middle
    return _at(privacy, high)


def _at(privacy: VoicePrivacySpec, log_sigma: float) -> SubsampledGaussianMechanism:
    return SubsampledGaussianMechanism(
        math.exp(log_sigma), privacy.clip, privacy.steps, privacy.sampling_rate
    )


def _costs(privacy: VoicePrivacySpec, log_sigma: float) -> float:
    return epsilon_of_mechanism(_at(privacy, log_sigma), privacy.delta)
