"""A released user model: its heads, what the release says of itself, and how far it may be off."""

from __future__ import annotations

from typing import Self

import numpy as np

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.responses import Heads, ResponseModel
from synthetic.user_model.uncertainty import Uncertainty, required


class ReleasedUserModel(ResponseModel):
    """What every kind of released user model offers; a kind says how it is made from other parameters."""

    def __init__(
        self,
        spec: LoopSpec,
        features: FeatureMap,
        heads: Heads,
        facts: ReleaseFacts,
        uncertainty: Uncertainty | None,
    ) -> None:
        moving = np.zeros(features.context.shape[1], dtype=np.bool_)
        moving[list(facts.interacting)] = True
        super().__init__(spec, features, heads, moving)
        self.facts, self.uncertainty = facts, uncertainty
        self._spec = spec

    @property
    def heads(self) -> Heads:
        return self._heads

    @property
    def release_id(self) -> str:
        return self.facts.release_id

    @property
    def parameters(self) -> int:
        return len(self._heads.flat)

    def moved(self, flat: Float) -> Self:
        """The same model with other parameters (p,), of which no uncertainty is known."""
        raise NotImplementedError

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[Self, ...]:
        """``count`` models that noise and sampling error leave possible, drawn around the released one.

        Raises:
            ShouldRestoreArtefact: the release does not say how far it may be off.
        """
        known = required(self.uncertainty, self.release_id)
        return tuple(self.moved(one) for one in known.drawn(self._heads.flat, count, rng))

    def reward_standard_error(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        """(n,) standard error of the expected reward by noise and sampling error, delta method.

        Raises:
            ShouldRestoreArtefact: the release does not say how far it may be off.
        """
        known = required(self.uncertainty, self.release_id)
        return known.standard_error(self.reward_gradient(context, action, slate))
