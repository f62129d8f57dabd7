"""What is made of real people's data: within their own bounds, marked, and refused outside."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldStayInside
from everloop.contracts.models import ProfileSource
from synthetic.profiles import to_rows
from synthetic.profiles.augmentation import INSIDE, augment, mixtures, require_generated
from tests.unit.synthetic.profiles.test_tonight import batch
from tests.unit.synthetic.world import LAYOUT, SPEC, contexts, make


def test_every_person_has_a_real_row_and_variations() -> None:
    rows = list(augment(SPEC, LAYOUT, make(6, each=3), per_person=2, seed=4))
    sources = [row.source for row in rows]
    assert sources.count(ProfileSource.REAL) == 6
    assert sources.count(ProfileSource.AUGMENTED) == 12
    assert {row.release_id for row in rows} == {INSIDE}
    assert len({row.profile_id for row in rows}) == 18
    assert all(len(row.persona_vector) == 512 for row in rows)
    real = [row for row in rows if row.source is ProfileSource.REAL]
    assert all(len(row.interaction_history) == 3 for row in real)
    assert real[0].interaction_history[0]["action"] in SPEC.action_ids
    again = list(augment(SPEC, LAYOUT, make(6, each=3), per_person=2, seed=4))
    assert rows == again


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_variations_stay_within_the_persons_own_bounds(seed: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    own = contexts(each, rng)
    mixed = mixtures(LAYOUT, own, 20, rng)
    numbers = [0, 1, 2, 4]
    assert (mixed[:, numbers] >= own[:, numbers].min(axis=0)).all()
    assert (mixed[:, numbers] <= own[:, numbers].max(axis=0)).all()
    categories = {row.tobytes() for row in own[:, 9:12]}
    assert {row.tobytes() for row in mixed[:, 9:12]} <= categories
    assert set(np.unique(mixed[:, 5])) <= set(np.unique(own[:, 5]))


def test_holdout_and_comparison_people_are_left_out() -> None:
    rows = list(augment(SPEC, LAYOUT, make(10, each=2, holdout_share=0.4), per_person=0))
    assert len(rows) == 6


def test_nothing_real_passes_as_synthetic() -> None:
    generated = list(to_rows(batch(), LAYOUT, SPEC))
    release_id = batch().release_id
    assert list(require_generated(generated, release_id)) == generated
    inside = list(augment(SPEC, LAYOUT, make(2), per_person=1))
    for row in inside:
        with pytest.raises(ShouldStayInside, match=row.profile_id):
            list(require_generated([*generated, row], release_id))
        for named in (row.release_id, "", "f" * 32):
            relabelled = dataclasses.replace(row, source=ProfileSource.GENERATED, release_id=named)
            with pytest.raises(ShouldStayInside):
                list(require_generated([relabelled], release_id))


def test_bad_input_is_refused() -> None:
    episodes = make(4)
    with pytest.raises(ShouldFixArgument, match="per_person=-1"):
        augment(SPEC, LAYOUT, episodes, per_person=-1)
    with pytest.raises(ShouldFixArgument, match="small-1"):
        augment(SPEC, LAYOUT, dataclasses.replace(episodes, encoder="other"))
    episodes.context[0, 0] = 3.0
    with pytest.raises(ShouldFixInput):
        augment(SPEC, LAYOUT, episodes)
