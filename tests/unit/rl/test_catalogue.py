"""The action catalogue: rows, order, capacity, versions and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.actions import ActionKind
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ActionSpec, LoopSpec
from everloop.loops import load
from rl.encoders.catalogue import KINDS, ActionCatalogue
from tests.learning.worlds import loop_of

SPEC = load("companion")
FEATURE = st.floats(-1, 1, allow_nan=False, width=32)


def action(name: str, features: tuple[float, ...]) -> ActionSpec:
    return ActionSpec(id=name, kind=ActionKind.RECOMMEND_HIVE, event_id=name, features=features)


def with_actions(actions: tuple[ActionSpec, ...]) -> LoopSpec:
    return SPEC.model_copy(update={"actions": actions})


def test_rows_by_hand() -> None:
    catalogue = ActionCatalogue(SPEC)
    assert catalogue.ids == SPEC.action_ids
    assert catalogue.names[:5] == (
        "kind:suggest_pairing",
        "kind:recommend_hive",
        "kind:intervention",
        "kind:no_action",
        "people",
    )
    assert catalogue.names[5:] == SPEC.action_features
    assert catalogue.features.dtype == np.float32
    row = catalogue.features[catalogue.position("pair-three")]
    np.testing.assert_allclose(row, [1, 0, 0, 0, 0.15, -0.5, 1, 1, -0.5, 0.5], atol=1e-7)
    row = catalogue.features[catalogue.position("no_action")]
    np.testing.assert_array_equal(row, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert [KINDS[kind] for kind in catalogue.kinds] == [a.kind for a in SPEC.actions]


@given(st.permutations(range(len(SPEC.actions))))
def test_permuting_the_catalogue_permutes_its_rows(order: list[int]) -> None:
    one = ActionCatalogue(SPEC)
    other = ActionCatalogue(with_actions(tuple(SPEC.actions[i] for i in order)))
    np.testing.assert_array_equal(other.features, one.features[order])
    np.testing.assert_array_equal(other.kinds, one.kinds[order])
    np.testing.assert_array_equal(one.positions(other.ids), order)
    assert (other.version == one.version) == (order == sorted(order))


@given(
    rows=st.lists(st.tuples(*[FEATURE] * len(SPEC.action_features)), min_size=1, max_size=8),
    spare=st.integers(0, 5),
)
def test_what_actions_declare_is_read_back_from_a_padded_catalogue(
    rows: list[tuple[float, ...]], spare: int
) -> None:
    listed = [action(f"new-{i}", row) for i, row in enumerate(rows)]
    catalogue = ActionCatalogue(SPEC, listed)
    padded = catalogue.padded(len(rows) + spare)
    assert padded.mask.sum() == len(rows)
    assert not padded.features[~padded.mask].any()
    for one in listed:
        row = padded.features[catalogue.position(one.id)]
        assert tuple(row[5:].tolist()) == one.features
        assert KINDS[int(row[:4].argmax())] is one.kind
    assert np.abs(padded.features).max() <= 1.0


@pytest.mark.parametrize(
    "changed",
    [{"id": "hive-run"}, {"features": (0.5, 0.0, 1.0, 0.0, 0.4)}],
)
def test_another_action_is_another_version(changed: dict[str, object]) -> None:
    actions = list(SPEC.actions)
    position = SPEC.action_ids.index("hive-walk")
    actions[position] = actions[position].model_copy(update=changed)
    assert ActionCatalogue(with_actions(tuple(actions))).version != ActionCatalogue(SPEC).version
    reworded = SPEC.actions[position].model_copy(update={"safety_critical": True})
    actions[position] = reworded
    assert ActionCatalogue(with_actions(tuple(actions))).version == ActionCatalogue(SPEC).version


def test_a_loop_that_declares_no_features_has_kinds_and_people() -> None:
    catalogue = ActionCatalogue(loop_of(fields=1, actions=3))
    np.testing.assert_array_equal(catalogue.features, [[0, 1, 0, 0, 0]] * 3)


def test_what_is_no_catalogue_is_refused() -> None:
    catalogue = ActionCatalogue(SPEC)
    with pytest.raises(ShouldFixArgument, match="'hive-chess' is not in the catalogue"):
        catalogue.position("hive-chess")
    with pytest.raises(ShouldFixArgument, match="does not fit a capacity of 7"):
        catalogue.padded(7)
    with pytest.raises(ShouldFixArgument, match="without any action"):
        ActionCatalogue(SPEC, [])
    with pytest.raises(ShouldFixArgument, match="'a' has 2 features, but the loop declares 5"):
        ActionCatalogue(SPEC, [action("a", (0.0, 0.0))])
    twice = action("a", (0.0,) * 5)
    with pytest.raises(ShouldFixArgument, match="'a' is in the catalogue twice"):
        ActionCatalogue(SPEC, [twice, twice])
