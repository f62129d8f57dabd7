"""Exported heads answer as the user model does, say what they belong to, and serve as pairing models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl import runtime
from rl.encoders import layout
from rl.encoders.context import encoder_of
from rl.slates import scorer
from synthetic.heads import export, export_heads
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.mlp import MlpUserModel, cold_mlp_weights, mlp_features
from synthetic.user_model.weights import unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.releases import FACTS

SPEC = load("companion")
LAYOUT = layout(SPEC)


def facts_of(spec: LoopSpec) -> ReleaseFacts:
    return replace(
        FACTS,
        loop=spec.name,
        encoder=layout(spec).encoder,
        actions=spec.action_ids,
        signals=spec.signal_names,
        interacting=tuple(range(6)),
    )


def model_of(spec: LoopSpec = SPEC) -> LinearUserModel:
    table = feature_map(spec, encoder_of(spec).interacting, layout(spec))
    weights = np.random.default_rng(1).normal(0, 0.4, table.parameters)
    return LinearUserModel(spec, table, unflatten(table, weights), facts_of(spec))


def deep_model() -> MlpUserModel:
    table, units = mlp_features(SPEC, encoder_of(SPEC).interacting, LAYOUT)
    weights = cold_mlp_weights(SPEC, table, units)
    return MlpUserModel(SPEC, table, replace(weights, outer=weights.outer * 5.0), facts_of(SPEC))


@pytest.mark.parametrize("model", [model_of(), deep_model()], ids=["linear", "mlp"])
def test_files_answer_as_the_user_model(
    tmp_path: Path, model: LinearUserModel | MlpUserModel
) -> None:
    heads = export_heads(SPEC, model, LAYOUT, tmp_path)
    assert heads.left_out == ()
    assert heads.pairing is not None
    assert heads.emotion is not None
    assert max(heads.pairing.error, heads.emotion.error) < 1e-6
    rng = np.random.default_rng(3)
    context = rng.uniform(-1, 1, (5, LAYOUT.width)).astype(np.float32)
    descriptors = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
    file = scorer.load_scorer(heads.pairing.path, heads.pairing.sha256, SPEC)
    scores = file.scores(context[0], descriptors.astype(np.float64))
    repeated = np.repeat(context[:1], 5, axis=0)
    wanted = [model.expected_reward(repeated, np.full(5, a), descriptors) for a in (1, 2)]
    np.testing.assert_allclose(scores, np.mean(wanted, axis=0), atol=1e-6)
    assert np.ptp(scores) > 0.01
    session = ort.InferenceSession(heads.emotion.path)
    action = np.array([0, 3, 7, 1, 2])
    moved, signals = session.run(None, {"context": context, "action": action})
    np.testing.assert_allclose(moved, model.next_context(context, action), atol=1e-6)
    resting = rng.uniform(-1, 1, context.shape).astype(np.float32)
    resting[2] = np.nan
    (returned, _) = session.run(None, {"context": context, "action": action, "resting": resting})
    known = np.where(np.isnan(resting), context, resting)
    np.testing.assert_allclose(returned, model.next_context(context, action, known), atol=1e-6)
    assert np.abs(returned - moved).max() > 0.01
    np.testing.assert_allclose(signals, model.expected_signals(context, action), atol=1e-6)


def test_permuted_candidates_have_permuted_scores(tmp_path: Path) -> None:
    head = export_heads(SPEC, model_of(), LAYOUT, tmp_path).pairing
    assert head is not None
    file = scorer.load_scorer(head.path, head.sha256, SPEC)
    rng = np.random.default_rng(4)
    context = rng.uniform(-1, 1, LAYOUT.width).astype(np.float32)
    descriptors, order = rng.uniform(-1, 1, (20, 2)), rng.permutation(20)
    np.testing.assert_allclose(
        file.scores(context, descriptors)[order], file.scores(context, descriptors[order])
    )


def test_files_say_what_they_belong_to_and_repeat(tmp_path: Path) -> None:
    model = model_of()
    first = export_heads(SPEC, model, LAYOUT, tmp_path / "a")
    again = export_heads(SPEC, model, LAYOUT, tmp_path / "b")
    assert first.pairing is not None
    assert first.emotion is not None
    assert again.pairing is not None
    assert first.pairing.sha256 == again.pairing.sha256
    assert first.pairing.version.startswith("companion-pairing-")
    said = {p.key: p.value for p in onnx.load(first.emotion.path).metadata_props}
    assert said[export.RELEASE_KEY] == model.release_id
    assert said[export.ENCODER_KEY] == LAYOUT.encoder
    assert json.loads(said[export.ACTIONS_KEY]) == list(SPEC.action_ids)
    assert json.loads(said[export.PAIRINGS_KEY]) == ["pair-one", "pair-three"]
    assert said[export.PROVENANCE_KEY] == "private_release"
    for name in ("LOOP", "ENCODER", "ACTIONS", "VERSION", "PROVENANCE"):
        assert getattr(export, f"{name}_KEY") == getattr(runtime, f"{name}_KEY")
    assert export.DESCRIPTORS_KEY == scorer.DESCRIPTORS_KEY


def test_a_release_without_such_heads_leaves_them_out(tmp_path: Path) -> None:
    spec = load("open_bandit")
    heads = export_heads(spec, model_of(spec), layout(spec), tmp_path)
    assert (heads.pairing, heads.emotion) == (None, None)
    assert len(heads.left_out) == 2
    assert not list(tmp_path.iterdir())


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="'other'"):
        export_heads(SPEC, model_of(), replace(LAYOUT, encoder="other"), tmp_path)


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    acceptance = LinearUserModel.acceptance
    monkeypatch.setattr(LinearUserModel, "acceptance", lambda *given: acceptance(*given) + 1e-3)
    with pytest.raises(ShouldRestoreArtefact, match=r"differs .* by 0\.001"):
        export_heads(SPEC, model, LAYOUT, tmp_path)
    assert not list(tmp_path.iterdir())
