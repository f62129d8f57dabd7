"""What a night's budget buys of next contexts: held-out people are predicted better than by no change."""

from __future__ import annotations

import hashlib

from bench.private.population_log import make_world
from everloop.contracts.privacy import GaussianMechanism
from everloop.loops import load
from rl.encoders import layout
from synthetic.heads import head_figures
from synthetic.noise import SealedNoise
from synthetic.people import following, gather, people_of
from synthetic.user_model.nights import play_nights
from synthetic.user_model.tonight import cold_model
from synthetic.user_model.widest import feature_map

PEOPLE, NOISE = 1000, SealedNoise(hashlib.sha256(b"next contexts").digest(), "test")


def test_next_contexts_are_better_than_no_change() -> None:
    loop = load("companion")
    privacy = loop.privacy.model_copy(update={"people_expected": PEOPLE, "epsilon": 1.0})
    spec = loop.model_copy(update={"privacy": privacy})
    episodes = make_world(spec, 2 * PEOPLE, 4, 21, holdout_share=0.5).episodes
    training = episodes.training
    features = feature_map(spec, episodes.interacting, layout(spec))
    people = gather(training, people_of(training), 4, following(training))
    # sigma of epsilon 1 at delta 1e-5 within as many steps
    mechanism = GaussianMechanism(sigma=14.9, clip=privacy.clip, steps=16)
    (released,) = play_nights(spec, features, [(people, mechanism, 16 / 14.9**2, NOISE)])
    model = cold_model(spec, training, layout(spec)).moved(released.weights.flat)
    found = {figure.name: figure for figure in head_figures(spec, model, episodes)}
    learned, unchanged = found["next_emotion_rmse"], found["next_emotion_unchanged_rmse"]
    assert learned.n > 1000
    assert learned.high < unchanged.low
    alone = cold_model(spec, training, layout(spec))
    cold = {figure.name: figure for figure in head_figures(spec, alone, episodes)}
    assert learned.value < cold["next_emotion_rmse"].value
