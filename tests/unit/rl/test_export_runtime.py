"""Export to ONNX and the runtime that serves it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from everloop.contracts.actions import ActionKind
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.models import States
from everloop.contracts.ports import Policy
from rl import export
from rl.encoders import layout
from rl.export import export_policy
from rl.module import PolicyNetwork, log_behaviour
from rl.runtime import ENCODER_KEY, load_policy
from tests.learning.worlds import loop_of
from tests.unit.rl.conftest import Exported


def test_the_runtime_serves_the_port_and_names_what_it_was_trained_for(exported: Exported) -> None:
    policy = load_policy(exported.path, spec=exported.spec)
    port: Policy = policy
    assert port.version == "tiny-0123"
    assert port.encoder == layout(exported.spec).encoder
    assert policy.actions == exported.spec.action_ids
    assert policy.loop == "tiny"
    assert policy.width == 6


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_logits_propensities_and_values_are_the_networks(
    exported: Exported, epsilon: float
) -> None:
    states = exported.states(200)
    output = load_policy(exported.path).act(states, epsilon)
    observation = torch.from_numpy(
        np.concatenate([states.context, states.mask.astype(np.float32)], axis=1)
    )
    with torch.inference_mode():
        logits, value = exported.network(observation)
        log_b = log_behaviour(torch.log_softmax(logits, 1), observation[:, 6:], epsilon)
    np.testing.assert_allclose(output.propensity, log_b.exp().numpy(), atol=1e-6)
    np.testing.assert_allclose(output.value, value.numpy(), atol=1e-5)
    np.testing.assert_allclose(output.logits[states.mask], logits.numpy()[states.mask], atol=1e-5)
    np.testing.assert_allclose(output.propensity.sum(axis=1), 1.0, atol=1e-12)
    assert (output.propensity[~states.mask] == 0.0).all()
    least = epsilon / states.mask.sum(axis=1, keepdims=True)
    assert (output.propensity >= least - 1e-7)[states.mask].all()
    assert output.logits.dtype == output.propensity.dtype == output.value.dtype == np.float64


FEATURES = np.array(
    [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5], [-1.0, 0.5], [0.0, 0.0]], dtype=np.float32
)


def test_scores_are_the_networks_before_the_mask_for_known_and_for_new_actions(
    exported: Exported, tmp_path: Path
) -> None:
    network = PolicyNetwork(6, 5, 16, 3, FEATURES)
    assert network.taste is not None
    network.taste.weight.data *= 100.0
    path = tmp_path / "policy.onnx"
    assert export_policy(network, exported.spec, "v", path) <= export.TOLERANCE
    policy, context = load_policy(path, spec=exported.spec), exported.states(50).context
    tensor, new = torch.from_numpy(context), np.array([[0.3, 0.7], [1.0, 0.0]], dtype=np.float32)
    with torch.inference_mode():
        known, _ = network.scores(tensor)
        unseen = network.score(tensor, torch.from_numpy(new))
    np.testing.assert_allclose(policy.score(context), known.numpy(), atol=1e-5)
    np.testing.assert_allclose(policy.score_actions(context, new), unseen.numpy(), atol=1e-5)
    assert policy.features == 2
    with pytest.raises(ShouldFixArgument, match="reads 2 finite numbers an action"):
        policy.score_actions(context, new[:, :1])
    with pytest.raises(ShouldFixArgument, match="reads 2 finite numbers an action"):
        policy.score_actions(context, new * np.float32("nan"))
    plain = load_policy(exported.path)
    assert plain.score(context).shape == (50, 5)
    with pytest.raises(ShouldFixArgument, match="reads 0 finite numbers an action"):
        plain.score_actions(context, new)


def test_a_policy_refuses_a_catalogue_whose_actions_are_described_otherwise(
    exported: Exported,
) -> None:
    first = exported.spec.actions[0].model_copy(
        update={"kind": ActionKind.NO_ACTION, "event_id": None}
    )
    other = exported.spec.model_copy(update={"actions": (first, *exported.spec.actions[1:])})
    with pytest.raises(ShouldFixArgument, match="catalogue"):
        load_policy(exported.path, spec=other)


def test_a_lone_valid_action_is_certain(exported: Exported) -> None:
    states = exported.states(1)
    mask = np.zeros((1, 5), dtype=np.bool_)
    mask[0, 2] = True
    output = load_policy(exported.path).act(States(states.context, mask), 0.3)
    np.testing.assert_array_equal(output.propensity, [[0, 0, 1, 0, 0]])


@pytest.mark.parametrize("n", [0, 1, 16_385])
def test_any_number_of_states(exported: Exported, n: int) -> None:
    output = load_policy(exported.path).act(exported.states(n), 0.1)
    assert output.logits.shape == output.propensity.shape == (n, 5)
    assert output.value.shape == (n,)
    if n > 1:
        last = load_policy(exported.path).act(
            States(*(a[-1:] for a in (exported.states(n).context, exported.states(n).mask))), 0.1
        )
        np.testing.assert_allclose(output.propensity[-1:], last.propensity, atol=1e-6)


def test_states_that_cannot_be_decided_are_refused(exported: Exported) -> None:
    policy, states = load_policy(exported.path), exported.states(3)
    broken = states.context.copy()
    broken[1, 0] = np.nan
    nothing = states.mask.copy()
    nothing[2] = False
    for bad, epsilon, problem in (
        (states, -0.1, "epsilon=-0.1"),
        (states, 1.1, "epsilon=1.1"),
        (states, float("nan"), "epsilon=nan"),
        (States(states.context[:, :5], states.mask), 0.1, r"shape \(3, 5\)"),
        (States(states.context[0], states.mask), 0.1, r"shape \(6,\)"),
        (States(states.context, states.mask[:, :4]), 0.1, r"mask of shape \(3, 4\)"),
        (States(states.context, states.mask[:2]), 0.1, r"mask of shape \(2, 5\)"),
        (States(broken, states.mask), 0.1, "State 1 holds NaN"),
        (States(states.context, nothing), 0.1, "State 2 has no valid action"),
    ):
        with pytest.raises(ShouldFixArgument, match=problem):
            policy.act(bad, epsilon)


def test_the_checksum_is_verified_before_anything_is_parsed(
    exported: Exported, tmp_path: Path
) -> None:
    digest = hashlib.sha256(exported.path.read_bytes()).hexdigest()
    load_policy(exported.path, sha256=digest)
    garbage = tmp_path / "policy.onnx"
    garbage.write_bytes(b"garbage")
    with pytest.raises(ShouldRestoreArtefact, match="has checksum"):
        load_policy(garbage, sha256=digest)
    with pytest.raises(ShouldRestoreArtefact, match="is no ONNX model"):
        load_policy(garbage)
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        load_policy(tmp_path / "absent.onnx")


def test_a_model_that_is_no_policy_is_refused(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.path)
    onnx.helper.set_model_props(model, {ENCODER_KEY: "x"})
    path = tmp_path / "policy.onnx"
    onnx.save(model, path)
    with pytest.raises(ShouldRestoreArtefact, match="is no exported policy"):
        load_policy(path)


def test_a_policy_of_another_loop_encoder_or_catalogue_is_refused(exported: Exported) -> None:
    spec = exported.spec
    for other, problem in (
        (spec.model_copy(update={"name": "other"}), "for loop tiny"),
        (loop_of(fields=2, actions=5), "for encoder"),
        (loop_of(fields=3, actions=6), "for catalogue"),
    ):
        with pytest.raises(ShouldFixArgument, match=problem):
            load_policy(exported.path, spec=other)
    permuted = spec.model_dump()
    permuted["actions"] = permuted["actions"][::-1]
    with pytest.raises(ShouldFixArgument, match="for catalogue"):
        load_policy(exported.path, spec=type(spec).model_validate(permuted))


def test_a_model_that_answers_nan_is_refused(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
    path = tmp_path / "policy.onnx"
    onnx.save(model, path)
    with pytest.raises(ShouldRestoreArtefact, match="answered NaN"):
        load_policy(path).act(exported.states(2), 0.1)


def test_the_export_is_close_deterministic_and_tells_nothing_of_the_machine(
    exported: Exported, tmp_path: Path
) -> None:
    assert exported.error <= 1e-5
    again = tmp_path / "again.onnx"
    export_policy(exported.network, exported.spec, "tiny-0123", again)
    data = again.read_bytes()
    assert data == exported.path.read_bytes()
    assert str(Path(export.__file__).parent).encode() not in data
    assert b"site-packages" not in data
    assert [p.name for p in tmp_path.iterdir()] == ["again.onnx"]


def test_an_export_that_differs_from_its_network_is_not_written(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export._export

    def off_by_a_little(served: export.ServedPolicy, width: int, actions: int) -> onnx.ModelProto:
        model = real(served, width, actions)
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.ndim == 2:
                tensor.CopyFrom(numpy_helper.from_array(values + np.float32(1e-3), tensor.name))
        return model

    monkeypatch.setattr(export, "_export", off_by_a_little)
    with pytest.raises(ShouldRestoreArtefact, match="differs from its network"):
        export_policy(exported.network, exported.spec, "v", tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_nan_weights_are_not_exported(exported: Exported, tmp_path: Path) -> None:
    network = PolicyNetwork(6, 5, 16, seed=3)
    network.policy[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ShouldRestoreArtefact, match="NaN"):
        export_policy(network, exported.spec, "v", tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_serving_imports_neither_torch_nor_ray() -> None:
    script = (
        "import sys, rl.runtime, rl.encoders\n"
        "sys.exit(sorted({'torch', 'ray', 'gymnasium'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_differences_count_by_the_largest_number_of_a_row() -> None:
    wanted = np.array([[50.0, 0.25], [0.5, 0.25]])
    # 1e-5 beside a score of 50 is what float32 leaves; beside 0.5 it is not
    assert export.largest_gap(
        wanted + np.array([[0.0, 1e-5], [0.0, 0.0]]), wanted
    ) == pytest.approx(2e-7)
    assert export.largest_gap(
        wanted + np.array([[0.0, 0.0], [0.0, 1e-5]]), wanted
    ) == pytest.approx(1e-5)
    masked = np.array([[export.INVALID_LOGIT, 0.25]])
    assert export.largest_gap(masked + np.array([[0.0, 1e-4]]), masked) == pytest.approx(1e-4)
    assert export.largest_gap(np.zeros((1, 2)), masked) == pytest.approx(1.0)
    assert export.largest_gap(np.array([20.0, 0.1]), np.array([20.0, 0.2])) == pytest.approx(0.1)
    assert export.largest_gap(wanted, wanted * np.nan) == np.inf
