"""What a finished run tells the monitors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import components._monitoring as told
from components._monitoring import run_metrics, tell_monitors
from everloop import settings
from everloop.contracts.errors import ShouldRetryLater
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.figures import RewardFigures
from everloop.contracts.models import StageRecord
from everloop.contracts.monitoring import (
    DriftFigures,
    DriftStatus,
    FieldDrift,
    Measurement,
    Published,
)
from everloop.loops import load
from everloop.monitoring.folder import FolderExperimentLog, FolderMetricSink
from everloop.reporting.evidence import RunEvidence
from everloop.wiring import Monitors, Workspace, local_monitors, open_workspace

DAY = date(2026, 3, 28)


def evidence(**changes: Any) -> RunEvidence:
    mean = Estimate("reward", 0.25, 0.2, float("nan"), 0.95, 40, 10, "t")
    rewards = RewardFigures(50, 40, mean, 0.5, {}, (), (), (), ())
    check = Check("overlap", CheckStatus.PASSED, "Enough.")
    verdict = Verdict(Decision.CONTINUE, (check,))
    stages = (StageRecord("gate", "succeeded", 2.5, "continue"),)
    known: dict[str, Any] = {
        "spec": load("companion"),
        "run_id": "companion 2026-03-28",
        "logical_date": DAY,
        "rewards": rewards,
        "verdict": verdict,
        "stages": stages,
        "lineage": {"loop specification": "abc"},
    }
    return RunEvidence(**(known | changes))


DAY_END = datetime(2026, 3, 29, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path)
    return open_workspace(tmp_path)


def test_figures_bring_their_interval_and_n_and_nothing_that_was_not_measured() -> None:
    found = dict(run_metrics(evidence()))
    assert found["reward_mean"] == 0.25
    assert found["reward_mean_low"] == 0.2
    assert found["reward_mean_n"] == 40
    assert "reward_mean_high" not in found  # it is NaN
    assert found["seconds_gate"] == 2.5
    assert found["verdict_continue"] == 1.0
    assert "policy_difference" not in found


def test_a_run_is_a_row_and_a_point_of_each_series(workspace: Workspace) -> None:
    assert tell_monitors(evidence(), None, workspace) == ""
    root = workspace.home / "monitoring"
    (row,) = FolderExperimentLog(root).runs("companion")
    assert (row.run_id, row.verdict) == ("companion-2026-03-28", "continue")
    assert row.parameters == {"loop_specification": "abc"}
    points = {m.name: m for m in FolderMetricSink(root).measurements(date(2026, 3, 29))}
    assert points["reward_mean"].value == 0.25
    assert points["reward_mean"].at == DAY_END
    assert points["reward_mean"].labels == {"loop": "companion", "tenant": "default"}


def test_a_hold_is_no_continue(workspace: Workspace) -> None:
    check = Check("overlap", CheckStatus.INSUFFICIENT, "Too few.")
    held = Verdict(Decision.HOLD, (check,))
    assert dict(run_metrics(evidence(verdict=held)))["verdict_continue"] == 0.0
    assert "verdict_continue" not in dict(run_metrics(evidence(verdict=None)))


class Away:
    def publish(self, measurements: Sequence[Measurement]) -> Published:
        raise ShouldRetryLater("Cloud Monitoring did not answer.", "Repeat later.")


def test_a_monitor_that_is_away_fails_nothing_and_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(home: Path) -> Monitors:
        here = local_monitors(home)
        return Monitors((Away(), *here.metrics), here.experiments, here.drift)

    monkeypatch.setattr(told, "open_monitors", opened)
    said = tell_monitors(evidence(), None, workspace)
    assert said == "Cloud Monitoring did not answer. Repeat later."
    assert FolderMetricSink(workspace.home / "monitoring").measurements(date(2026, 3, 29))


def test_a_project_that_is_none_fails_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_GOOGLE_PROJECT", "No Project!")
    assert "EVERLOOP_GOOGLE_PROJECT='No Project!'" in tell_monitors(evidence(), None, workspace)
    assert FolderExperimentLog(workspace.home / "monitoring").runs("companion")


def test_an_experiment_is_a_row_of_its_own(workspace: Workspace) -> None:
    tell_monitors(evidence(), None, workspace)
    tell_monitors(evidence(graph="experiment"), None, workspace)
    rows = FolderExperimentLog(workspace.home / "monitoring").runs("companion")
    assert {row.run_id for row in rows} == {
        "companion-2026-03-28",
        "companion-2026-03-28-experiment",
    }


def test_no_episodes_are_no_drift(workspace: Workspace) -> None:
    tell_monitors(evidence(), None, workspace)
    assert not (workspace.home / "monitoring" / "drift").exists()


def test_distances_of_few_episodes_are_no_series() -> None:
    fields = tuple(
        FieldDrift(status.value, 0.2, 0.1, 400, 300, status)
        for status in (DriftStatus.DRIFTED, DriftStatus.STEADY, DriftStatus.INSUFFICIENT)
    )
    drift = DriftFigures("companion", "default", "m-1", DAY, DAY, fields)
    found = list(told._measurements(evidence(), {}, drift))
    assert [each.labels["field"] for each in found] == ["drifted", "steady"]
