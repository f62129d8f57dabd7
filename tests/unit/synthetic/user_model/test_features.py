"""Public features: values by hand, and never more parameters than the loop allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders import layout
from rl.encoders.context import encoder_of
from synthetic.user_model import features, widest
from synthetic.user_model.features import KINDS, FeatureMap, missing_types
from synthetic.user_model.widest import feature_map, public_projection
from tests.unit.synthetic.world import INTERACTING, LAYOUT, SPEC, contexts


def limited(spec: LoopSpec, limit: int) -> LoopSpec:
    privacy = spec.privacy.model_copy(update={"max_parameters": limit})
    return spec.model_copy(update={"privacy": privacy})


def companion(people: int = 10_000) -> FeatureMap:
    spec = load("companion")
    privacy = spec.privacy.model_copy(update={"people_expected": people})
    spec = spec.model_copy(update={"privacy": privacy})
    return feature_map(spec, encoder_of(spec).interacting, layout(spec))


def test_features_by_hand() -> None:
    table = feature_map(limited(SPEC, 80), INTERACTING, LAYOUT)
    context = np.linspace(-1, 1, 13, dtype=np.float32)[None, :]
    resting = np.zeros((1, 13), np.float32)
    seen = table.of(context, np.array([2]), resting)
    wide = np.zeros(4 + 3 * 4)
    wide[2] = features.ACTION_SCALE
    wide[4 + 6 : 4 + 9] = context[0, :3] * features.INTERACTION_SCALE
    np.testing.assert_allclose(seen.wide[0], wide, rtol=1e-6)
    # numbers, cycles and categories; missing indicators come last
    order = [4, 6, 7, 9, 10, 11, 3, 5, 8, 12]
    shared = [features.INTERCEPT_SCALE, *context[0, order] * features.CONTEXT_SCALE]
    np.testing.assert_allclose(seen.shared[0], shared, rtol=1e-6)
    # no_action, suggest_pairing and recommend_hive in the order of the kinds
    hive = [0.0, features.NARROW_SCALE, 0.0]
    np.testing.assert_allclose(seen.narrow[0], hive)
    own = context[0, :3] * features.RESTING_SCALE
    np.testing.assert_allclose(seen.motion[0, :, 0], own, rtol=1e-6)
    assert not seen.motion[0, :, 1].any()
    np.testing.assert_allclose(seen.motion[0, :, 2:], [[0.0, features.MOVED_SCALE, 0.0]] * 3)
    here = table.of(context, np.array([2]))
    np.testing.assert_allclose(here.motion[0, :, 1], own, rtol=1e-6)
    assert (table.width, table.shared_width, table.narrow_width, table.motion_width) == (
        16,
        11,
        3,
        5,
    )
    assert table.parameters == 3 * 16 + 11 + 2 * 3 + 3 * 5
    assert table.heads == 2 + 1 + 1 + 1 + 3


def test_actions_of_a_kind_are_one_to_narrow_heads_until_the_limit_pays_for_each() -> None:
    few, many = (feature_map(limited(SPEC, limit), INTERACTING, LAYOUT) for limit in (80, 85))
    assert not few.by_action
    assert many.by_action
    assert many.groups.tolist() == [0, 1, 2, 3]
    assert few.groups.tolist() == [2, 0, 1, 1]


def test_repetition_is_the_share_of_the_last_interactions_of_the_actions_kind() -> None:
    table = companion()
    assert table.history == (7, 10)
    context = np.zeros((2, 37), np.float32)
    context[:, 7 + KINDS.index(load("companion").actions[1].kind)] = 0.5
    context[:, 7 + 6] = 0.4
    seen = table.of(context, np.array([1, 3]))
    expected = [0.5 * 0.4 * features.REPETITION_SCALE, 0.0]
    (repetition,) = seen.wide[:, table.wide_blocks["repetition"]].T
    np.testing.assert_allclose(repetition, expected, rtol=1e-6)
    np.testing.assert_allclose(seen.narrow[:, -1], expected, rtol=1e-6)


def described(limit: int = 500) -> FeatureMap:
    """The small product, whose actions are described by two numbers and partners by two."""
    product = SPEC.model_dump() | {
        "action_features": ("company", "activity"),
        "candidates": {"descriptors": ("sociability", "novelty")},
    }
    shown = ((0, 0), (1, -0.5), (0.5, 1), (0, 0.25))
    product["actions"] = [
        action | {"features": numbers}
        for action, numbers in zip(product["actions"], shown, strict=True)
    ]
    return feature_map(limited(LoopSpec.model_validate(product), limit), INTERACTING, LAYOUT)


def test_described_actions_interact_through_their_features_by_hand() -> None:
    table = described()
    assert table.each
    context = np.linspace(-1, 1, 13, dtype=np.float32)[None, :]
    slate = np.array([[0.5, -0.25]], np.float32)
    x, blocks, alike = context[0, :3], table.wide_blocks, table.shared_blocks
    seen = table.of(context, np.array([1]), slate=slate)
    wide, shared = seen.wide[0], seen.shared[0]
    np.testing.assert_allclose(wide[:4], [0, features.DESCRIBED_ACTION_SCALE, 0, 0])
    np.testing.assert_allclose(
        wide[blocks["level"]], [features.LEVEL_SCALE, -features.LEVEL_SCALE / 2]
    )
    np.testing.assert_allclose(wide[blocks["partner"]], slate[0] * features.PARTNER_SCALE)
    crossed = np.concatenate([x, -0.5 * x])
    np.testing.assert_allclose(wide[blocks["crossed"]], crossed * features.EACH_SCALE, rtol=1e-6)
    np.testing.assert_allclose(shared[alike["alike"]], crossed * features.ALIKE_SCALE, rtol=1e-6)
    apart = np.concatenate([0 * x, x * features.APART_SCALE, 0 * x, 0 * x])
    np.testing.assert_allclose(shared[alike["apart"]], apart, rtol=1e-6)
    met = np.concatenate([0.5 * x, -0.25 * x]) * features.MET_SCALE
    np.testing.assert_allclose(shared[alike["met"]], met, rtol=1e-6)
    assert [blocks[name].start for name in blocks] == [0, 4, 6, 6, 8, 14]
    assert [alike[name].start for name in alike] == [0, 1, 11, 17, 29]
    assert (table.width, table.shared_width) == (24, 35)


def test_nobody_has_no_features() -> None:
    for table in (described(), companion(), feature_map(SPEC, INTERACTING, LAYOUT)):
        nobody = np.zeros((0, table.context.shape[1]), np.float32)
        seen = table.of(nobody, np.zeros(0, np.int64))
        assert seen.wide.shape == (0, table.width)
        assert seen.shared.shape == (0, table.shared_width)


def test_partners_are_seen_of_pairings_alone_and_average_ones_are_none() -> None:
    table = described()
    context = contexts(6, np.random.default_rng(1))
    action = np.array([0, 1, 2, 3, 1, 1])
    slate = np.full((6, 2), 0.5, np.float32)
    slate[4] = 0.0
    with_them, without = table.of(context, action, slate=slate), table.of(context, action)
    differs = (with_them.shared != without.shared).any(axis=1)
    assert differs.tolist() == [False, True, False, False, False, True]
    np.testing.assert_array_equal(with_them.wide[4], without.wide[4])
    with pytest.raises(ShouldFixArgument, match=r"slate of shape \(6, 3\) is not \(6, 2\)"):
        table.of(context, action, slate=np.zeros((6, 3), np.float32))
    plain = feature_map(SPEC, INTERACTING, LAYOUT)
    assert plain.descriptors == 0
    np.testing.assert_array_equal(
        plain.of(context, action, slate=slate).wide, plain.of(context, action).wide
    )


def test_described_actions_are_added_in_a_stated_order() -> None:
    shown = {}
    for limit in (40, 60, 66, 70, 80):
        t = described(limit)
        assert t.parameters <= limit
        shown[limit] = (len(t.interacting), len(t.moving), t.descriptors, t.meeting, len(t.context))
    # 25 for the least, 6 for each interacting dimension, 15 for next contexts, 6 for partners, 6 met
    assert shown == {
        40: (2, 0, 0, False, 3),
        60: (3, 3, 0, False, 2),
        66: (3, 3, 2, False, 2),
        70: (3, 3, 2, True, 0),
        80: (3, 3, 2, True, 10),
    }
    assert (described(102).by_action, described(102).each) == (True, False)
    assert (described(103).each, described(132).own.size) == (True, 0)
    assert len(described(133).own) == 10


def test_missing_types_are_those_whose_silence_says_nothing() -> None:
    assert missing_types(SPEC) == (1,)
    assert missing_types(load("open_bandit")) == ()


@given(st.integers(1, 400), st.integers(0, 20), st.integers(0, 20))
def test_the_limit_holds(limit: int, width: int, inner: int) -> None:
    interacting = np.arange(width) < inner
    least = 3 * 4 + 1 + 2 * 3
    if limit < least:
        with pytest.raises(ShouldFixLoopSpec, match=f"max_parameters={limit} is below {least}"):
            feature_map(limited(SPEC, limit), interacting)
        return
    table = feature_map(limited(SPEC, limit), interacting)
    assert table.parameters <= limit
    assert 3 * 4 * len(table.interacting) <= widest.INTERACTIONS_SHARE * limit
    seen = table.of(np.zeros((2, width), np.float32), np.array([0, 3]))
    assert seen.wide.shape == (2, table.width)
    assert seen.shared.shape == (2, table.shared_width)
    assert seen.narrow.shape == (2, table.narrow_width)
    assert seen.motion.shape == (2, len(table.moving), table.motion_width)


def test_less_pays_for_less() -> None:
    sizes = {
        limit: feature_map(limited(SPEC, limit), INTERACTING, LAYOUT) for limit in (20, 50, 70, 400)
    }
    shown = {
        limit: (len(t.interacting), len(t.moving), len(t.context), len(t.own))
        for limit, t in sizes.items()
    }
    assert shown == {20: (0, 0, 1, 0), 50: (2, 0, 7, 0), 70: (3, 3, 0, 0), 400: (3, 3, 10, 10)}
    assert not sizes[50].interacting[:, ~INTERACTING].any()


def test_projections_are_public_constants_that_keep_norms() -> None:
    assert np.array_equal(public_projection(5, 5), np.eye(5))
    matrix = public_projection(40, 20)
    assert np.array_equal(matrix, public_projection(40, 20))
    np.testing.assert_allclose(np.abs(matrix), 20**-0.5)
    rows = np.random.default_rng(1).normal(size=(500, 40))
    ratio = np.linalg.norm(rows @ matrix.T, axis=1) / np.linalg.norm(rows, axis=1)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    assert public_projection(5, 0).shape == (0, 5)


def test_other_widths_are_refused() -> None:
    table = feature_map(SPEC, INTERACTING)
    with pytest.raises(ShouldFixArgument, match=r"\(2, 12\)"):
        table.of(np.zeros((2, LAYOUT.width - 1), np.float32), np.array([0, 1]))


def test_the_shipped_loops_fit_their_limits() -> None:
    table = companion()
    # four wide heads, what they share, three narrow heads, six next contexts
    each, shared = 4 * (8 + 5 + 1 + 2), 1 + 31 + (5 + 8 + 2) * 6
    assert table.parameters == each + shared + 3 * (8 + 1) + 6 * (2 + 8) == 273
    assert load("companion").privacy.parameter_limit == 300
    shape = (len(table.interacting), len(table.moving), len(table.context), len(table.own))
    assert shape == (6, 6, 31, 0)
    assert (table.by_action, table.each, table.descriptors, table.meeting) == (True, False, 2, True)
    wide = companion(50_000)
    shape = (len(wide.interacting), len(wide.moving), len(wide.context), len(wide.own))
    assert shape == (6, 6, 31, 31)
    assert wide.by_action
    assert wide.each
    assert wide.parameters == 273 + 4 * (5 * 6 + 31)
    bandit = load("open_bandit")
    table = feature_map(bandit, encoder_of(bandit).interacting, layout(bandit))
    assert table.parameters == 2 * 80 + 1 + 35 + 80 <= 300
