"""What privacy cost in accuracy on a night: its user model beside one that was fitted without privacy.

The reference is a function of the raw log. It is judged here, inside the boundary, and thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from components._private import released_file
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.loop_spec import LoopSpec
from everloop.sdk.demo.night import Night
from synthetic.people import gather, people_of
from synthetic.quality.auc import auc
from synthetic.user_model import load_user_model
from synthetic.user_model.linear import LinearHeads
from synthetic.user_model.reference_fit import reference_fit
from synthetic.user_model.responses import ResponseModel
from synthetic.user_model.weights import Weights


@dataclass
class Accuracy:
    """Areas under the ROC curve of acceptance on the people who are kept from learning.

    ``start``: the last night's reference; the optimum doesn't depend on it, the time to it does.
    """

    spec: LoopSpec
    start: Weights | None = None

    def of(self, night: Night) -> tuple[float, float]:
        """(private, without privacy); NaN where the night made no user model, or where everyone or
        nobody accepted."""
        if night.ended_at in BEFORE_A_MODEL:
            return math.nan, math.nan
        episodes = load_encoded(night.path("episodes"))
        model = load_user_model(released_file(str(night.path("user_model"))), self.spec)
        training = episodes.training
        weights = reference_fit(
            self.spec,
            model.features,
            gather(training, people_of(training), self.spec.privacy.episodes_per_person),
            self.start if self.start is not None and len(self.start) == model.parameters else None,
        )
        self.start = weights
        moving = np.zeros(training.context.shape[1], dtype=np.bool_)
        moving[model.features.moving] = True
        reference = ResponseModel(
            self.spec, model.features, LinearHeads(model.features, weights), moving
        )
        judged = episodes.evaluation
        return self._auc(model, judged), self._auc(reference, judged)

    def _auc(self, model: ResponseModel, judged: EncodedEpisodes) -> float:
        accepted = judged.reward >= self.spec.reward.success_at
        return auc(accepted, model.acceptance(judged.context, judged.action))


BEFORE_A_MODEL = ("validate_episodes", "fit_user_model")
"""Steps that end a night before it has a user model."""
