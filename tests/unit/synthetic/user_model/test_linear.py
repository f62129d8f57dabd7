"""The released user model: formulas by hand, sampling that agrees with them."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec, SignalSpec, Silence
from everloop.contracts.simulation import UserModel
from everloop.loops import load
from rl.encoders import encode_context, layout
from rl.encoders.context import encoder_of
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.responses import DRIFT, remembered
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import RETENTION, Weights, cold_weights, unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.releases import FACTS, FEATURES, model_of, random_weights
from tests.unit.synthetic.world import SPEC, contexts


@pytest.fixture
def model() -> LinearUserModel:
    return model_of(random_weights(1))


def sigmoid(z: Float) -> Float:
    return np.asarray(1 / (1 + np.exp(-z)))


def test_expectations_by_hand(model: LinearUserModel) -> None:
    context = contexts(1, np.random.default_rng(2))
    action = np.array([3])
    seen, weights = FEATURES.of(context, action), model.weights
    alike = seen.shared[0] @ weights.shared
    engagement, thumb = sigmoid(weights.values @ seen.wide[0] + alike) * [1, 2] - [0, 1]
    present = sigmoid(seen.narrow @ weights.presences[0])[0]
    np.testing.assert_allclose(model.expected_signals(context, action), [[engagement, thumb]])
    reward = (1 - present) * engagement + present * (0.4 * engagement + 0.6 * thumb) / 1.0
    np.testing.assert_allclose(model.expected_reward(context, action), [reward])
    np.testing.assert_allclose(model.presence(context, action), [[1.0, present]])
    accepted = sigmoid(weights.acceptance @ seen.wide[0] + alike)
    np.testing.assert_allclose(model.acceptance(context, action), [accepted])
    np.testing.assert_allclose(
        model.end_chance(context, action), [sigmoid(seen.narrow[0] @ weights.end)]
    )


def test_it_is_a_user_model(model: LinearUserModel) -> None:
    port: UserModel = model
    assert (port.release_id, port.parameters) == ("a" * 32, FEATURES.parameters)


def test_answers_agree_with_expectations(model: LinearUserModel) -> None:
    n = 40_000
    context = np.repeat(contexts(1, np.random.default_rng(3)), n, axis=0)
    action = np.full(n, 1)
    answers = model.respond(context, context, action, np.random.default_rng(4))
    np.testing.assert_allclose(
        answers.signals.mean(axis=0), model.expected_signals(context[:1], action[:1])[0], atol=0.01
    )
    assert answers.reward.mean() == pytest.approx(
        model.expected_reward(context[:1], action[:1])[0], abs=0.01
    )
    assert (np.abs(answers.signals) <= 1).all()
    assert (np.abs(answers.reward) <= 1).all()
    assert answers.signals.std(axis=0).min() > 0.1
    assert answers.ended.mean() == pytest.approx(
        model.end_chance(context[:1], action[:1])[0], abs=0.01
    )
    assert answers.present is not None
    np.testing.assert_allclose(
        answers.present.mean(axis=0), model.presence(context[:1], action[:1])[0], atol=0.01
    )


def test_contexts_move_as_was_learned() -> None:
    n = 40_000
    weights = random_weights(1)
    model = model_of(weights)
    resting = np.repeat(contexts(1, np.random.default_rng(5)), n, axis=0)
    resting[:, :3] = [0.1, -0.2, 0.3]
    away = resting.copy()
    away[:, :3] += 0.2
    action = np.full(n, 2)
    moved = model.respond(resting, away, action, np.random.default_rng(6)).context
    motion = FEATURES.of(away[:1], action[:1], resting[:1]).motion[0]
    mean = 2 * sigmoid((motion * weights.motions).sum(axis=1)) - 1
    np.testing.assert_allclose(moved[:, :3].mean(axis=0), mean, atol=0.005)
    np.testing.assert_allclose(moved[:, :3].std(axis=0), DRIFT, rtol=0.02)
    assert np.array_equal(moved[:, 3:], resting[:, 3:])
    assert moved.dtype == np.float32


def test_a_cold_model_returns_to_where_people_rest() -> None:
    small = np.array([0.05, -0.1, 0.1])
    n = 40_000
    resting = np.zeros((n, 13), np.float32)
    resting[:, :3] = small
    away = resting + np.float32(0.1) * (np.arange(13) < 3)
    for features in (FEATURES, feature_map(limited(20), np.arange(13) < 3)):
        spec = SPEC if features is FEATURES else limited(20)
        cold = LinearUserModel(spec, features, cold_weights(spec, features), FACTS)
        action = np.zeros(n, np.int64)
        moved = cold.respond(resting, away, action, np.random.default_rng(6)).context
        np.testing.assert_allclose(moved[:, :3].mean(axis=0), small + RETENTION * 0.1, atol=0.004)
        assert cold.end_chance(resting[:1], action[:1])[0] == pytest.approx(1 / 5)


def limited(parameters: int) -> LoopSpec:
    privacy = SPEC.privacy.model_copy(update={"max_parameters": parameters})
    return SPEC.model_copy(update={"privacy": privacy})


def test_indicators_and_absent_fields_stay(model: LinearUserModel) -> None:
    resting = np.zeros((50, 13), np.float32)
    resting[:, 1] = 1.0
    moved = model.respond(resting, resting, np.zeros(50, np.int64), np.random.default_rng(1))
    assert np.array_equal(moved.context, resting)


def test_contexts_stay_within_bounds(model: LinearUserModel) -> None:
    resting = np.full((5_000, 13), 0.99, np.float32)
    moved = model.respond(resting, resting, np.zeros(5_000, np.int64), np.random.default_rng(1))
    assert np.abs(moved.context).max() <= 1.0


def test_the_same_generator_gives_the_same_answers(model: LinearUserModel) -> None:
    context = contexts(7, np.random.default_rng(1))
    action = np.arange(7) % 4
    one, two = (model.respond(context, context, action, np.random.default_rng(9)) for _ in range(2))
    for name in ("signals", "reward", "context", "ended"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_histories_are_what_the_encoder_makes_of_the_same_decisions() -> None:
    spec = load("companion")
    kind_of = feature_map(spec, encoder_of(spec).interacting, layout(spec)).kinds
    rng = np.random.default_rng(3)
    actions, rewards = rng.integers(0, 8, 10), rng.uniform(-1, 1, 10)
    block = layout(spec).of_kind("history")[0].dimensions
    logged = [
        {"action": spec.action_ids[a], "reward": float(r)}
        for a, r in zip(actions, rewards, strict=True)
    ]
    summary = np.zeros((1, 7))
    for count in range(10):
        step = kind_of[actions[count : count + 1]], rewards[count : count + 1]
        summary = remembered(summary, *step, 10)
        snapshot = {"recent_interactions": logged[: count + 1]}
        np.testing.assert_allclose(
            summary[0], encode_context(spec, [snapshot])[0, block], atol=1e-6
        )
    full = remembered(summary, kind_of[actions[:1]], rewards[:1], 10)
    assert full[0, -1] == 1.0
    assert full[0, :4].sum() == pytest.approx(1.0)


def test_doing_the_same_again_wears_out() -> None:
    spec = load("companion")
    table = feature_map(spec, encoder_of(spec).interacting, layout(spec))
    tired = cold_weights(spec, table)
    tired.values[:, table.wide_blocks["repetition"]] = -2.0
    model = LinearUserModel(spec, table, tired, FACTS)
    person = np.zeros((1, 37), np.float32)
    person[0, 14] = 1.0
    context, rewards = person, []
    pairing = np.array([1])
    for _ in range(10):
        rewards.append(model.expected_reward(context, pairing)[0])
        context = model.respond(person, context, pairing, np.random.default_rng(1)).context
    assert (np.diff(rewards) < 0.0).all()
    assert context[0, 14] == 0.0
    assert model.expected_reward(context, np.array([3]))[0] == pytest.approx(rewards[0])


def test_without_any_type_that_counts_on_silence_someone_answers() -> None:
    signals = tuple(s.model_copy(update={"silence": Silence.MISSING}) for s in SPEC.signals)
    spec = SPEC.model_copy(update={"signals": signals})
    table = feature_map(spec, np.arange(13) < 3)
    zero = unflatten(table, np.zeros(table.parameters))
    zero.presences[0, 0], zero.presences[1, 0] = -9.0, -8.0
    model = LinearUserModel(spec, table, zero, FACTS)
    context = contexts(200, np.random.default_rng(1))
    answers = model.respond(context, context, np.zeros(200, np.int64), np.random.default_rng(2))
    assert np.isfinite(answers.reward).all()
    # p(only engagement), p(only thumb), p(both), renormalised; means are 0.5 and 0
    narrow = table.of(context[:1], np.zeros(1, np.int64)).narrow[0, 0]
    a, b = sigmoid(np.array([-9.0, -8.0]) * narrow)
    chance = np.array([a * (1 - b), (1 - a) * b, a * b])
    expected = (chance * [0.5, 0.0, 0.2]).sum() / chance.sum()
    np.testing.assert_allclose(model.expected_reward(context, np.zeros(200, np.int64)), expected)


def test_too_many_missing_types_are_refused() -> None:
    signals = tuple(
        SignalSpec(name=f"s{i}", weight=1.0, silence=Silence.MISSING) for i in range(13)
    )
    spec = SPEC.model_copy(update={"signals": signals})
    with pytest.raises(ShouldFixLoopSpec, match="13 signal types"):
        LinearUserModel(spec, FEATURES, random_weights(1), FACTS)


def test_cold_fits_start_in_the_middle_or_at_a_declared_baseline() -> None:
    cold = cold_weights(SPEC, FEATURES)
    assert not cold.values.any()
    assert not cold.acceptance.any()
    metrics = [
        {"name": "a", "baseline": 0.1, "target": 0.2, "signal": "thumb"},
        {"name": "b", "baseline": 0.3, "target": 0.2, "signal": "engagement", "unit": "rmse"},
        {"name": "c", "baseline": 0.3, "target": 0.4, "signal": "group"},
        {"name": "d", "baseline": 0.3, "target": 0.4},
    ]
    spec = LoopSpec.model_validate(SPEC.model_dump() | {"success_metrics": metrics})
    started = cold_weights(spec, FEATURES)
    model = LinearUserModel(spec, FEATURES, started, FACTS)
    expected = model.expected_signals(contexts(3, np.random.default_rng(1)), np.arange(3))
    np.testing.assert_allclose(expected, [[0.5, -0.8]] * 3)
    assert not started.acceptance.any()
    both = [*metrics[:1], metrics[1] | {"unit": "share"}]
    declared = LoopSpec.model_validate(SPEC.model_dump() | {"success_metrics": both})
    model = LinearUserModel(spec, FEATURES, cold_weights(declared, FEATURES), FACTS)
    accepted = model.acceptance(contexts(3, np.random.default_rng(1)), np.arange(3))
    np.testing.assert_allclose(accepted, 0.4 * 0.3 + 0.6 * 0.1)
    only_pairing = [metrics[0] | {"action_kind": "suggest_pairing"}]
    of_a_kind = LoopSpec.model_validate(SPEC.model_dump() | {"success_metrics": only_pairing})
    assert not cold_weights(of_a_kind, FEATURES).values.any()


def test_a_standard_error_is_the_spread_of_plausible_models() -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(0, 0.01, (FEATURES.parameters, FEATURES.parameters))
    noise, sampling = root @ root.T, np.diag(rng.uniform(0, 4e-4, FEATURES.parameters))
    model = model_of(random_weights(1), Uncertainty(noise, sampling))
    context, action = contexts(30, rng), np.arange(30) % 4
    drawn = model.plausible(600, np.random.default_rng(6))
    rewards = np.stack([one.expected_reward(context, action) for one in drawn])
    expected = rewards.std(axis=0)
    np.testing.assert_allclose(model.reward_standard_error(context, action), expected, rtol=0.12)
    again = model.plausible(600, np.random.default_rng(6))
    assert np.array_equal(again[7].weights.flat, drawn[7].weights.flat)
    with pytest.raises(ShouldRestoreArtefact, match="how far"):
        model_of(random_weights(1)).plausible(2, rng)


def test_a_standard_error_of_a_difference_is_the_spread_of_differences() -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(0, 0.01, (FEATURES.parameters, FEATURES.parameters))
    known = Uncertainty(root @ root.T, np.zeros_like(root))
    model = model_of(random_weights(1), known)
    context, action = contexts(30, rng), np.arange(30) % 4
    found = model.reward_standard_error(context, action, reference=2)
    assert (found[action == 2] == 0.0).all()
    assert (found[action != 2] > 0.0).all()
    reference = np.full(30, 2)
    step = model.reward_gradient(context, action) - model.reward_gradient(context, reference)
    by_hand = [np.sqrt(row @ known.total @ row) for row in step]
    np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-12)
    drawn = model.plausible(600, np.random.default_rng(6))
    above = np.stack(
        [
            one.expected_reward(context, action) - one.expected_reward(context, reference)
            for one in drawn
        ]
    )
    np.testing.assert_allclose(found, above.std(axis=0), rtol=0.12)
    np.testing.assert_array_equal(
        model.reward_standard_error(context, reference, reference=2), np.zeros(30)
    )
    many = np.tile(found, 40)
    again = model.reward_standard_error(np.tile(context, (40, 1)), np.tile(action, 40), reference=2)
    np.testing.assert_allclose(again, many, rtol=1e-9, atol=1e-15)


def test_gradients_of_rewards_are_those_of_differences(model: LinearUserModel) -> None:
    context, action = contexts(5, np.random.default_rng(1)), np.arange(5) % 4
    found = model.reward_gradient(context, action)
    flat = model.weights.flat
    for position in range(0, FEATURES.parameters, 7):
        step = np.zeros(len(flat))
        step[position] = 1e-5
        up, down = (
            model_of(unflatten(FEATURES, flat + sign * step)).expected_reward(context, action)
            for sign in (1, -1)
        )
        np.testing.assert_allclose(found[:, position], (up - down) / 2e-5, atol=1e-6)


def test_a_vector_of_weights_is_read_back() -> None:
    weights = random_weights(4)
    again = unflatten(FEATURES, weights.flat)
    for name in Weights.__slots__:
        assert np.array_equal(getattr(again, name), getattr(weights, name))
