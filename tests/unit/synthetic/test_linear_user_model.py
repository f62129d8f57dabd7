"""The released user model: formulas by hand, sampling that agrees with them, files that round-trip."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec, SignalSpec, Silence
from everloop.contracts.simulation import UserModel
from everloop.loops import load
from synthetic.features import feature_map
from synthetic.linear_user_model import (
    DRIFT,
    RETENTION,
    LinearUserModel,
    ReleaseFacts,
    Weights,
    cold_weights,
    load_user_model,
    save_user_model,
)
from tests.unit.synthetic.world import INTERACTING, SPEC, contexts

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
    mu_squared=0.08,
    learning_rate=12.0,
    people_expected=600,
    noise_deviation=0.1,
    warm_start="",
)


def weights(seed: int = 1) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(rng.normal(0, 0.2, (2, 30)), rng.normal(0, 1, (1, 5)))


@pytest.fixture
def model() -> LinearUserModel:
    return LinearUserModel(SPEC, FEATURES, weights(), FACTS)


def sigmoid(z: Float) -> Float:
    return np.asarray(1 / (1 + np.exp(-z)))


def test_expected_signals_and_reward_by_hand(model: LinearUserModel) -> None:
    context = contexts(1, np.random.default_rng(2))
    action = np.array([3])
    wide, narrow = FEATURES.of(context, action)
    engagement = sigmoid(wide @ weights().values[0])[0]
    thumb = 2 * sigmoid(wide @ weights().values[1])[0] - 1
    present = sigmoid(narrow @ weights().presences[0])[0]
    np.testing.assert_allclose(model.expected_signals(context, action), [[engagement, thumb]])
    reward = (1 - present) * engagement + present * (0.4 * engagement + 0.6 * thumb) / 1.0
    np.testing.assert_allclose(model.expected_reward(context, action), [reward])
    np.testing.assert_allclose(model.presence(action), [[1.0, present]])


def test_it_is_a_user_model(model: LinearUserModel) -> None:
    port: UserModel = model
    assert (port.release_id, port.parameters) == ("a" * 32, 65)


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
    assert answers.ended.mean() == pytest.approx(1 / 5, abs=0.01)


def test_contexts_return_to_where_people_rest(model: LinearUserModel) -> None:
    n = 40_000
    resting = np.repeat(contexts(1, np.random.default_rng(5)), n, axis=0)
    resting[:, :3] = [0.1, -0.2, 0.3]
    away = resting.copy()
    away[:, :3] += 0.2
    moved = model.respond(resting, away, np.zeros(n, np.int64), np.random.default_rng(6)).context
    np.testing.assert_allclose(
        moved[:, :3].mean(axis=0), resting[0, :3] + RETENTION * 0.2, atol=0.005
    )
    np.testing.assert_allclose(moved[:, :3].std(axis=0), DRIFT, rtol=0.02)
    assert np.array_equal(moved[:, 3:], resting[:, 3:])
    assert moved.dtype == np.float32


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


def test_without_any_type_that_counts_on_silence_someone_answers() -> None:
    signals = tuple(s.model_copy(update={"silence": Silence.MISSING}) for s in SPEC.signals)
    spec = SPEC.model_copy(update={"signals": signals})
    table = feature_map(spec, INTERACTING)
    zero = Weights(np.zeros((2, table.width)), np.array([[-9.0, 0, 0, 0, 0], [-8.0, 0, 0, 0, 0]]))
    model = LinearUserModel(spec, table, zero, FACTS)
    context = contexts(200, np.random.default_rng(1))
    answers = model.respond(context, context, np.zeros(200, np.int64), np.random.default_rng(2))
    assert np.isfinite(answers.reward).all()
    # p(only engagement), p(only thumb), p(both), renormalised; means are 0.5 and 0
    a, b = sigmoid(np.array([-9.0, -8.0]) * 0.3)
    chance = np.array([a * (1 - b), (1 - a) * b, a * b])
    expected = (chance * [0.5, 0.0, 0.2]).sum() / chance.sum()
    np.testing.assert_allclose(model.expected_reward(context, np.zeros(200, np.int64)), expected)


def test_too_many_missing_types_are_refused() -> None:
    signals = tuple(
        SignalSpec(name=f"s{i}", weight=1.0, silence=Silence.MISSING) for i in range(13)
    )
    spec = SPEC.model_copy(update={"signals": signals})
    with pytest.raises(ShouldFixLoopSpec, match="13 signal types"):
        LinearUserModel(spec, FEATURES, weights(), FACTS)


def test_cold_fits_start_in_the_middle_or_at_a_declared_baseline() -> None:
    assert not cold_weights(SPEC, FEATURES).values.any()
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
    assert not started.presences.any()
    only_pairing = [metrics[0] | {"action_kind": "suggest_pairing"}]
    of_a_kind = LoopSpec.model_validate(SPEC.model_dump() | {"success_metrics": only_pairing})
    assert not cold_weights(of_a_kind, FEATURES).values.any()


def test_files_round_trip_and_repeat(tmp_path: Path, model: LinearUserModel) -> None:
    path = save_user_model(tmp_path / "m.safetensors", FEATURES, weights(), FACTS)
    again = load_user_model(path, SPEC)
    assert again.facts == FACTS
    context, action = contexts(20, np.random.default_rng(1)), np.arange(20) % 4
    np.testing.assert_array_equal(
        again.expected_reward(context, action), model.expected_reward(context, action)
    )
    other = save_user_model(tmp_path / "n.safetensors", FEATURES, weights(), FACTS)
    assert path.read_bytes() == other.read_bytes()


def test_loops_without_presences_or_interactions_round_trip(tmp_path: Path) -> None:
    spec = load("open_bandit")
    table = feature_map(spec, np.zeros(35, dtype=np.bool_))
    facts = dataclasses.replace(
        FACTS, loop=spec.name, actions=spec.action_ids, signals=("click",), interacting=()
    )
    empty = Weights(np.zeros((1, table.width)), np.zeros((0, table.presence_width)))
    model = load_user_model(save_user_model(tmp_path / "b", table, empty, facts), spec)
    context = np.zeros((3, 35), np.float32)
    np.testing.assert_allclose(model.expected_reward(context, np.array([0, 1, 79])), 0.5)
    assert model.parameters == 116


def test_other_catalogues_are_refused(tmp_path: Path) -> None:
    path = save_user_model(tmp_path / "m.safetensors", FEATURES, weights(), FACTS)
    fewer = SPEC.model_dump()["actions"][:3]
    with pytest.raises(ShouldFixArgument, match="4 actions and signals engagement, thumb"):
        load_user_model(path, LoopSpec.model_validate(SPEC.model_dump() | {"actions": fewer}))
    with pytest.raises(ShouldFixArgument, match="'small'"):
        load_user_model(path, load("companion"))


def damaged_files(folder: Path) -> dict[str, Path]:
    good = save_user_model(folder / "good", FEATURES, weights(), FACTS)
    (folder / "cut").write_bytes(good.read_bytes()[:-20])
    (folder / "text").write_text("hello")
    save_user_model(
        folder / "nan", FEATURES, Weights(weights().values * np.nan, weights().presences), FACTS
    )
    save_user_model(
        folder / "shape", FEATURES, Weights(np.zeros((2, 29)), weights().presences), FACTS
    )
    save_user_model(folder / "format", FEATURES, weights(), dataclasses.replace(FACTS, format=2))
    save_file(
        {"values": np.zeros(3)}, folder / "fields", metadata={"everloop": json.dumps({"format": 1})}
    )
    save_file({"values": np.zeros(3)}, folder / "metadata")
    return {
        name: folder / name
        for name in ("cut", "text", "nan", "shape", "format", "fields", "metadata", "absent")
    }


@pytest.mark.parametrize(
    "name", ["cut", "text", "nan", "shape", "format", "fields", "metadata", "absent"]
)
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShouldRestoreArtefact, match=name):
        load_user_model(damaged_files(tmp_path)[name], SPEC)
