"""``UserModel`` with linear heads: what leaves the trust boundary of how people respond."""

from __future__ import annotations

from everloop.contracts.datasets import Float, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.features import FeatureMap, Features
from synthetic.user_model.released import ReleasedUserModel
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, columns_of, logits_of, row_of, unflatten


class LinearHeads:
    """Heads that are linear in their features."""

    def __init__(self, features: FeatureMap, weights: Weights) -> None:
        self.features, self.weights = features, weights

    @property
    def flat(self) -> Float:
        return self.weights.flat

    def logits(self, seen: Features) -> Float:
        return logits_of(self.weights, seen)

    def columns(self, head: int) -> Int:
        return columns_of(self.features, head)

    def row(self, seen: Features, head: int) -> Float:
        return row_of(self.features, seen, head)


class LinearUserModel(ReleasedUserModel):
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
        super().__init__(spec, features, LinearHeads(features, weights), facts, uncertainty)
        self.weights = weights

    def moved(self, flat: Float) -> LinearUserModel:
        return LinearUserModel(
            self._spec, self.features, unflatten(self.features, flat), self.facts
        )
