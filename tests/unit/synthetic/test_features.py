"""Public features: values by hand, and never more parameters than the loop allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.loops import load
from synthetic import features
from synthetic.features import feature_map, missing_types, public_projection
from tests.unit.synthetic.world import INTERACTING, LAYOUT, SPEC


def test_features_by_hand() -> None:
    table = feature_map(SPEC, INTERACTING)
    context = np.linspace(-1, 1, 13, dtype=np.float32)[None, :]
    wide, narrow = table.of(context, np.array([2]))
    expected = np.zeros(1 + 13 + 4 + 3 * 4)
    expected[0] = features.INTERCEPT_SCALE
    expected[1:14] = context[0] * features.CONTEXT_SCALE / 13**0.5
    expected[14 + 2] = features.ACTION_SCALE
    expected[18 + 6 : 18 + 9] = context[0, :3] * features.INTERACTION_SCALE / 3**0.5
    np.testing.assert_allclose(wide[0], expected, rtol=1e-6)
    np.testing.assert_allclose(narrow[0], [0.3, 0, 0, 0.7, 0])
    assert (table.width, table.presence_width) == (30, 5)
    assert table.parameters == 2 * 30 + 1 * 5


def test_missing_types_are_those_whose_silence_says_nothing() -> None:
    assert missing_types(SPEC) == (1,)
    assert missing_types(load("open_bandit")) == ()


@given(
    st.integers(1, 400),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_the_limit_holds(limit: int, width: int, inner: int) -> None:
    spec = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"max_parameters": limit})}
    )
    interacting = np.arange(width) < inner
    least = 2 * (1 + 4) + 5
    if limit < least:
        with pytest.raises(ShouldFixLoopSpec, match=f"max_parameters={limit} is below {least}"):
            feature_map(spec, interacting)
        return
    table = feature_map(spec, interacting)
    assert table.parameters <= limit
    assert table.parameters == 2 * table.width + 5
    if len(table.interacting):
        assert len(table.context) == width
    wide, _ = table.of(np.zeros((2, width), np.float32), np.array([0, 3]))
    assert wide.shape == (2, table.width)


def test_interactions_go_before_the_context() -> None:
    narrow = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"max_parameters": 40})}
    )
    table = feature_map(narrow, INTERACTING)
    assert (len(table.context), len(table.interacting)) == (12, 0)
    some = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"max_parameters": 60})}
    )
    table = feature_map(some, INTERACTING)
    assert (len(table.context), len(table.interacting)) == (13, 2)
    assert not table.interacting[:, ~INTERACTING].any()


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
    companion = load("companion")
    table = feature_map(companion, np.arange(37) < 6)
    assert table.parameters == 300 == companion.privacy.parameter_limit
    assert (len(table.context), len(table.interacting)) == (37, 6)
    bandit = feature_map(load("open_bandit"), np.zeros(35, dtype=np.bool_))
    assert bandit.parameters == 1 + 35 + 80
