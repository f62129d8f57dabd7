"""``UserModel`` with linear heads: what leaves the trust boundary of how people respond."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.features import FeatureMap, Features
from synthetic.release_facts import ReleaseFacts
from synthetic.response_model import ResponseModel
from synthetic.uncertainty import Uncertainty, required
from synthetic.weights import Weights, columns_of, logits_of, row_of, unflatten


class LinearHeads:
    """Heads that are linear in their features."""

    def __init__(self, features: FeatureMap, weights: Weights) -> None:
        self.features, self.weights = features, weights

    def logits(self, seen: Features) -> Float:
        return logits_of(self.weights, seen)

    def pulled(self, seen: Features, residual: Float) -> Float:
        found = np.zeros((len(residual), self.features.parameters))
        for head in np.flatnonzero(residual.any(axis=0)):
            row = row_of(self.features, seen, int(head))
            found[:, columns_of(self.features, int(head))] += residual[:, [head]] * row
        return found


class LinearUserModel(ResponseModel):
    """A released user model with linear heads.

    Args:
        spec: the loop.
        features: the public features.
        weights: the released parameters.
        facts: what the release says of itself.
        uncertainty: how far the parameters may be off; ``None``: not computed.
    """

    def __init__(
        self,
        spec: LoopSpec,
        features: FeatureMap,
        weights: Weights,
        facts: ReleaseFacts,
        uncertainty: Uncertainty | None = None,
    ) -> None:
        moving = np.zeros(features.context.shape[1], dtype=np.bool_)
        moving[list(facts.interacting)] = True
        super().__init__(spec, features, LinearHeads(features, weights), moving)
        self.weights, self.facts, self.uncertainty = weights, facts, uncertainty
        self._spec = spec

    @property
    def release_id(self) -> str:
        return self.facts.release_id

    @property
    def parameters(self) -> int:
        return len(self.weights)

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[LinearUserModel, ...]:
        """``count`` models that noise and sampling error leave possible, drawn around the released one.

        Raises:
            ShouldRestoreArtefact: the release does not say how far it may be off.
        """
        drawn = required(self.uncertainty, self.release_id).drawn(self.weights.flat, count, rng)
        return tuple(
            LinearUserModel(
                self._spec, self.features, unflatten(self.features, one), self.facts, None
            )
            for one in drawn
        )

    def reward_standard_error(self, context: Float32, action: Int) -> Float:
        """(n,) standard error of the expected reward by noise and sampling error, delta method."""
        known = required(self.uncertainty, self.release_id)
        return known.standard_error(self.reward_gradient(context, action))
