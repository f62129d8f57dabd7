"""Contexts in the specification's words and units."""

from __future__ import annotations

import numpy as np

from everloop.contracts.loop_spec import LoopSpec
from rl.encoders import encode_context, layout
from synthetic.profiles.traits import traits_of
from tests.unit.synthetic.world import LAYOUT, SPEC

COMPANION_LIKE = LoopSpec.model_validate(
    SPEC.model_dump()
    | {
        "context": [
            {"name": "emotion", "kind": "vector", "width": 8, "low": -1, "project_to": 2},
            {"name": "recent", "kind": "history", "width": 10},
            {"name": "pulse", "kind": "number", "low": 40, "high": 180},
        ]
    }
)


def test_every_kind_is_told_in_its_units() -> None:
    spec = SPEC
    snapshots = [
        {"mood": [-1.0, 0.05, 1.0], "pulse": 60, "hour": 19.5, "group": "b"},
        {"mood": [0.0, 0.0, 0.0], "hour": 0},
    ]
    context = encode_context(spec, snapshots)
    assert layout(spec).width == LAYOUT.width
    first, second = traits_of(spec, layout(spec), context)
    assert first["mood.0"] == [-1.0, -0.8]
    assert first["mood.2"] == [0.8, 1.0]
    assert first["pulse"] == [54.0, 68.0]
    assert first["hour"] == [18.0, 21.0]
    assert first["group"] == "b"
    assert second["pulse"] is None
    assert second["group"] is None
    assert second["hour"] == [0.0, 3.0]


def test_projections_have_no_words_and_histories_have() -> None:
    recent = [{"action": "walk", "reward": 0.5}] * 5
    context = encode_context(COMPANION_LIKE, [{"recent": recent, "pulse": 180}])
    (traits,) = traits_of(COMPANION_LIKE, layout(COMPANION_LIKE), context)
    assert not any(name.startswith("emotion") for name in traits)
    assert traits["recent.share_recommend_hive"] == [0.9, 1.0]
    assert traits["recent.mean_reward"] == [0.4, 0.6]
    assert traits["recent.length"] == [5.0, 6.0]
    assert traits["pulse"] == [166.0, 180.0]


def test_nobody_has_no_traits() -> None:
    assert traits_of(SPEC, LAYOUT, np.zeros((0, 13), dtype=np.float32)) == []
