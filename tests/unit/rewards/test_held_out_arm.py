"""Whom a trial holds out, the loop's own model decided for: that counts as all its decisions do."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.episodes import Arm
from everloop.loops import load
from everloop.rewards.runner import aggregate
from rl.encoders import encode
from tests.made_datasets import Evidence, Row, write_dataset

SPEC = load("companion").model_copy(update={"name": "made"})
OWN = (Arm.ACTIVE, Arm.CANDIDATE, Arm.HOLDOUT)


def test_of_all_arms_the_comparison_alone_is_not_learned_from(tmp_path: Path) -> None:
    rows = [Row(n, f"p{n}", arm=arm.value, closed=False) for n, arm in enumerate(Arm)]
    said = [Evidence(n, "explicit_feedback", float(arm in OWN)) for n, arm in enumerate(Arm)]
    dataset = write_dataset(tmp_path / "d", rows, said, window_days=4)
    figures = aggregate(SPEC, dataset, tmp_path / "r.parquet")
    assert figures.mean.n == len(OWN)
    assert figures.mean.value == pytest.approx(1.0)
    encoded = encode(SPEC, dataset, tmp_path / "r.parquet")
    compared = dict(zip(encoded.episode_id.tolist(), encoded.comparison.tolist(), strict=True))
    assert sum(compared.values()) == 1
