"""Reruns, kills, changes and refusals of whole runs: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from everloop import sdk
from everloop.contracts.documents import read
from everloop.contracts.episodes import Consent
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixLoopSpec,
    ShouldResolveConflict,
)
from everloop.contracts.monitoring import FieldKind, InputHistograms
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.monitoring.folder import FolderExperimentLog
from everloop.sdk import DailyPlan, OpenedRun
from everloop.sdk.graph_runs import EARLIER
from everloop.wiring import open_workspace
from pipelines.local_run import exclusive
from tests.e2e.whole_runs import EXAMPLE_DAY, SMALL, command, small_plan


def spends(home: Path) -> Sequence[LedgerRow]:
    rows = open_workspace(home).ledger.history()
    return [row for row in rows if row.status is ReleaseStatus.SPENT]


def outcomes(run: OpenedRun) -> dict[str, str]:
    return {stage.stage: stage.outcome for stage in run.record.stages}


@pytest.fixture(scope="module")
def first_night(
    small_log: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, OpenedRun]:
    """A workspace with the small plan's run, which the next three tests go on from; the last of them
    changes the dataset."""
    home = Path(shutil.copytree(small_log, tmp_path_factory.mktemp("first") / "home"))
    return home, sdk.run_daily(small_plan(), home=home)


def test_a_night_leaves_its_row_its_series_and_its_candidates_baseline(
    first_night: tuple[Path, OpenedRun],
) -> None:
    home, run = first_night
    (row,) = FolderExperimentLog(home / "monitoring").runs(run.record.loop)
    assert row.metrics["policy_difference"] == run.evaluation.difference.value
    assert row.metrics["episodes"] == run.dataset.manifest.episodes
    baselines = list((home / "monitoring" / "drift").rglob("baseline.json"))
    (baseline,) = [read(InputHistograms, path) for path in baselines]
    assert baseline.episodes == row.metrics["episodes"] > 0
    assert {each.total for each in baseline.fields if each.kind is FieldKind.CATEGORY} == {
        baseline.episodes
    }


def test_changed_training_repeats_training_alone_and_spends_nothing(
    first_night: tuple[Path, OpenedRun],
) -> None:
    workspace, first = first_night
    paid = spends(workspace)
    assert sorted(row.stage for row in paid) == ["profiles", "quality", "user_model"]
    changed = small_plan(settings=(*SMALL, "training.seed=8"), from_stage="train_policy")
    second = sdk.run_daily(changed, home=workspace)
    assert second.run_id != first.run_id
    assert outcomes(second)["fit_user_model"] == "cached"
    assert outcomes(second)["train_policy"] == "succeeded"
    assert second.training.weights_sha256 != first.training.weights_sha256
    assert spends(workspace) == paid

    repeated = sdk.run_daily(small_plan(from_stage="fit_user_model"), home=workspace)
    assert outcomes(repeated)["aggregate_rewards"] == "cached"
    assert outcomes(repeated)["fit_user_model"] == "succeeded"
    assert repeated.training.weights_sha256 == first.training.weights_sha256
    assert repeated.checkpoint.weights_sha256 == first.checkpoint.weights_sha256
    assert spends(workspace) == paid


@pytest.mark.slow
def test_changed_privacy_and_a_refreshed_dataset_get_the_stored_release(
    first_night: tuple[Path, OpenedRun],
) -> None:
    workspace, first = first_night
    paid = spends(workspace)
    clipped = sdk.run_daily(small_plan(settings=(*SMALL, "privacy.clip=2")), home=workspace)
    assert clipped.user_model_release.reused
    assert clipped.user_model_release.release_id == first.user_model_release.release_id

    place = open_workspace(workspace)
    person = str(first.episodes.people[0])
    place.log.record_consent(Consent(person, "train", False, datetime.now(UTC)))
    unrefreshed = sdk.run_daily(small_plan(), home=workspace)
    assert unrefreshed.manifest == first.manifest
    refreshed = sdk.run_daily(small_plan(refresh=True), home=workspace)
    assert refreshed.manifest.exclusions.opted_out_people == 1
    assert person not in refreshed.episodes.people
    assert refreshed.user_model_release.reused
    assert spends(workspace) == paid


@pytest.mark.slow
def test_a_backfill_pays_each_night_once(workspace: Path) -> None:
    plan = small_plan(logical_date=EXAMPLE_DAY - timedelta(days=1))
    runs = list(sdk.run_range(plan, EXAMPLE_DAY, home=workspace))
    assert [run.record.logical_date for run in runs] == ["2026-03-27", "2026-03-28"]
    paid = spends(workspace)
    assert {row.logical_date for row in paid} == {date(2026, 3, 27), date(2026, 3, 28)}
    assert Counter(row.stage for row in paid) == {"user_model": 2, "quality": 2, "profiles": 1}
    again = list(sdk.run_range(plan, EXAMPLE_DAY, home=workspace))
    assert [run.run_id for run in again] == [run.run_id for run in runs]
    assert all(set(outcomes(run).values()) == {"cached"} for run in again)
    assert spends(workspace) == paid

    folder = workspace / "runs" / "companion" / "default" / EXAMPLE_DAY.isoformat()
    with exclusive(folder), pytest.raises(ShouldResolveConflict, match="Another process"):
        sdk.run_daily(small_plan(), home=workspace)
    assert sdk.open_run(runs[1].run_id, workspace).record == again[1].record

    damaged = runs[1].dataset.episodes_path
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"corrupted")
    failed = sdk.run_daily(small_plan(from_stage="aggregate_rewards"), home=workspace)
    assert failed.record.status == "failed"
    assert failed.record.verdict.startswith("ShouldRestoreArtefact: ")
    assert failed.record.verdict.endswith(f"{EARLIER}{again[1].record.verdict}")
    assert failed.report.exists()


def test_a_killed_run_continues_and_pays_once(workspace: Path) -> None:
    command_line = [
        *(sys.executable, "-c", "from everloop.cli import main; main()", "run", "daily"),
        *("--loop", "companion", "--date", EXAMPLE_DAY.isoformat(), "--home", str(workspace)),
        *(word for setting in SMALL for word in ("--set", setting)),
    ]
    with subprocess.Popen(
        command_line, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as killed:
        assert killed.stderr is not None
        seen = []
        for line in killed.stderr:
            seen.append(line)
            if "aggregate_rewards" in line:
                time.sleep(3)  # the next stage is fitting by now
                os.killpg(killed.pid, signal.SIGKILL)
                break
    assert killed.returncode == -signal.SIGKILL, seen
    run = sdk.run_daily(small_plan(), home=workspace)
    assert run.record.status == "succeeded"
    assert outcomes(run)["aggregate_rewards"] == "cached"
    assert len(spends(workspace)) == 3
    rows = open_workspace(workspace).ledger.history()
    assert len({row.release_id for row in rows}) == 3
    assert open_workspace(workspace).ledger.verify() == len(rows)


def test_an_empty_day_ends_in_a_report_and_spends_nothing(workspace: Path) -> None:
    run = sdk.run_daily(small_plan(logical_date=date(2025, 1, 1)), home=workspace)
    assert run.record.status == "succeeded"
    assert list(outcomes(run)) == ["extract_episodes", "validate_episodes", "report"]
    assert run.record.verdict.startswith("hold: the run ended at validate_episodes")
    assert "ended at validation" in run.report.read_text()
    assert spends(workspace) == []


def test_too_few_people_for_privacy_is_a_reasoned_refusal(workspace: Path) -> None:
    plan = small_plan(settings=(*SMALL, "privacy.min_people=5000"))
    run = sdk.run_daily(plan, home=workspace)
    assert list(outcomes(run))[-2:] == ["fit_user_model", "report"]
    assert run.record.verdict.startswith("hold: the run ended at fit_user_model (refused: ")
    assert "5,000" in run.report.read_text() or "5000" in run.report.read_text()
    assert spends(workspace) == []
    assert command(
        *("run", "daily", "--loop", "companion", "--date", EXAMPLE_DAY.isoformat()),
        *("--set", "privacy.min_people=5000", "--home", str(workspace), "--fail-on-hold"),
        *(word for setting in SMALL for word in ("--set", setting)),
    ) == 3  # fmt: skip


CLICKS = """
name: clicks
version: 1
context: [{name: mood, kind: category, choices: [good, bad]}]
actions:
  - {id: stay, kind: no_action}
  - {id: walk, kind: recommend_hive, event_id: walk}
