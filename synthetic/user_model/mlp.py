"""``UserModel`` with one hidden layer beside the linear heads.

    logit_h = linear_h + u_h . tanh(V x),

linear_h the linear heads without interactions, x everything that wide heads see: context, action and
what the last interactions were like. All heads share the hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodingLayout, Float, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.features import CONTEXT_SCALE, FeatureMap, Features
from synthetic.user_model.released import ReleasedUserModel
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import (
    Weights,
    cold_weights,
    columns_of,
    logits_of,
    row_of,
    unflatten,
)
from synthetic.user_model.widest import feature_map

_FIRST = 20_260_103
SHARED_GAIN = 1.5 / CONTEXT_SCALE
"""Contexts enter the hidden layer at 1.5, actions as wide heads see them."""
_OUT = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class MlpWeights:
    """``linear``; ``inner`` (h, I), V of the formula; ``outer`` (H, h), the rows u."""

    linear: Weights
    inner: Float
    outer: Float

    @property
    def flat(self) -> Float:
        """(p,) all of them, in the order of the fields."""
        return np.concatenate([self.linear.flat, self.inner.ravel(), self.outer.ravel()])


def hidden_inputs(seen: Features) -> Float:
    """(n, I) what the hidden layer sees."""
    return np.concatenate([seen.shared * SHARED_GAIN, seen.wide], axis=1)


def inputs_width(features: FeatureMap) -> int:
    """I = G + F."""
    return features.shared_width + features.width


def mlp_features(
    spec: LoopSpec, interacting: Bool, layout: EncodingLayout | None = None
) -> tuple[FeatureMap, int]:
    """(features, hidden units) that fit ``privacy.parameter_limit``; units are ``privacy.hidden`` or
    what the limit leaves room for beside the linear heads, whose interactions it replaces.

    Raises:
        ShouldFixLoopSpec: no hidden unit fits.
    """
    limit = spec.privacy.parameter_limit
    features = feature_map(spec, interacting, layout, hidden=spec.privacy.hidden)
    each = inputs_width(features) + features.heads
    units = min(spec.privacy.hidden, (limit - features.parameters) // each)
    if units < 1:
        raise ShouldFixLoopSpec(
            f"privacy.max_parameters={limit} leaves no room for a hidden unit of {each} parameters "
            f"beside {features.parameters} linear ones.",
            "Raise it, or set privacy.user_model to linear.",
        )
    return features, units


def cold_mlp_weights(spec: LoopSpec, features: FeatureMap, units: int) -> MlpWeights:
    """Where a cold fit starts: the linear cold start, and a hidden layer from a public seed."""
    width = inputs_width(features)
    rng = np.random.default_rng([_FIRST, width, units])
    return MlpWeights(
        cold_weights(spec, features),
        rng.standard_normal((units, width)) / np.sqrt(width),
        _OUT * rng.standard_normal((features.heads, units)) / np.sqrt(units),
    )


def unflatten_mlp(features: FeatureMap, flat: Float) -> MlpWeights:
    """The parameters that a vector (p,) holds; ``ShouldFixArgument`` for a length that none has."""
    linear, width = features.parameters, inputs_width(features)
    units, rest = divmod(len(flat) - linear, width + features.heads)
    if rest or units < 1:
        raise ShouldFixArgument(f"A vector of {len(flat)} numbers is no such model's weights.")
    cut = linear + units * width
    return MlpWeights(
        unflatten(features, flat[:linear]),
        flat[linear:cut].reshape(units, width).copy(),
        flat[cut:].reshape(features.heads, units).copy(),
    )


class MlpHeads:
    """Heads on one hidden layer."""

    def __init__(self, features: FeatureMap, weights: MlpWeights) -> None:
        self.features, self.weights = features, weights

    @property
    def flat(self) -> Float:
        return self.weights.flat

    def logits(self, seen: Features) -> Float:
        hidden = np.tanh(hidden_inputs(seen) @ self.weights.inner.T)
        return logits_of(self.weights.linear, seen) + hidden @ self.weights.outer.T

    def columns(self, head: int) -> Int:
        units, width = self.weights.inner.shape
        linear = self.features.parameters
        inner = np.arange(linear, linear + units * width)
        outer = linear + units * width + head * units + np.arange(units)
        return np.concatenate([columns_of(self.features, head), inner, outer])

    def row(self, seen: Features, head: int) -> Float:
        inputs = hidden_inputs(seen)
        hidden = np.tanh(inputs @ self.weights.inner.T)
        slope = self.weights.outer[head] * (1.0 - hidden**2)
        inner = (slope[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
        return np.concatenate([row_of(self.features, seen, head), inner, hidden], axis=1)


class MlpUserModel(ReleasedUserModel):
    """A released user model with one hidden layer; arguments as ``LinearUserModel``'s."""

    def __init__(
        self,
        spec: LoopSpec,
        features: FeatureMap,
        weights: MlpWeights,
        facts: ReleaseFacts,
        uncertainty: Uncertainty | None = None,
    ) -> None:
        super().__init__(spec, features, MlpHeads(features, weights), facts, uncertainty)
        self.weights = weights

    def moved(self, flat: Float) -> MlpUserModel:
        return MlpUserModel(
            self._spec, self.features, unflatten_mlp(self.features, flat), self.facts
        )
