"""Drawn histories: within their public ranges, and parts that agree with each other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders import encode_context
from rl.encoders import layout as layout_of
from synthetic.profiles import draw_profiles
from synthetic.profiles.contexts import contexts_of, even_codes
from synthetic.profiles.marginals import bins_of, history_parts, variables
from synthetic.profiles.statistics import (
    ProfileFacts,
    ProfileStatistics,
    load_statistics,
    save_statistics,
)
from synthetic.profiles.traits import traits_of
from tests.unit.synthetic.world import SPEC

LOOP = LoopSpec.model_validate(
    SPEC.model_dump()
    | {
        "context": [
            {"name": "recent", "kind": "history", "width": 10},
            {"name": "pulse", "kind": "number", "low": 40, "high": 180},
        ]
    }
)
LAYOUT = layout_of(LOOP)
BLOCK = LAYOUT.of_kind("history")[0]
PARTS = history_parts(BLOCK)
KINDS = len(ActionKind)
ONE_SIDED = [d for d in range(BLOCK.start, BLOCK.start + BLOCK.width) if d != PARTS.mean_reward]


def require_agreement(context: Float) -> None:
    shares, rest = context[:, PARTS.shares], context[:, [PARTS.rewarded, PARTS.mean_reward]]
    assert context[:, ONE_SIDED].min() >= 0.0
    assert np.abs(context).max() <= 1.0
    assert shares.sum(axis=1).max() <= 1.0 + 1e-6
    empty = context[:, PARTS.length] == 0.0
    assert not shares[empty].any()
    assert not rest[empty].any()
    assert not context[context[:, PARTS.rewarded] == 0.0, PARTS.mean_reward].any()


@pytest.mark.parametrize("variance", [0.25, 1.0, 3.0])
def test_every_possible_history_agrees_with_itself(variance: float) -> None:
    rng = np.random.default_rng(2)
    context = contexts_of(LAYOUT, even_codes(LAYOUT, 3_000, rng), rng, variance)
    require_agreement(context)
    known = context[:, BLOCK.start + BLOCK.width] < 0.5
    assert not context[~known, BLOCK.dimensions].any()
    assert np.ptp(context[known, PARTS.length]) > 0.4
    assert np.ptp(context[known, PARTS.mean_reward]) > 0.8


def test_bins_part_the_public_range_of_each_dimension() -> None:
    recent = [{"action": "walk", "reward": 0.5}] * 3 + [{"action": "pair", "reward": None}]
    context = encode_context(LOOP, [{"recent": recent, "pulse": 40}, {"recent": [], "pulse": 180}])
    (first, second) = traits_of(LOOP, LAYOUT, context)
    assert first["recent.share_recommend_hive"] == [0.7, 0.8]
    assert first["recent.share_suggest_pairing"] == [0.2, 0.3]
    assert first["recent.share_no_action"] == [0.0, 0.1]
    assert first["recent.mean_reward"] == [0.4, 0.6]
    assert first["recent.share_with_reward"] == [0.7, 0.8]
    assert first["recent.length"] == [4.0, 5.0]
    assert second["recent.length"] == [0.0, 1.0]
    for traits in traits_of(LOOP, LAYOUT, _drawn(_even(), 2_000).context):
        for name, told in traits.items():
            if name.startswith("recent.") and name != "recent.mean_reward":
                assert told is None or told[0] >= 0.0, name  # type: ignore[index, operator]


def test_each_length_has_a_bin_of_its_own() -> None:
    rows = [{"recent": [{"action": "walk", "reward": 0.0}] * n, "pulse": 40} for n in range(10)]
    told = traits_of(LOOP, LAYOUT, encode_context(LOOP, rows))
    assert [one["recent.length"] for one in told] == [[float(n), n + 1.0] for n in range(10)]


def test_who_has_no_history_is_drawn_without_one() -> None:
    """Everyone real has an empty history: so has everyone drawn, exactly."""
    context = encode_context(LOOP, [{"recent": [], "pulse": 100}])
    sums = np.zeros(sum(v.bins for v in variables(LAYOUT)))
    sums[bins_of(LAYOUT, context)[0]] = 1.0
    people = _drawn(sums, 500, edge_share=0.0)
    assert not people.context[:, BLOCK.dimensions].any()


def test_a_released_drawing_agrees_with_itself() -> None:
    require_agreement(_drawn(_even(), 2_000, variance=2.0).context.astype(np.float64))


def test_statistics_over_other_bins_are_refused(tmp_path: Path) -> None:
    old = ProfileStatistics(_even(), dataclasses.replace(_facts(), format=2))
    with pytest.raises(ShouldRestoreArtefact, match="of format 2, not 3"):
        load_statistics(save_statistics(tmp_path / "s", old), LAYOUT)


def _facts() -> ProfileFacts:
    return ProfileFacts("a" * 32, "small", LAYOUT.encoder, 1.0, 0.01, 1e-9, 600, 10.0, "")


def _even() -> Float:
    return np.concatenate([np.full(v.bins, 1.0 / v.bins) for v in variables(LAYOUT)])


def _drawn(sums: Float, count: int, **arguments: Any) -> Any:
    return draw_profiles(LOOP, LAYOUT, ProfileStatistics(sums, _facts()), count, **arguments)
