"""What holds of every context encoder: decoding, fields nobody declared, versions, and the companion's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import Float32
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from rl.encoders import encode_context, layout
from rl.encoders.context import encoder_of
from rl.encoders.fields import KINDS

ACTIONS: tuple[dict[str, Any], ...] = (
    {"id": "no_action", "kind": "no_action"},
    {"id": "pair", "kind": "suggest_pairing", "people": 1},
    {"id": "walk", "kind": "recommend_hive", "event_id": "walk"},
    {"id": "calm", "kind": "intervention", "tone": "calm", "message": "Breathe?"},
)
FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "pulse", "kind": "number", "low": 40, "high": 180},
    {"name": "mood", "kind": "vector", "width": 3, "low": -2, "high": 2},
    {"name": "group", "kind": "category", "choices": ["a", "b", "7"]},
    {"name": "week", "kind": "cycle", "period": 53},
    {"name": "recent", "kind": "history", "width": 10},
)


def spec_of(*context: dict[str, Any], **changes: Any) -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": "small",
            "version": 1,
            "context": context,
            "actions": ACTIONS,
            "signals": ({"name": "click", "weight": 1, "silence": "zero"},),
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
        }
        | changes
    )


EVERY = spec_of(*FIELDS)
_ITEM = st.fixed_dictionaries(
    {
        "action": st.sampled_from([action["id"] for action in ACTIONS]),
        "reward": st.one_of(st.none(), st.floats(-1, 1)),
    }
)
_SNAPSHOT = st.fixed_dictionaries(
    {},
    optional={
        "pulse": st.floats(40, 180),
        "mood": st.lists(st.floats(-2, 2), min_size=3, max_size=3),
        "group": st.sampled_from(["a", "b", "7"]),
        "week": st.floats(0, 53, exclude_max=True),
        "recent": st.lists(_ITEM, max_size=10),
    },
)


def decoded(state: Float32) -> dict[str, Any]:
    """What a state says of the snapshot that it was made from, up to float32's rounding."""
    found: dict[str, Any] = {}
    pairs = layout(EVERY).blocks
    for field, block, missing in zip(EVERY.context, pairs[::2], pairs[1::2], strict=True):
        values = state[block.dimensions].astype(float)
        if state[missing.start]:
            assert not values.any()
            continue
        span = field.high - field.low
        if block.kind in ("number", "vector"):
            scaled = ((values + 1) / 2 * span + field.low).tolist()
            found[field.name] = scaled if block.kind == "vector" else scaled[0]
        elif block.kind == "category":
            (place,) = np.flatnonzero(values)
            found[field.name] = field.choices[place]
        elif block.kind == "cycle":
            turn = math.atan2(values[0], values[1]) / (2 * math.pi)
            found[field.name] = turn * field.period % field.period
        else:
            length = round(values[-1] * field.width)
            rewarded = round(values[-2] * length)
            counts = [round(share * length) for share in values[: len(KINDS)]]
            found[field.name] = (counts, rewarded, values[-3] * rewarded)
    return found


@given(_SNAPSHOT)
def test_a_state_says_what_its_snapshot_said(snapshot: dict[str, Any]) -> None:
    (state,) = encode_context(EVERY, [snapshot])
    found = decoded(state)
    assert found.keys() == snapshot.keys(), "what is missing is told from what is zero"
    for name, value in snapshot.items():
        if name == "recent":
            kinds = [next(a["kind"] for a in ACTIONS if a["id"] == i["action"]) for i in value]
            rewards = [item["reward"] for item in value if item["reward"] is not None]
            counts, rewarded, total = found[name]
            assert counts == [kinds.count(kind) for kind in KINDS]
            assert rewarded == len(rewards)
            assert total == pytest.approx(math.fsum(rewards), abs=1e-5)
        elif name == "week":
            apart = abs(found[name] - value)
            assert min(apart, 53 - apart) < 1e-4, "the year's end is its beginning"
        else:
            expected = value if isinstance(value, str) else pytest.approx(value, abs=1e-4)
            assert found[name] == expected


@given(
    _SNAPSHOT,
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in {f["name"] for f in FIELDS}),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    ),
)
def test_fields_that_nobody_declared_change_nothing(
    snapshot: dict[str, Any], undeclared: dict[str, Any]
) -> None:
    encoder = encoder_of(EVERY)
    (plain,) = encoder.encode([snapshot])
    for with_more in ({**snapshot, **undeclared}, {**undeclared, **snapshot}):
        np.testing.assert_array_equal(encoder.encode([with_more])[0], plain)
        np.testing.assert_array_equal(encoder.encode_one(with_more)[0], plain)


