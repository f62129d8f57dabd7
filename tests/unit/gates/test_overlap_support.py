"""Probability on actions that were never logged holds a candidate back, and so does each figure alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from everloop.contracts.loop_spec import ThresholdSpec
from everloop.gates.overlap import _within
from tests.unit.gates.conftest import OVERLAP


@pytest.mark.parametrize(("share", "within"), [(0.05, True), (0.051, False), (math.nan, False)])
def test_support_is_a_hard_limit_of_its_own(share: float, within: bool) -> None:
    found = replace(OVERLAP, unsupported_share=share)
    assert _within(found, ThresholdSpec(margin=0.05)) is within


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("effective_sample", 199.9),
        ("max_weight_share", 0.101),
        ("mean_weight", 1.21),
        ("mean_weight", 0.79),
        ("effective_sample", math.nan),
        ("max_weight_share", math.nan),
        ("mean_weight", math.nan),
    ],
)
def test_each_figure_alone_breaks_it(name: str, value: float) -> None:
    assert _within(OVERLAP, ThresholdSpec())
    assert not _within(replace(OVERLAP, **{name: value}), ThresholdSpec())
