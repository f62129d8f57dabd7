"""Made-up releases of the small product's user model."""

from __future__ import annotations

import numpy as np

from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.world import INTERACTING, SPEC

FEATURES = feature_map(SPEC, INTERACTING)
FACTS = ReleaseFacts(
    release_id="a" * 32,
    loop="small",
    encoder="small-1",
    actions=SPEC.action_ids,
    signals=SPEC.signal_names,
    interacting=(0, 1, 2),
    sigma=10.0,
    clip=0.5,
    steps=8,
    sampling_rate=1.0,
    mu_squared=0.08,
    learning_rate=12.0,
    precision=0.08,
    people_expected=600,
    noise_deviation=0.1,
    noise_share=0.1,
    warm_start="",
)


def random_weights(seed: int = 1, scale: float = 0.3) -> Weights:
    rng = np.random.default_rng(seed)
    return unflatten(FEATURES, rng.normal(0, scale, FEATURES.parameters))


def model_of(weights: Weights, uncertainty: Uncertainty | None = None) -> LinearUserModel:
    return LinearUserModel(SPEC, FEATURES, weights, FACTS, uncertainty)
