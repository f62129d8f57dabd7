"""The user model with one hidden layer: its formula, its gradient, its width, and a night of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model import load_user_model
from synthetic.user_model.mlp import (
    MlpHeads,
    MlpUserModel,
    MlpWeights,
    cold_mlp_weights,
    hidden_inputs,
    mlp_features,
    unflatten_mlp,
)
from synthetic.user_model.weights import logits_of
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.user_model.test_tonight import night
from tests.unit.synthetic.world import INTERACTING, LAYOUT, SPEC, Place, contexts, make


def spec_with(**privacy: object) -> LoopSpec:
    changed = SPEC.model_dump()
    changed["privacy"] |= {"user_model": "mlp", "hidden": 4} | privacy
    return LoopSpec.model_validate(changed)


MLP = spec_with()
FEATURES, UNITS = mlp_features(MLP, INTERACTING, LAYOUT)


def random_weights(seed: int = 1) -> MlpWeights:
    cold = cold_mlp_weights(MLP, FEATURES, UNITS)
    rng = np.random.default_rng(seed)
    return unflatten_mlp(FEATURES, cold.flat + rng.normal(0, 0.3, len(cold.flat)))


def test_logits_are_the_linear_heads_and_the_hidden_layer() -> None:
    weights = random_weights()
    seen = FEATURES.of(contexts(5, np.random.default_rng(1)), np.arange(5) % 4)
    hidden = np.tanh(hidden_inputs(seen) @ weights.inner.T)
    expected = logits_of(weights.linear, seen) + hidden @ weights.outer.T
    np.testing.assert_allclose(MlpHeads(FEATURES, weights).logits(seen), expected)
    assert hidden.std() > 0.2


def test_rows_are_gradients() -> None:
    weights = random_weights()
    heads = MlpHeads(FEATURES, weights)
    seen = FEATURES.of(contexts(5, np.random.default_rng(1)), np.arange(5) % 4)
    for head in range(FEATURES.heads):
        dense = np.zeros((5, len(weights.flat)))
        dense[:, heads.columns(head)] = heads.row(seen, head)
        for position in range(0, len(weights.flat), 5):
            step = np.zeros(len(weights.flat))
            step[position] = 1e-5
            up, down = (
                MlpHeads(FEATURES, unflatten_mlp(FEATURES, weights.flat + sign * step)).logits(seen)
                for sign in (1, -1)
            )
            slope = (up - down)[:, head] / 2e-5
            np.testing.assert_allclose(dense[:, position], slope, atol=1e-7)


@pytest.mark.parametrize("limit", [60, 90, 150, 300])
def test_it_is_as_wide_as_the_limit_pays_for(limit: int) -> None:
    features, units = mlp_features(spec_with(max_parameters=limit), INTERACTING, LAYOUT)
    weights = cold_mlp_weights(spec_with(max_parameters=limit), features, units)
    assert len(weights.flat) <= limit
    assert 1 <= units <= 4
    assert not len(features.interacting)
    again = cold_mlp_weights(spec_with(max_parameters=limit), features, units)
    assert np.array_equal(weights.flat, again.flat)


def test_a_limit_without_room_for_a_unit_is_refused() -> None:
    with pytest.raises(ShouldFixLoopSpec, match="no room for a hidden unit"):
        mlp_features(spec_with(max_parameters=30), INTERACTING, LAYOUT)
    with pytest.raises(ShouldFixArgument, match="no such model"):
        unflatten_mlp(FEATURES, np.zeros(FEATURES.parameters + 3))


def test_a_night_of_it_is_released_and_the_next_one_starts_warm(tmp_path: Path) -> None:
    place, spec = Place.at(tmp_path), spec_with(people_expected=300, steps=4)
    episodes = make(300)
    path, note = night(place, episodes, spec=spec)
    model = load_user_model(path, spec)
    assert isinstance(model, MlpUserModel)
    assert note.parameters == model.parameters <= 300
    assert model.facts.kind == "mlp"
    context, action = contexts(50, np.random.default_rng(1)), np.arange(50) % 4
    assert (model.reward_standard_error(context, action) > 0.0).all()
    assert len(model.plausible(3, np.random.default_rng(1))) == 3
    answers = model.respond(context, context, action, np.random.default_rng(2))
    assert np.isfinite(answers.reward).all()
    path, _ = night(place, episodes, days=1, spec=spec)
    assert load_user_model(path, spec).facts.warm_start == note.release_id
    other = spec_with(people_expected=300, steps=4, user_model="linear")
    path, _ = night(place, episodes, days=2, spec=other)
    linear = load_user_model(path, other)
    assert linear.facts.warm_start == ""
    assert linear.features.same(feature_map(other, INTERACTING))
