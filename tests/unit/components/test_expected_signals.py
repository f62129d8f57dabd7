"""What the user model expects of every episode is the same in blocks as at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from components import _evidence
from tests.unit.synthetic.world import make


class Expecting:
    """Rows of a function of context, action and slate alone."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def expected_signals(self, context: Any, action: Any, slate: Any = None) -> Any:
        self.sizes.append(len(context))
        told = np.stack([context.sum(axis=1), action * 1.0], axis=1)
        return told if slate is None else told + slate.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("with_slates", [False, True])
def test_blocks_say_what_everything_at_once_does(
    monkeypatch: pytest.MonkeyPatch, with_slates: bool
) -> None:
    episodes, model = make(9, each=3), Expecting()
    if with_slates:
        slate = np.random.default_rng(1).uniform(-1, 1, (len(episodes), 2)).astype(np.float32)
        episodes = dataclasses.replace(episodes, slate=slate)
    monkeypatch.setattr(_evidence, "_ROWS", 10)
    found = _evidence._expected_signals(model, episodes)  # type: ignore[arg-type]
    assert model.sizes == [10, 10, 7]
    whole = model.expected_signals(episodes.context, episodes.action, episodes.slate)
    np.testing.assert_array_equal(found, whole)
    nobody = episodes.where(np.zeros(len(episodes), dtype=np.bool_))
    assert _evidence._expected_signals(model, nobody).shape == (0, 2)  # type: ignore[arg-type]
