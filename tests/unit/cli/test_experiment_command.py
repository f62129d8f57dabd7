"""``everloop experiment``: how its answer is shown, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from everloop.cli import app as cli
from everloop.contracts.documents import write
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import RunRecord, StageRecord
from everloop.sdk import experiment
from everloop.sdk.experiment import DEFAULT_SPACE, ExperimentPlan, OpenedExperiment
from tests.unit.contracts.test_sweeps import TABLE

NOW = datetime(2026, 3, 29, 4, tzinfo=UTC)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    table = write(TABLE, tmp_path / "sweep.json")
    stage = StageRecord("sweep_policies", "succeeded", 3.0, "best", artefacts={"sweep": str(table)})
    return RunRecord(
        *("companion-experiment-2026-03-28-0a1b2c3d", "experiment", "companion", "2026-03-28"),
        *(NOW, NOW, "succeeded", "hold: too few people", {}, (stage,), "report.html"),
    )


def run(*words: str) -> int:
    try:
        cli.app(["experiment", "--from", "run-1", *words], standalone_mode=False)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_trials_and_the_verdict_are_shown(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def found(plan: ExperimentPlan, **_: Any) -> OpenedExperiment:
        asked.append(plan)
        return OpenedExperiment(record)

    monkeypatch.setattr(experiment, "run_experiment", found)
    assert run() == 0
    shown = capsys.readouterr().out
    assert "verdict  hold: too few people" in shown
    assert "1.500 [1.400, 1.600]" in shown
    assert "0123456789abcdef, trial 00003" in shown
    assert run("--fail-on-hold") == 3
    space = "training.clip=uniform(0.1,0.3)"
    assert run("--space", space, "--trials", "4", "--scheduler", "pbt", "--seed", "5") == 0
    assert asked[0] == ExperimentPlan("run-1", DEFAULT_SPACE)
    assert asked[2] == ExperimentPlan("run-1", (space,), 4, "pbt", 1, 5)


@pytest.mark.parametrize(("status", "code"), [("failed", 1), ("succeeded", 0)])
def test_a_run_that_failed_ends_so(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, status: Any, code: int
) -> None:
    ended = replace(record, status=status, stages=())
    monkeypatch.setattr(experiment, "run_experiment", lambda *_, **__: OpenedExperiment(ended))
    assert run() == code


def test_another_process_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise ShouldResolveConflict("Another process is running companion.", "Wait for it.")

    monkeypatch.setattr(experiment, "run_experiment", busy)
    assert run() == 4
    assert "Another process" in capsys.readouterr().err
