"""The driver: what it refuses, what it leaves behind, and RLlib's parts."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from safetensors.numpy import load_file
from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]

from everloop.contracts import documents
from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.figures import TrainingPoint
from everloop.contracts.loop_spec import ExplorationSpec, TrainingSpec
from everloop.contracts.models import States
from rl.encoders.catalogue import ActionCatalogue
from rl.environment import JourneySource
from rl.policy_card import PolicyCard
from rl.ppo import Cluster, checkpoint, finish, train
from rl.ppo.algorithm import (
    JourneyLearner,
    JourneyPpo,
    JourneyPpoConfig,
    JourneyRunner,
    PolicyModule,
    configure,
)
from rl.ppo.finish import code_sha256
from rl.ppo.plan import Plan
from rl.ppo.session import InProcess
from rl.ppo.training import DIVERGED_AT, ONNX_FILE, _fingerprint
from rl.runtime import load_policy
from tests.learning.worlds import Answer, World, identity, loop_of, never, people

SMALL = {"iterations": 3, "environments": 8, "rollout_length": 8, "hidden": 8, "epochs": 2}
SPEC = loop_of(2, 2, **SMALL)


def plan() -> Plan:
    return Plan(JourneySource(World(identity), people(SPEC), 4), SPEC.training, SPEC.exploration, 1)


def test_a_training_leaves_weights_a_policy_and_a_card(tmp_path: Path) -> None:
    profiles, points = people(SPEC), []
    threads = torch.get_num_threads()
    result = train(SPEC, World(identity), profiles, profiles.encoder, 1, tmp_path, points.append)
    assert torch.get_num_threads() == threads
    assert tuple(points) == result.curve
    assert [p.iteration for p in points] == [1, 2, 3]
    assert [p.steps for p in points] == [64, 128, 192]
    assert [p.epsilon for p in points] == pytest.approx([0.3, 0.175, 0.05])
    assert all(p.low <= p.reward <= p.high for p in points)
    assert points[0].learning_rate == 3e-4
    card = documents.read(PolicyCard, result.card_path)
    assert card == result.card
    assert card.weights_sha256 == result.weights_sha256 == documents.sha256_of(result.weights_path)
    assert card.onnx_sha256 == documents.sha256_of(result.onnx_path)
    assert card.first_reward == points[0].reward
    assert card.best_reward == max(p.reward for p in points)
    assert result.propensity_error == card.propensity_error < 1e-6
    assert (card.user_model_release, card.profiles_release) == ("world", "people")
    assert result.figures.parameters == sum(a.size for a in load_file(result.weights_path).values())
    assert card.layout == ("x0:number:0:1", "x0:missing:1:1", "x1:number:2:1", "x1:missing:3:1")
    assert card.catalogue == ActionCatalogue(SPEC).version
    assert (card.epsilon, card.delta, card.period_days) == (1.0, 1e-5, 365)
    assert card.action_features == ()
    assert "does not say how far it may be off" in card.doubts
    assert card.limits
    policy = load_policy(result.onnx_path, card.onnx_sha256, SPEC)
    assert policy.version == card.version == f"tiny-{card.weights_sha256[:16]}"
    output = policy.act(States(profiles.context, profiles.mask), 0.1)
    assert output.propensity.shape == (40, 2)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of event files: records of length, checksum, event, checksum."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_progress_is_on_file_as_tensorboard_events(tmp_path: Path) -> None:
    profiles = people(SPEC)
    result = train(SPEC, World(identity), profiles, profiles.encoder, 1, tmp_path)
    found = events(tmp_path / "tensorboard")
    for name in ("reward", "low", "high", "kl", "clip_fraction", "entropy", "epsilon"):
        assert [step for step, _ in found[f"training/{name}"]] == [64, 128, 192]
    assert len(found["training/steps_per_second"]) == 3
    wanted = [point.entropy for point in result.curve]
    assert [value for _, value in found["training/entropy"]] == pytest.approx(wanted)


def test_figures_that_are_no_numbers_are_no_events(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    alone = loop_of(2, 2, **(SMALL | {"environments": 1}))
    profiles = people(alone)
    result = train(alone, World(identity), profiles, profiles.encoder, 1, tmp_path)
    assert np.isnan([point.low for point in result.curve]).all()  # one journey has no interval
    found = events(tmp_path / "tensorboard")
    assert "training/low" not in found
    assert "training/high" not in found
    assert [step for step, _ in found["training/reward"]] == [8, 16, 24]
    assert capfd.readouterr().err == ""
    assert not [record for record in caplog.records if "NaN" in record.getMessage()]


def test_the_entropy_bonus_falls_over_the_training() -> None:
    training = SPEC.training.model_copy(update={"entropy": 0.03, "entropy_end": 0.01})
    made = replace(plan(), training=training)
    assert [made.rule_at(i).entropy for i in range(3)] == pytest.approx([0.03, 0.02, 0.01])
    assert made.rule_at(1).clip == training.clip


class Graded(World):
    """A hundredth of ``parameters`` is expected of the second action, .5 of the first."""

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return np.where(action == 0, 0.5, self.parameters / 100.0)

    def end_chance(self, context: Float32, action: Int) -> Float:
        return np.full(len(action), 0.5)


def test_a_checkpoint_belongs_to_every_answer_and_to_how_actions_are_described() -> None:
    profiles = people(SPEC)

    def told(model: World, features: Float32 | None = None) -> str:
        made = replace(plan(), source=JourneySource(model, profiles, 4), features=features)
        return _fingerprint(SPEC, made, None)

    model = Graded(identity)
    described = np.array([[0.0], [0.5]], dtype=np.float32)
    same = told(model)
    assert same == told(Graded(identity))
    assert same != told(Graded(identity, parameters=1))  # of no profile's first action
    assert same != told(model, described)
    assert told(model, described) != told(model, 2.0 * described)

    class Ending(Graded):
        def end_chance(self, context: Float32, action: Int) -> Float:
            return np.where(action == 1, 0.75, 0.5)

    assert same != told(Ending(identity))


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("encoders/context.py", True),
        ("constraints/limits.py", True),
        ("environment/journeys.py", True),
        ("ppo/update.py", True),
        ("runtime.py", True),
        ("module.py", True),
        ("off_policy/evaluate.py", False),
        ("tune/sweep.py", False),
        ("slates/scorer.py", False),
    ],
)
def test_weights_depend_on_the_code_that_trains_them(
    file: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / file
    source.parent.mkdir(exist_ok=True)
    source.write_text("before = True")
    monkeypatch.setattr(finish, "_CODE", tmp_path)
    before = code_sha256()
    source.write_text("after = True")
    assert (code_sha256() != before) == counts


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    profiles = people(SPEC)
    world = World(identity)
    with pytest.raises(ShouldFixArgument, match="The encoder is other"):
        train(SPEC, world, profiles, "other", 1, tmp_path)
    with pytest.raises(ShouldFixArgument, match="The profiles' encoder is other"):
        train(SPEC, world, replace(profiles, encoder="other"), profiles.encoder, 1, tmp_path)
    narrow = replace(profiles, context=profiles.context[:, :3])
    with pytest.raises(ShouldFixArgument, match="3 dimensions and 2 actions"):
        train(SPEC, world, narrow, profiles.encoder, 1, tmp_path)
    nobody = replace(profiles, mask=np.zeros_like(profiles.mask))
    with pytest.raises(ShouldFixArgument, match="has no valid action"):
        train(SPEC, world, nobody, profiles.encoder, 1, tmp_path)
    with pytest.raises(ShouldFixArgument, match="runners=-1"):
        Cluster(runners=-1)
    assert not list(tmp_path.iterdir())


def test_a_user_model_that_answers_nan_stops_the_training(tmp_path: Path) -> None:
    def broken(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        return np.full(len(action), np.nan), context, never(len(action))

    profiles = people(SPEC)
    with pytest.raises(ShouldRestoreArtefact, match="User model world"):
        train(SPEC, World(broken), profiles, profiles.encoder, 1, tmp_path)
    assert not (tmp_path / "policy.onnx").exists()


def test_a_training_that_diverged_is_no_success(tmp_path: Path) -> None:
    spec = loop_of(2, 2, **(SMALL | {"minibatch": 16, "learning_rate": 1e6}))
    profiles = people(spec)
    wanted = r"learning_rate 1e\+06 diverged in iteration 1: .* KL divergence of \S+ nats"
    with pytest.raises(ShouldFixArgument, match=wanted) as raised:
        train(spec, World(identity), profiles, profiles.encoder, 1, tmp_path)
    assert raised.value.remedy.startswith("Lower training.learning_rate")
    assert not (tmp_path / ONNX_FILE).exists()
    assert not (tmp_path / checkpoint.RECORD_FILE).exists()
    steep = loop_of(2, 2, **(SMALL | {"minibatch": 16, "learning_rate": 1e-2}))
    result = train(steep, World(identity), profiles, profiles.encoder, 1, tmp_path)
    assert max(point.kl for point in result.curve) < DIVERGED_AT / 3.0


def test_a_session_resumes_the_learning_rate_and_the_optimizer() -> None:
    whole, first, second = InProcess(plan()), InProcess(plan()), InProcess(plan())
    for i in range(3):
        whole.iterate(i)
    assert first.state().optimizer == {}
    for i in range(2):
        first.iterate(i)
        assert first.state().learning_rate == pytest.approx(plan().learning_rate(i + 1), rel=1e-6)
    second.resume(first.state(), 2)
    second.iterate(2)
    for name, values in whole.state().weights.items():
        np.testing.assert_array_equal(values, second.state().weights[name])
    for name, values in whole.state().optimizer.items():
        np.testing.assert_array_equal(values, second.state().optimizer[name])


def point(iteration: int) -> TrainingPoint:
    return TrainingPoint(iteration, 1, 0.0, 0.0, 0.0, float("nan"), 0.0, 0.0, 0.1, 0.1, 0.0, 1.0)


def test_a_checkpoint_is_read_back_only_whole_and_only_by_its_own_training(tmp_path: Path) -> None:
    session = InProcess(plan())
    session.iterate(0)
    state = session.state()
    assert checkpoint.read(tmp_path, "f") is None
    checkpoint.write(tmp_path, state, "f", (point(1),), 0.0)
    checkpoint.write(tmp_path, state, "f", (point(1), point(2)), 1e-8)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-2.safetensors",
        "checkpoint.json",
    ]
    found = checkpoint.read(tmp_path, "f")
    assert found is not None
    record, loaded = found
    assert record.iterations == 2
    assert record.propensity_error == 1e-8
    assert loaded.learning_rate == state.learning_rate
    for name, values in state.optimizer.items():
        np.testing.assert_array_equal(loaded.optimizer[name], values)
    assert checkpoint.read(tmp_path, "another") is None
    tensors = tmp_path / record.file
    data = tensors.read_bytes()
    tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert checkpoint.read(tmp_path, "f") is None
    tensors.unlink()
    assert checkpoint.read(tmp_path, "f") is None
    (tmp_path / checkpoint.RECORD_FILE).write_text("{}")
    assert checkpoint.read(tmp_path, "f") is None


def test_the_algorithms_default_configuration_is_ours() -> None:
    default = JourneyPpo.get_default_config()
    assert isinstance(default, JourneyPpoConfig)
    assert default.learner_class is JourneyLearner
    assert default.env_runner_cls is JourneyRunner
    assert default.rl_module_spec.module_class is PolicyModule
    made = configure(Plan(plan().source, TrainingSpec(), ExplorationSpec(), 1))
    made.validate()
    assert made.train_batch_size_per_learner == 64 * 32
    assert made.minibatch_size == 256


def test_runners_keep_the_value_network() -> None:
    session = InProcess(plan())
    session.iterate(0)
    module = session._runner.module
    assert module is not None
    assert module.get_non_inference_attributes() == []
    learned = session._learner.module[DEFAULT_MODULE_ID].state_dict()
    for name, values in module.state_dict().items():
        assert torch.equal(values, learned[name]), name
    observation = torch.from_numpy(session._runner.env.journeys.observation)
    assert module.compute_values({Columns.OBS: observation}).shape == (8,)
    logits = module.forward_inference({Columns.OBS: observation})[Columns.ACTION_DIST_INPUTS]
    assert logits.shape == (8, 2)


def test_every_iteration_samples_anew() -> None:
    runner = InProcess(plan())._runner
    ((_, first, _),) = runner.sample(iteration=0)
    ((_, again, _),) = runner.sample(iteration=0)
    ((_, second, _),) = runner.sample(iteration=1)
    np.testing.assert_array_equal(first.observation, again.observation)
    assert not np.array_equal(first.observation, second.observation)
