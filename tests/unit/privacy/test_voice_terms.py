"""The noise that a voice's privacy needs, against dp_accounting's own answer."""

from __future__ import annotations

import math

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.privacy import GaussianMechanism, SubsampledGaussianMechanism
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.privacy import accounting
from everloop.privacy.voice_terms import epsilon_of_mechanism, voice_mechanism


def test_the_least_noise_that_keeps_the_promise() -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.rdp import RdpAccountant

    epsilon = 3.0
    asked = VoicePrivacySpec(epsilon=epsilon, steps=40, sampling_rate=0.1, clip=0.7)
    found = voice_mechanism(asked)
    assert isinstance(found, SubsampledGaussianMechanism)
    assert (found.steps, found.sampling_rate, found.clip) == (40, 0.1, 0.7)
    accountant = RdpAccountant(range(2, 40))
    event = PoissonSampledDpEvent(0.1, GaussianDpEvent(found.sigma))
    accountant.compose(SelfComposedDpEvent(event, 40))
    assert accountant.get_epsilon(asked.delta) == pytest.approx(epsilon, rel=0.02)
    assert epsilon * (1 - 1e-4) < epsilon_of_mechanism(found, asked.delta) <= epsilon
    less = SubsampledGaussianMechanism(found.sigma * 0.999, 0.7, 40, 0.1)
    assert epsilon_of_mechanism(less, asked.delta) > epsilon


def test_a_full_batch_is_accounted_exactly() -> None:
    found = voice_mechanism(VoicePrivacySpec(epsilon=1.0, steps=9, sampling_rate=1.0))
    assert isinstance(found, GaussianMechanism)
    assert found.sigma == pytest.approx(3.0 / accounting.mu(1.0, 1e-5))
    assert epsilon_of_mechanism(found, 1e-5) == pytest.approx(1.0)
    assert math.sqrt(found.mu_squared) == pytest.approx(accounting.mu(1.0, 1e-5))


def test_what_cannot_be_promised_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="is not set"):
        voice_mechanism(VoicePrivacySpec())
    with pytest.raises(ShouldFixArgument, match="No sigma between"):
        voice_mechanism(VoicePrivacySpec(epsilon=1e-9))
