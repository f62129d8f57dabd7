"""Parameters of the linear user model, its logits, and how both lie in one vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.features import (
    ACTION_SCALE,
    NARROW_SCALE,
    RESTING_SCALE,
    FeatureMap,
    Features,
)

RETENTION = 0.6
"""Where cold fits start: share of a person's distance from where they rest that is left at the next
decision."""
_LEAST_SHARE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """``values`` (S, F), ``acceptance`` (F,), ``shared`` (G,), ``presences`` (M, N), ``end`` (N,),
    ``motions`` (m, D); see ``synthetic.user_model.features`` for the widths."""

    values: Float
    acceptance: Float
    shared: Float
    presences: Float
    end: Float
    motions: Float

    @property
    def flat(self) -> Float:
        """(p,) all of them, in the order of the fields."""
        return np.concatenate([part.ravel() for part in self._parts()])

    def __len__(self) -> int:
        return sum(part.size for part in self._parts())

    def _parts(self) -> tuple[Float, ...]:
        return (
            self.values,
            self.acceptance,
            self.shared,
            self.presences,
            self.end,
            self.motions,
        )


def shapes(features: FeatureMap) -> dict[str, tuple[int, ...]]:
    """Shape of each field of ``Weights``, in order."""
    return {
        "values": (features.signals, features.width),
        "acceptance": (features.width,),
        "shared": (features.shared_width,),
        "presences": (features.presences, features.narrow_width),
        "end": (features.narrow_width,),
        "motions": (len(features.moving), features.motion_width),
    }


def unflatten(features: FeatureMap, flat: Float) -> Weights:
    """The parameters that a vector (p,) holds; ``ShouldFixArgument`` for another length."""
    if flat.shape != (features.parameters,):
        raise ShouldFixArgument(
            f"A vector of shape {flat.shape} is not ({features.parameters},), these features' weights."
        )
    parts, start = {}, 0
    for name, shape in shapes(features).items():
        size = int(np.prod(shape))
        parts[name] = flat[start : start + size].reshape(shape).copy()
        start += size
    return Weights(**parts)


def logits_of(weights: Weights, seen: Features) -> Float:
    """(n, H) logits: values, acceptance, presences, journey end, next contexts."""
    wide = seen.wide @ np.vstack([weights.values, weights.acceptance[None]]).T
    narrow = seen.narrow @ np.vstack([weights.presences, weights.end[None]]).T
    motion = np.einsum("nmd,md->nm", seen.motion, weights.motions)
    return np.concatenate([wide + (seen.shared @ weights.shared)[:, None], narrow, motion], axis=1)


def gradient_of(features: FeatureMap, seen: Features, residual: Float) -> Float:
    """(p,) sum over n decisions and H heads of residual (n, H) times the gradient of the logit."""
    wide, narrow = features.signals + 1, features.presences + 1
    parts = (
        residual[:, :wide].T @ seen.wide,
        residual[:, :wide].sum(axis=1) @ seen.shared,
        residual[:, wide : wide + narrow].T @ seen.narrow,
        np.einsum("nm,nmd->md", residual[:, wide + narrow :], seen.motion),
    )
    return np.concatenate([part.ravel() for part in parts])


def columns_of(features: FeatureMap, head: int) -> Int:
    """Positions in the vector of what a head's logit is linear in; ``row_of`` has their features."""
    wide, narrow = features.signals + 1, features.presences + 1
    shared = wide * features.width
    after = shared + features.shared_width
    if head < wide:
        own = np.arange(features.width) + head * features.width
        return np.concatenate([own, np.arange(shared, after)])
    if head < wide + narrow:
        return np.arange(features.narrow_width) + after + (head - wide) * features.narrow_width
    first = after + narrow * features.narrow_width
    return np.arange(features.motion_width) + first + (head - wide - narrow) * features.motion_width


def row_of(features: FeatureMap, seen: Features, head: int) -> Float:
    """(n, q) gradient of a head's logit in its ``columns_of``."""
    wide, narrow = features.signals + 1, features.presences + 1
    if head < wide:
        return np.concatenate([seen.wide, seen.shared], axis=1)
    if head < wide + narrow:
        return seen.narrow
    return seen.motion[:, head - wide - narrow]


def cold_weights(spec: LoopSpec, features: FeatureMap) -> Weights:
    """Where a cold fit starts, from the specification alone.

    Every signal is in the middle of its range, except where a success metric declares a baseline of
    its share over all actions: a rare signal would need many noisy steps to get down to its level. If
    every signal declares one, acceptance starts at their weighted mean. Journeys end after
    ``training.journey_length`` decisions in the mean, and contexts return to where people rest.
    """
    flat = {name: np.zeros(shape) for name, shape in shapes(features).items()}
    shares = _baselines(spec)
    for position, signal in enumerate(spec.signals):
        if signal.name in shares:
            flat["values"][position, : features.actions] = (
                _level(shares[signal.name]) / ACTION_SCALE
            )
    if len(shares) == len(spec.signals):
        weight = np.array([s.weight for s in spec.signals])
        mean = float(weight @ [shares[s.name] for s in spec.signals] / weight.sum())
        flat["acceptance"][: features.actions] = _level(mean) / ACTION_SCALE
    groups = int(features.groups.max()) + 1
    ending = min(1.0 / spec.training.journey_length, 0.5)
    flat["end"][:groups] = _level(ending) / NARROW_SCALE
    # 2 sigmoid(x) - 1 is about x / 2, so these give x' = r + RETENTION (x - r) near the middle
    flat["motions"][:, 0] = 2.0 * RETENTION / RESTING_SCALE
    flat["motions"][:, 1] = 2.0 * (1.0 - RETENTION) / RESTING_SCALE
    return Weights(**flat)


def _baselines(spec: LoopSpec) -> dict[str, float]:
    shares = {}
    for metric in spec.success_metrics:
        if metric.signal in spec.signal_names and metric.unit == "share" and not metric.action_kind:
            signal = spec.signal(metric.signal)
            shares[metric.signal] = (metric.baseline - signal.low) / (signal.high - signal.low)
    return shares


def _level(share: float) -> float:
    return float(logit(min(max(share, _LEAST_SHARE), 1.0 - _LEAST_SHARE)))
