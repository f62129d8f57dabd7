"""What a policy starts from: the best single decisions, or an earlier policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import ActionSpec, LoopSpec
from everloop.contracts.models import Provenance
from rl.belief import BelievedUserModel
from rl.encoders.catalogue import ActionCatalogue
from rl.module import PolicyNetwork
from rl.policy_card import PolicyCard
from rl.ppo import TrainingResult, train
from rl.ppo.head_start import best_single_decisions, head_start, simulated_states
from rl.ppo.schedule import stream
from rl.ppo.start import Start
from rl.ppo.training import plan_of
from tests.learning.worlds import World, identity, loop_of, people
from tests.unit.rl.test_belief import AlikeDoubt, Column, Constant

SMALL = {"iterations": 1, "environments": 8, "rollout_length": 8, "hidden": 8, "epochs": 1}
SPEC = loop_of(2, 2, **SMALL)


def described(ids: tuple[str, ...] = ("event-0", "event-1"), **training: object) -> LoopSpec:
    """The tiny loop, its events described by one feature."""
    made = loop_of(2, len(ids), **(SMALL | training))
    actions = tuple(
        ActionSpec.model_validate(
            {"id": name, "kind": "recommend_hive", "event_id": name, "features": [i - 0.5]}
        )
        for i, name in enumerate(ids)
    )
    return made.model_copy(update={"action_features": ("loud",), "actions": actions})


def test_targets_by_hand() -> None:
    states = np.array([[0.0, 1, 1], [0.0, 1, 0]], dtype=np.float32)
    model = BelievedUserModel(Constant(error=0.01), (), 1.0)
    # action 1's standard error is .01 larger: at a temperature of .01 it is e times less likely
    found = best_single_decisions(model, states, 1)
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(found, [[share, 1 - share], [1, 0]], atol=1e-5)
    with pytest.raises(ShouldRestoreArtefact, match="expects a reward that is not a number"):
        best_single_decisions(Constant(value=float("nan")), states, 1)


def test_an_expected_reward_of_another_shape_is_named() -> None:
    states = np.array([[0.0, 1, 1], [0.0, 1, 0]], dtype=np.float32)
    with pytest.raises(
        ShouldRestoreArtefact, match=r"answered rewards of shape \(2, 1\), not \(2,\)"
    ):
        best_single_decisions(Column(), states, 1)


def test_a_doubt_that_all_actions_share_moves_no_target() -> None:
    states = np.array([[0.0, 1, 1, 1]], dtype=np.float32)
    certain = best_single_decisions(AlikeDoubt(), states, 1)
    compared = BelievedUserModel(AlikeDoubt(), (), 2.0, reference=0)
    np.testing.assert_array_equal(best_single_decisions(compared, states, 1), certain)
    level = best_single_decisions(BelievedUserModel(AlikeDoubt(), (), 2.0), states, 1)
    np.testing.assert_allclose(level, 1 / 3, rtol=1e-6)


def test_states_are_journeys_that_any_valid_action_may_lead_to() -> None:
    spec = loop_of(2, 2, **SMALL)
    profiles = people(spec)
    plan = plan_of(spec, World(identity), profiles, profiles.encoder, 1)
    states = simulated_states(plan, 30, stream(1, 0, 5, 0))
    assert states.shape == (32, 6)
    assert len({row.tobytes() for row in states}) > 3


def test_a_head_start_finds_the_best_single_decision() -> None:
    spec = loop_of(2, 2, **(SMALL | {"head_start": 512, "environments": 64}))
    profiles = people(spec)
    plan = plan_of(spec, World(identity), profiles, profiles.encoder, 1)
    weights = head_start(plan)
    again = head_start(plan)
    for name, values in weights.items():
        np.testing.assert_array_equal(values, again[name])
        if name.startswith("critic."):
            np.testing.assert_array_equal(values, plan.network().state_dict()[name].numpy())
    network = plan.network()
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    states = simulated_states(plan, 64, stream(2, 0, 5, 0))
    with torch.inference_mode():
        chosen = network.logits(torch.from_numpy(states)).argmax(dim=1).numpy()
    assert (chosen == (states[:, 0] > 0)).mean() == 1.0


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    folder = tmp_path_factory.mktemp("earlier")
    spec = described(head_start=128)
    profiles = people(spec)
    return train(spec, World(identity), profiles, profiles.encoder, 1, folder), folder


def test_an_earlier_policy_is_taken_over_by_names(earlier: tuple[TrainingResult, Path]) -> None:
    result, folder = earlier
    start = Start.read(folder)
    assert start.card == result.card
    assert result.card.action_features == ActionCatalogue(described()).names
    spec = described(("event-new", "event-0"))
    network = PolicyNetwork(4, 2, 8, 5, ActionCatalogue(spec).features)
    taken = start.weights_for(spec, network)
    np.testing.assert_array_equal(taken["policy.4.weight"][0], np.zeros(8))
    np.testing.assert_array_equal(taken["policy.4.weight"][1], start.weights["policy.4.weight"][0])
    assert taken["policy.4.bias"][0] == 0.0
    for name in ("policy.0.weight", "critic.4.weight", "taste.weight", "taste.bias"):
        np.testing.assert_array_equal(taken[name], start.weights[name])
    network.load_state_dict({k: torch.from_numpy(v) for k, v in taken.items()})


def test_features_of_other_names_start_at_nothing(earlier: tuple[TrainingResult, Path]) -> None:
    start = Start.read(earlier[1])
    spec = described().model_copy(update={"action_features": ("quiet",)})
    taken = start.weights_for(spec, PolicyNetwork(4, 2, 8, 5, ActionCatalogue(spec).features))
    assert not taken["taste.weight"][-1].any()
    np.testing.assert_array_equal(taken["taste.weight"][:-1], start.weights["taste.weight"][:-1])


def test_a_training_goes_on_from_an_earlier_policy(
    earlier: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    result, folder = earlier
    spec = described(learning_rate=1e-12)
    profiles = people(spec)
    world = World(identity)
    found = train(spec, world, profiles, profiles.encoder, 2, tmp_path, start=folder)
    assert found.card.started_from == result.card.version
    before, after = Start.read(folder), Start.read(tmp_path)
    for name, values in before.weights.items():
        np.testing.assert_allclose(after.weights[name], values, atol=1e-8)
    fresh = train(spec, world, profiles, profiles.encoder, 2, tmp_path)
    assert fresh.resumed_from == 0
    assert fresh.card.started_from == ""
    assert fresh.weights_sha256 != found.weights_sha256


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"learner": "greedy"}, "made by learner 'greedy'"),
        ({"provenance": Provenance.RAW_LOG}, "from raw_log"),
    ],
)
def test_only_a_private_policy_of_ppo_is_gone_on_from(
    earlier: tuple[TrainingResult, Path],
    tmp_path: Path,
    changed: dict[str, Any],
    said: str,
) -> None:
    result, folder = earlier
    (tmp_path / "policy.safetensors").write_bytes((folder / "policy.safetensors").read_bytes())
    documents.write(replace(result.card, **changed), tmp_path / "policy.json")
    with pytest.raises(ShouldFixArgument, match=said):
        Start.read(tmp_path)


def test_an_earlier_policy_that_does_not_fit_is_refused(
    earlier: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    start = Start.read(earlier[1])
    wide = loop_of(3, 2, **SMALL)
    with pytest.raises(ShouldFixArgument, match="has states"):
        start.weights_for(wide, PolicyNetwork(6, 2, 8, 5))
    with pytest.raises(ShouldFixArgument, match="has hidden units 8"):
        start.weights_for(described(), PolicyNetwork(4, 2, 16, 5, np.ones((2, 6), np.float32)))
    with pytest.raises(ShouldFixArgument, match="has action features True"):
        start.weights_for(SPEC, PolicyNetwork(4, 2, 8, 5))
    for name in ("policy.json", "policy.safetensors"):
        (tmp_path / name).write_bytes((earlier[1] / name).read_bytes())
    data = (tmp_path / "policy.safetensors").read_bytes()
    (tmp_path / "policy.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ShouldRestoreArtefact, match="has checksum"):
        Start.read(tmp_path)
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        Start.read(tmp_path)


def test_cards_written_before_they_said_so_much_are_read(
    earlier: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    card = json.loads((earlier[1] / "policy.json").read_text())
    for name in ("layout", "catalogue", "action_features", "limits", "doubts", "epsilon"):
        del card[name]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(card))
    assert documents.read(PolicyCard, path) == replace(
        earlier[0].card,
        layout=(),
        catalogue="",
        action_features=(),
        limits=(),
        doubts="",
        epsilon=None,
    )
