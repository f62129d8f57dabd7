"""Weights under another catalogue: known actions and features keep theirs, by hand and by what they say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.carrying import (
    carried_over,
    carried_uncertainty,
    carrying_map,
    known_share,
)
from synthetic.user_model.features import RESTING_SCALE, FeatureMap
from synthetic.user_model.uncertainty import Uncertainty
from synthetic.user_model.weights import Weights, logits_of, unflatten
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.world import INTERACTING, LAYOUT, SPEC, contexts

FORMS = {
    "no_action": {"kind": "no_action", "features": (0.0, 0.0)},
    "pair": {"kind": "suggest_pairing", "people": 1, "features": (1.0, -0.5)},
    "walk": {"kind": "recommend_hive", "event_id": "walk", "features": (0.5, 1.0)},
    "music": {"kind": "recommend_hive", "event_id": "music", "features": (0.0, 0.25)},
    "chess": {"kind": "recommend_hive", "event_id": "chess", "features": (-0.5, 0.5)},
    "calm": {"kind": "intervention", "tone": "calm", "message": "Hm?", "features": (0.2, 0.1)},
}
OLD = ("no_action", "pair", "walk", "music")


def spec_of(ids: Sequence[str], limit: int = 110, declared: bool = True) -> LoopSpec:
    product = SPEC.model_dump()
    product["actions"] = [{"id": name} | FORMS[name] for name in ids]
    product["privacy"] |= {"max_parameters": limit}
    if declared:
        product["action_features"] = ("company", "activity")
        product["candidates"] = {"descriptors": ("sociability",)}
    else:
        for action in product["actions"]:
            action["features"] = ()
    return LoopSpec.model_validate(product)


def table(ids: Sequence[str], limit: int = 110, declared: bool = True) -> FeatureMap:
    return feature_map(spec_of(ids, limit, declared), INTERACTING, LAYOUT)


def weights_of(features: FeatureMap, seed: int = 1) -> Weights:
    rng = np.random.default_rng(seed)
    return unflatten(features, rng.normal(size=features.parameters))


def test_an_added_action_by_hand() -> None:
    old, ids = table(OLD), ("no_action", "chess", "music", "pair", "walk", "calm")
    new = table(ids, 200)
    assert old.by_action
    assert new.by_action
    before = weights_of(old)
    after = carried_over(old, OLD, before, new, ids)
    a, b = old.wide_blocks, new.wide_blocks
    for head in range(3):
        was = (*before.values, before.acceptance)[head]
        now = (*after.values, after.acceptance)[head]
        mean = was[a["action"]].mean()
        known = dict(zip(OLD, was[a["action"]], strict=True))
        np.testing.assert_allclose(now[b["action"]], [known.get(name, mean) for name in ids])
        for block in ("level", "partner", "crossed"):
            np.testing.assert_allclose(now[b[block]], was[a[block]])
    c, d = old.shared_blocks, new.shared_blocks
    for block in ("one", "context", "alike", "met"):
        np.testing.assert_allclose(after.shared[d[block]], before.shared[c[block]])
    apart = dict(zip(OLD, before.shared[c["apart"]].reshape(4, 3), strict=True))
    wanted = [apart.get(name, np.zeros(3)) for name in ids]
    np.testing.assert_allclose(after.shared[d["apart"]].reshape(6, 3), wanted)
    ends = dict(zip(OLD, before.end, strict=True))
    ends["chess"] = (ends["walk"] + ends["music"]) / 2
    ends["calm"] = before.end.mean()
    np.testing.assert_allclose(after.end, [ends[name] for name in ids])
    np.testing.assert_allclose(after.motions[:, :2], before.motions[:, :2])
    np.testing.assert_allclose(after.motions[:, 2], before.motions[:, 2])
    np.testing.assert_allclose(
        after.motions[:, 3], (before.motions[:, 4] + before.motions[:, 5]) / 2
    )


@given(st.permutations(OLD), st.booleans())
def test_known_actions_are_answered_as_before(ids: list[str], declared: bool) -> None:
    old, new = table(OLD, 110, declared), table(ids, 110, declared)
    before = weights_of(old)
    after = carried_over(old, OLD, before, new, ids)
    context = contexts(12, np.random.default_rng(2))
    action = np.arange(12) % 4
    slate = np.full((12, 1), 0.5, np.float32)
    moved = np.array([ids.index(OLD[a]) for a in action])
    np.testing.assert_allclose(
        logits_of(after, new.of(context, moved, slate=slate)),
        logits_of(before, old.of(context, action, slate=slate)),
    )


def test_an_unseen_action_is_answered_by_its_features() -> None:
    old, ids = table(OLD), (*OLD, "chess")
    new = table(ids, 200)
    before = weights_of(old)
    after = carried_over(old, OLD, before, new, ids)
    context = contexts(20, np.random.default_rng(3))
    seen = new.of(context, np.full(20, 4))
    a, c = old.wide_blocks, old.shared_blocks
    crossed = np.concatenate([-0.5 * context[:, :3], 0.5 * context[:, :3]], axis=1)
    wanted = (
        0.8 * before.acceptance[a["action"]].mean()
        + 0.3 * before.acceptance[a["level"]] @ [-0.5, 0.5]
        + 2.3 * crossed @ before.acceptance[a["crossed"]]
        + 3.3 * crossed @ before.shared[c["alike"]]
        + new.of(context, np.zeros(20, np.int64)).shared[:, :11] @ before.shared[:11]
    )
    np.testing.assert_allclose(logits_of(after, seen)[:, 2], wanted, rtol=1e-6, atol=1e-6)


def test_more_or_less_room_keeps_what_both_have() -> None:
    small, large = table(OLD, 40), table(OLD, 200)
    assert (len(small.moving), len(large.moving)) == (0, 3)
    assert len(small.interacting) == 2
    before = weights_of(small)
    after = carried_over(small, OLD, before, large, OLD)
    context, action = contexts(30, np.random.default_rng(4)), np.arange(30) % 4
    was = logits_of(before, small.of(context, action))
    now = logits_of(after, large.of(context, action))
    np.testing.assert_allclose(now[:, :5], was, atol=1e-9)
    # new next contexts begin where a first fit's would
    np.testing.assert_allclose(after.motions[:, :2] * RESTING_SCALE, [[1.2, 0.8]] * 3)
    back = carried_over(large, OLD, after, small, OLD)
    np.testing.assert_allclose(back.flat, before.flat, atol=1e-9)


def test_noise_is_carried_exactly() -> None:
    old, ids = table(OLD), (*OLD, "chess")
    new = table(ids, 200)
    rng = np.random.default_rng(5)
    root = rng.normal(size=(old.parameters, 3))
    known = Uncertainty(root @ root.T, np.eye(old.parameters))
    found = carried_uncertainty(known, old, OLD, new, ids)
    center = weights_of(old)
    start = carried_over(old, OLD, center, new, ids).flat
    moved = [
        carried_over(old, OLD, unflatten(old, center.flat + column), new, ids).flat - start
        for column in root.T
    ]
    np.testing.assert_allclose(found.noise, sum(np.outer(m, m) for m in moved), atol=1e-9)
    matrix = carrying_map(old, OLD, new, ids)
    np.testing.assert_allclose(found.sampling, matrix @ matrix.T)


def test_precision_counts_by_what_carried_weights_speak_of() -> None:
    old, ids = table(OLD), (*OLD[:3], "chess")
    assert old.by_action
    assert (len(old.interacting), old.descriptors) == (3, 1)
    assert known_share(old, OLD, old, OLD) == 1.0
    assert known_share(old, OLD, table(OLD[::-1]), OLD[::-1]) == pytest.approx(1.0)
    new = table(ids)
    seen = new.of(
        np.ones((4, len(INTERACTING)), np.float32), np.arange(4), slate=np.ones((4, 1), np.float32)
    )
    whole = (seen.wide**2).sum() + (seen.shared**2).sum()
    # chess misses three quarters of its level's variance, and its own three interactions
    missed = 0.75 * 0.8**2 + 3 * 1.4**2
    assert known_share(old, OLD, new, ids) == pytest.approx(1.0 - missed / whole)


def test_ids_alone_carry_little_to_unseen_actions() -> None:
    old, ids = table(OLD, declared=False), (*OLD[:2], "chess", "calm")
    described = known_share(table(OLD), OLD, table(ids), ids)
    by_id = known_share(old, OLD, table(ids, declared=False), ids)
    assert 0.3 < by_id < 0.6
    assert 0.8 < described < 1.0


def test_what_means_something_else_is_refused() -> None:
    old = table(OLD)
    with pytest.raises(ShouldFixArgument, match="cannot be carried"):
        carried_over(old, OLD, weights_of(old), table(OLD, declared=False), OLD)
    with pytest.raises(ShouldFixArgument, match="3 actions cannot be carried"):
        carried_over(old, OLD[:3], weights_of(old), old, OLD)
