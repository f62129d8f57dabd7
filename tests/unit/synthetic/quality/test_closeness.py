"""Copies are counted without a table of everybody."""

from __future__ import annotations

import numpy as np
import pytest

from synthetic.quality import closeness as module
from synthetic.quality.closeness import _rounded, copies_of


@pytest.mark.parametrize("block", [1, 3, 10_000])
def test_copies_are_those_that_a_table_of_all_real_rows_finds(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(5)
    training, holdout = (rng.integers(-1, 2, (n, 3)).astype(np.float32) / 2 for n in (11, 6))
    made = rng.integers(-1, 2, (40, 3)).astype(np.float32) / 2
    made[0] = -training[0] * np.float32(0.0)  # -0.0 equals 0.0
    training[1] = 0.0
    made[1] = training[2] + np.float32(4e-7)
    known = {row.tobytes() for part in (training, holdout) for row in _rounded(part)}
    wanted = sum(row.tobytes() in known for row in _rounded(made))
    assert 2 < wanted < 40
    assert copies_of(made, (training, holdout)) == wanted
    assert copies_of(made, ()) == copies_of(made[:0], (training,)) == 0
