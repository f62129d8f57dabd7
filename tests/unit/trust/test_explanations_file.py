from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.evaluation import TrainingExplanation
from everloop.trust.explanations_file import read_parquet, write_batches, write_parquet

ROWS = (
    TrainingExplanation("e-1", "hour: 9 of 24", "waited", "neutral", "success", 0.4, "More."),
    TrainingExplanation("e-2", "", "waited", "", "not known", math.nan, "Løß — ünïcode."),
)


def test_round_trip(tmp_path: Path) -> None:
    path = write_parquet(ROWS, tmp_path / "explanations.parquet")
    again = read_parquet(path)
    assert again[0] == ROWS[0]
    assert math.isnan(again[1].reward_received)
    assert again[1].model_adjustment == ROWS[1].model_adjustment
    assert pq.read_schema(path).names == [
        "episode_id",
        "context_summary",
        "action_taken",
        "expected_outcome",
        "actual_outcome",
        "reward_received",
        "model_adjustment",
    ]


def test_none_is_an_empty_file(tmp_path: Path) -> None:
    assert read_parquet(write_parquet((), tmp_path / "x.parquet")) == ()


def test_missing_damaged_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(ShouldRestoreArtefact, match="holds no explanations"):
        read_parquet(tmp_path / "absent.parquet")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(write_parquet(ROWS, tmp_path / "x.parquet").read_bytes()[:100])
    with pytest.raises(ShouldRestoreArtefact, match=r"Rerun explain\."):
        read_parquet(damaged)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(ROWS[:1], tmp_path / "x.parquet")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ShouldFreeDisk):
        write_parquet(ROWS, path)
    assert read_parquet(path) == ROWS[:1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_batches_are_one_table(tmp_path: Path) -> None:
    whole = read_parquet(write_parquet(ROWS, tmp_path / "whole.parquet"))
    parts = write_batches(((), ROWS[:1], ROWS[1:]), tmp_path / "parts.parquet")
    assert repr(read_parquet(parts)) == repr(whole) == repr(tuple(ROWS))  # NaN is not itself
    assert read_parquet(write_batches((), tmp_path / "none.parquet")) == ()