signals: [{name: click, low: 0, high: 1, weight: 1, silence: zero}]
reward: {attainable_low: 0, attainable_high: 1, half_life_seconds: 3600, closes_after_seconds: 60,
         success_at: 0.5, failure_at: -0.5}
thresholds: {window_days: 3}
"""
MAPPING = """
episode_id: {key: [person, when]}
user_id: person
timestamp: {column: when, format: rfc3339}
action: action
propensity: propensity
context: {mood: mood}
model_version: {const: v1}
arm: {const: active}
signals: [{type: click, column: click, latency: {const: 0}, confidence: {const: 1}}]
"""


@pytest.mark.slow
def test_a_log_of_ones_own_without_any_positive_reward_is_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, log = tmp_path / "home", tmp_path / "log.csv"
    (tmp_path / "clicks.yaml").write_text(CLICKS)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    with log.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("person", "when", "action", "propensity", "mood", "click"))
        start = datetime(2026, 1, 3, tzinfo=UTC)
        for i in range(1200):
            moment = start - timedelta(hours=i % 72) + timedelta(hours=23, seconds=i % 1000)
            action = ("stay", "walk")[i % 2]
            rows.writerow(
                (f"p{i}", moment.isoformat(), action, 0.5, ("good", "bad")[i % 3 == 0], 0)
            )
        rows.writerow(("bad", start.isoformat(), "jump", 0.5, "good", 0))
        rows.writerow(("worse", start.isoformat(), "walk", 0, "good", 0))
    at = ("--home", str(home))
    own = str(tmp_path / "clicks.yaml")
    assert command("init", *at) == 0
    importing = ("import", "csv", str(log), "--loop", own, "--map", str(tmp_path / "mapping.yaml"))
    assert command(*importing, *at) == 0
    assert "2 rows refused" in capsys.readouterr().out
    assert len((tmp_path / "log.csv.rejects.jsonl").read_text().splitlines()) == 2
    plan = DailyPlan(own, date(2026, 1, 3), settings=SMALL)
    run = sdk.run_daily(plan, home=home)
    assert run.record.status == "succeeded"
    assert run.record.verdict.startswith("hold: ")
    assert run.rewards.positive_share == 0
    assert not {c.name: c for c in run.validation.checks}["positive evidence present"].passed
    assert run.rollout.state == "refused"


def test_wrong_plans_start_nothing(workspace: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="There is no stage 'train'"):
        small_plan(from_stage="train")
    with pytest.raises(ShouldFixArgument, match="Tenant"):
        small_plan(tenant="../x")
    with pytest.raises(ShouldFixArgument, match="is no date"):
        sdk.run_daily("companion", "yesterday", home=workspace)
    with pytest.raises(ShouldFixArgument, match="has not begun"):
        sdk.run_daily("companion", "2999-01-01", home=workspace)
    with pytest.raises(ShouldFixArgument, match="before it starts"):
        list(sdk.run_range(small_plan(), date(2026, 1, 1), home=workspace))
    with pytest.raises(ShouldFixLoopSpec, match="names nothing"):
        sdk.run_daily(replace(small_plan(), settings=("training.speed=9",)), home=workspace)
    assert sdk.runs(home=workspace) == ()
