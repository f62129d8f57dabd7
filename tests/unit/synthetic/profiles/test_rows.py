"""Ids of rows: the same row has the same id, and whatever would make another row makes another id."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.profiles import SqlProfileStore
from synthetic.profiles import to_rows
from tests.unit.synthetic.world import LAYOUT, SPEC, contexts

HISTORY = tuple(({"action": "walk", "reward": reward},) for reward in (0.1, 0.2, 0.3))


def batch() -> ProfileBatch:
    rng = np.random.default_rng(3)
    return ProfileBatch(
        context=contexts(3, rng),
        mask=np.ones((3, 4), dtype=np.bool_),
        weight=np.ones(3),
        encoder=LAYOUT.encoder,
        release_id="a" * 32,
        persona=rng.normal(size=(3, 512)).astype(np.float32),
    )


def other_units() -> LoopSpec:
    changed = SPEC.model_dump()
    changed["context"][2]["period"] = 12
    return LoopSpec.model_validate(changed)


def test_a_row_drawn_otherwise_is_stored_beside_the_one_before(tmp_path: Path) -> None:
    """Vectors, traits, histories and places: each time the contexts and the release are the same."""
    store = SqlProfileStore(open_workspace_database(tmp_path / "state.db"))
    people = batch()
    assert people.persona is not None
    redrawn = dataclasses.replace(people, persona=people.persona + 1.0)
    drawings = [
        list(to_rows(people, LAYOUT, SPEC)),
        list(to_rows(redrawn, LAYOUT, SPEC)),
        list(to_rows(people, LAYOUT, other_units())),
        list(to_rows(people, LAYOUT, SPEC, HISTORY)),
        list(to_rows(people, LAYOUT, SPEC, HISTORY[::-1]))[:1],
        list(to_rows(people, LAYOUT, SPEC, place="7/1")),
    ]
    for rows in drawings:
        assert store.append(rows, "small").new == len(rows)
    for rows in drawings:
        assert store.append(rows, "small").replayed == len(rows)


def test_histories_are_each_persons_own() -> None:
    rows = list(to_rows(batch(), LAYOUT, SPEC, HISTORY))
    assert [row.interaction_history for row in rows] == list(HISTORY)
    with pytest.raises(ValueError, match="shorter"):
        list(to_rows(batch(), LAYOUT, SPEC, HISTORY[:2]))
