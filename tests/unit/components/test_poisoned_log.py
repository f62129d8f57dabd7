"""What a bot's signals become, and what the night's anomaly detection makes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components import _poisoned_log as module
from components._poisoned_log import held_back
from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.figures import RewardFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import ReviewKind
from everloop.loops import load
from everloop.rewards.suspicion import Suspicion
from tests.made_datasets import Evidence, Row, episode_id, write_dataset

SPEC = load("companion")
FIRST, SECOND = (signal.name for signal in SPEC.signals[:2])


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    rows = [
        dataclasses.replace(
            Row(number=number, person=f"p{number % 5}"),
            action="pair-one" if number % 2 else "no_action",
        )
        for number in range(20)
    ]
    evidence = [Evidence(number, kind, 0.25) for number in range(20) for kind in (FIRST, SECOND)]
    return write_dataset(tmp_path / "dataset", rows, evidence)


def test_bots_signals_take_their_ends_and_everything_else_stays(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def looked(
        spec: LoopSpec, copy: DatasetVersion, out: Path
    ) -> tuple[RewardFigures | None, tuple[Suspicion, ...]]:
        seen["signals"] = pq.read_table(copy.signals_path)
        seen["episodes"] = pq.read_table(copy.episodes_path)
        found = [Suspicion(episode_id(n), ReviewKind.ANOMALY, "x", 6.0) for n in (2, 3, 9)]
        return None, tuple(found)

    monkeypatch.setattr(module, "aggregate_and_flag", looked)
    before = pq.read_table(version.signals_path)
    bots = [episode_id(n) for n in (2, 3, 4)]
    assert held_back(SPEC, version, bots, "pair-one") == {episode_id(2), episode_id(3)}
    after = seen["signals"]
    assert after.schema == before.schema
    assert after.drop(["value"]) == before.drop(["value"])
    assert seen["episodes"] == pq.read_table(version.episodes_path)
    for row in after.to_pylist():
        declared = SPEC.signal(row["signal_type"])
        wanted = {
            episode_id(2): declared.low,
            episode_id(3): declared.high,  # where pair-one was taken
            episode_id(4): declared.low,
        }
        assert row["value"] == wanted.get(row["episode_id"], 0.25)
    assert pq.read_table(version.signals_path) == before


def test_the_nights_own_rewards_stage_judges_the_copy(version: DatasetVersion) -> None:
    assert held_back(SPEC, version, [episode_id(2)], "pair-one") <= {episode_id(2)}