@given(st.lists(_SNAPSHOT, min_size=1, max_size=5), st.data())
def test_no_snapshot_changes_anothers_state(
    snapshots: list[dict[str, Any]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(snapshots))))
    states = encode_context(EVERY, snapshots)
    moved = encode_context(EVERY, [snapshots[place] for place in order])
    np.testing.assert_array_equal(moved, states[list(order)])


_MEANING = [
    ("pulse", {"low": 39}),
    ("pulse", {"high": 181}),
    ("pulse", {"name": "heart"}),
    ("mood", {"width": 4}),
    ("mood", {"low": -1}),
    ("mood", {"project_to": 2}),
    ("group", {"choices": ["b", "a", "7"]}),
    ("group", {"choices": ["a", "b"]}),
    ("week", {"period": 52}),
    ("recent", {"width": 9}),
]
_WORDS = [
    ("pulse", {"description": "beats a minute"}),
    ("pulse", {"sensitivity": "health"}),
    ("mood", {"interacts": True}),
]


def _changed(name: str, change: dict[str, Any]) -> LoopSpec:
    return spec_of(*(field | change if field["name"] == name else field for field in FIELDS))


@pytest.mark.parametrize(("name", "change"), _MEANING, ids=str)
def test_the_version_changes_with_what_states_mean(name: str, change: dict[str, Any]) -> None:
    assert layout(_changed(name, change)).encoder != layout(EVERY).encoder


@pytest.mark.parametrize(("name", "change"), _WORDS, ids=str)
def test_the_version_stays_where_states_mean_the_same(name: str, change: dict[str, Any]) -> None:
    assert layout(_changed(name, change)).encoder == layout(EVERY).encoder


@given(st.permutations(FIELDS), st.integers(1, len(FIELDS)))
def test_every_choice_and_order_of_fields_has_a_version_of_its_own(
    order: list[dict[str, Any]], count: int
) -> None:
    chosen = order[:count]
    same = chosen == list(FIELDS)
    assert (layout(spec_of(*chosen)).encoder == layout(EVERY).encoder) is same


def test_what_an_action_was_counts_in_a_history_alone() -> None:
    other = ({**ACTIONS[2], "id": "swim"}, *ACTIONS[:2], ACTIONS[3])
    assert layout(spec_of(*FIELDS, actions=other)).encoder != layout(EVERY).encoder
    plain = FIELDS[:-1]
    assert layout(spec_of(*plain, actions=other)).encoder == layout(spec_of(*plain)).encoder


def test_the_same_snapshot_has_the_same_state_for_ever() -> None:
    """Whoever has to change these numbers raises the algorithm's number, so that old policies refuse."""
    snapshot = {
        "pulse": 75,
        "mood": [1.0, -2.0, 0.5],
        "group": "b",
        "week": 13.25,
        "recent": [{"action": "walk", "reward": 0.5}, {"action": "calm", "reward": None}],
    }
    (state,) = encode_context(EVERY, [snapshot])
    expected = [-0.5, 0, 0.5, -1, 0.25, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0.5, 0.5, 0, 0.5, 0.5, 0.2, 0]
    np.testing.assert_allclose(state, expected, atol=1e-7)
    projected = _changed("mood", {"project_to": 2})
    (narrow,) = encode_context(projected, [snapshot])
    np.testing.assert_allclose(narrow[2:4], [-0.5051815, -0.0883883], atol=1e-7)
    assert layout(EVERY).encoder == "small-69c368c80f628b7f"


def test_the_companions_state_is_the_products_specification() -> None:
    spec = load("companion")
    encoding = layout(spec)
    widths = {block.field: (block.kind, block.width) for block in encoding.blocks[::2]}
    assert widths == {
        "emotion": ("vector", 6),
        "recent_interactions": ("history", 7),
        "heart_rate": ("number", 1),
        "pulse_variability": ("number", 1),
        "hour": ("cycle", 2),
        "weekday": ("cycle", 2),
        "week": ("cycle", 2),
        "connections": ("number", 1),
        "active_connections": ("number", 1),
        "age_group": ("category", 4),
    }
    assert spec.field("emotion").width == 128
    assert spec.field("recent_interactions").width == 10
    assert [b.kind for b in encoding.blocks[1::2]] == ["missing"] * len(widths)
    assert encoding.width == 37
    (nothing,) = encode_context(spec, [{}])
    assert nothing.sum() == len(widths)
