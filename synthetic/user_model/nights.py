"""How a night's release weighs against those before it, and nights played one after another.

Night t costs m_t (mu^2). Its part in what is known is g_t = m_t / P_t with the precision

    P_t = kept P_(t-1) + m_t,      kept = 1 - 1 / MEMORY_NIGHTS,      P_0 = 0,

and its steps are taken at the rate g_t times that of a first fit: a running mean over about
MEMORY_NIGHTS nights, which follows a world that drifts and keeps noise from piling up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.privacy import Mechanism
from synthetic.noise import Noise
from synthetic.people import PeopleEpisodes
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.weights import Weights, cold_weights

MEMORY_NIGHTS = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Released:
    """A night's output: its weights and ``precision``, the mu^2 that they rest on."""

    weights: Weights
    precision: float


def night_rate(
    privacy: PrivacySpec, mu_squared: float, before: float | None
) -> tuple[float, float]:
    """(rate of the night's steps, precision after it); ``before``: the precision so far."""
    kept = 0.0 if before is None else before * (1.0 - 1.0 / MEMORY_NIGHTS)
    precision = kept + mu_squared
    return privacy.learning_rate * mu_squared / precision, precision


def play_nights(
    spec: LoopSpec,
    features: FeatureMap,
    nights: Iterable[tuple[PeopleEpisodes, Mechanism, float, Noise]],
    start: Released | None = None,
) -> Iterator[Released]:
    """The releases of nights, each warm-started from the one before, without ledger or files.

    Args:
        spec: the loop.
        features: public features.
        nights: (people, mechanism, its mu^2, noise) of each night, in order.
        start: what the first of them starts from; ``None``: cold.
    """
    from synthetic.user_model.private_fit import private_fit  # noqa: PLC0415

    before = start
    for people, mechanism, mu_squared, noise in nights:
        rate, precision = night_rate(
            spec.privacy, mu_squared, None if before is None else before.precision
        )
        begun = cold_weights(spec, features) if before is None else before.weights
        weights = private_fit(spec, features, people, begun, mechanism, rate, noise)
        before = Released(weights, precision)
        yield before
