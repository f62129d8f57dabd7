"""Files of released user models: they round-trip, and others are refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders import layout
from rl.encoders.context import encoder_of
from synthetic.user_model.file import load_user_model, save_user_model
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import cold_weights, unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.releases import FACTS, FEATURES, model_of, random_weights
from tests.unit.synthetic.world import SPEC, contexts


def test_files_round_trip_and_repeat(tmp_path: Path) -> None:
    weights = random_weights()
    known = Uncertainty(np.eye(FEATURES.parameters) * 0.25, np.eye(FEATURES.parameters))
    path = save_user_model(tmp_path / "m.safetensors", FEATURES, weights, FACTS, known)
    again = load_user_model(path, SPEC)
    assert again.facts == FACTS
    assert again.features.same(FEATURES)
    assert again.uncertainty is not None
    np.testing.assert_array_equal(again.uncertainty.total, np.eye(FEATURES.parameters) * 1.25)
    context, action = contexts(20, np.random.default_rng(1)), np.arange(20) % 4
    np.testing.assert_array_equal(
        again.expected_reward(context, action), model_of(weights).expected_reward(context, action)
    )
    other = save_user_model(tmp_path / "n.safetensors", FEATURES, weights, FACTS, known)
    assert path.read_bytes() == other.read_bytes()
    bare = save_user_model(tmp_path / "o.safetensors", FEATURES, weights, FACTS)
    assert load_user_model(bare, SPEC).uncertainty is None


@pytest.mark.parametrize("name", ["open_bandit", "companion"])
def test_shipped_loops_round_trip(tmp_path: Path, name: str) -> None:
    spec = load(name)
    table = feature_map(spec, encoder_of(spec).interacting, layout(spec))
    facts = dataclasses.replace(
        FACTS, loop=spec.name, actions=spec.action_ids, signals=spec.signal_names, interacting=()
    )
    path = save_user_model(tmp_path / "b", table, cold_weights(spec, table), facts)
    model = load_user_model(path, spec)
    assert model.features.same(table)
    assert model.parameters == table.parameters
    context = np.zeros((2, layout(spec).width), np.float32)
    assert np.isfinite(model.expected_reward(context, np.array([0, 5]))).all()


def test_other_catalogues_are_refused(tmp_path: Path) -> None:
    path = save_user_model(tmp_path / "m.safetensors", FEATURES, random_weights(), FACTS)
    fewer = SPEC.model_dump()["actions"][:3]
    with pytest.raises(ShouldFixArgument, match="4 actions and signals engagement, thumb"):
        load_user_model(path, LoopSpec.model_validate(SPEC.model_dump() | {"actions": fewer}))
    with pytest.raises(ShouldFixArgument, match="'small'"):
        load_user_model(path, load("companion"))


def damaged_files(folder: Path) -> dict[str, Path]:
    weights = random_weights()
    good = save_user_model(folder / "good", FEATURES, weights, FACTS)
    (folder / "cut").write_bytes(good.read_bytes()[:-20])
    (folder / "text").write_text("hello")
    nothing = unflatten(FEATURES, weights.flat * np.nan)
    save_user_model(folder / "nan", FEATURES, nothing, FACTS)
    short = dataclasses.replace(weights, values=np.zeros((2, 15)))
    save_user_model(folder / "shape", FEATURES, short, FACTS)
    save_user_model(folder / "format", FEATURES, weights, dataclasses.replace(FACTS, format=1))
    save_file(
        {"values": np.zeros(3)}, folder / "fields", metadata={"everloop": json.dumps({"format": 2})}
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
