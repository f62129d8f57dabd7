"""An experiment on a finished night: searched, judged as every candidate is, paid for by nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.evaluation import Verdict
from everloop.sdk import ExperimentPlan, OpenedExperiment, OpenedRun, run_daily, run_experiment
from everloop.sdk.experiment import open_experiment
from everloop.wiring import open_workspace
from pipelines.experiment import STAGES
from tests.e2e.whole_runs import EXAMPLE_DAY, ROOT, command, small_plan

SPACE = ("training.learning_rate=loguniform(1e-4,1e-2)", "exploration.start=uniform(0.15,0.4)")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # Ray starts processes whose sockets it leaves to the collector
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def night(small_log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OpenedRun]:
    home = Path(shutil.copytree(small_log, tmp_path_factory.mktemp("night") / "home"))
    return home, run_daily(small_plan(), home=home)


def plan_of(run: OpenedRun) -> ExperimentPlan:
    return ExperimentPlan(run.run_id, SPACE, trials=2)


@pytest.fixture(scope="module")
def found(night: tuple[Path, OpenedRun]) -> OpenedExperiment:
    home, run = night
    return run_experiment(plan_of(run), home=home)


def test_it_passes_every_stage_and_the_same_gate(
    night: tuple[Path, OpenedRun], found: OpenedExperiment
) -> None:
    _, run = night
    assert tuple(stage.stage for stage in found.record.stages) == STAGES
    assert found.record.status == "succeeded"
    assert found.manifest.dataset_id == run.manifest.dataset_id
    gates = [read(Verdict, opened.artefact("gate", "verdict")) for opened in (run, found)]
    assert [check.name for check in gates[0].checks] == [check.name for check in gates[1].checks]
    assert found.checkpoint.verdict == found.verdict.decision.value
    assert found.rollout.candidate
    assert (found.rollout.state == "refused") == (found.verdict.decision.value == "hold")


def test_nothing_is_paid_and_the_nights_releases_are_what_was_learned_from(
    night: tuple[Path, OpenedRun], found: OpenedExperiment
) -> None:
    home, run = night
    rows = open_workspace(home).ledger.history()
    assert {row.stage for row in rows} == {"user_model", "profiles", "quality"}
    assert len({row.release_id for row in rows}) == 3
    for name in ("user_model_release", "profiles_release"):
        ours, theirs = getattr(found, name), getattr(run, name)
        assert ours.release_id == theirs.release_id
        assert "no privacy budget" in ours.reused
    # a figure that the noise hides is NaN, which equals nothing
    assert repr(found.quality.published) == repr(run.quality.published)
    assert repr(found.quality.checks) == repr(run.quality.checks)


def test_lineage_names_the_sweep_and_the_trial(found: OpenedExperiment) -> None:
    table, lineage = found.sweep, found.checkpoint.lineage
    assert len(table.trials) == 2
    assert lineage["sweep"] == table.sweep
    assert lineage["trial"] == table.winner.number
    assert lineage["trial_settings"] == table.winner.told
    assert lineage["weights"] == found.training.weights_sha256
    assert lineage["compared"] == lineage["version"]
    assert found.checkpoint.performance_metrics["simulated_return"] == table.judged_again.value
    assert table.sweep in found.report.read_text()
    assert table.winner.told in found.report.read_text()


def test_the_same_question_is_the_same_run(
    night: tuple[Path, OpenedRun], found: OpenedExperiment
) -> None:
    home, run = night
    again = run_experiment(plan_of(run), home=home)
    assert again.run_id == found.run_id
    assert {stage.outcome for stage in again.record.stages} == {"cached"}
    assert again.checkpoint == found.checkpoint
    assert open_experiment(again.record).sweep == found.sweep


def test_a_killed_experiment_goes_on(
    night: tuple[Path, OpenedRun], found: OpenedExperiment, tmp_path: Path
) -> None:
    home, run = night
    table, weights = found.sweep, found.training.weights_sha256
    shutil.rmtree(home / "runs" / "companion" / "default" / f"experiment-{EXAMPLE_DAY}")
    shutil.rmtree(home / "tuning")
    arguments = [*("experiment", "--from", run.run_id, "--trials", "2", "--home", str(home))]
    arguments += [word for text in SPACE for word in ("--space", text)]
    with (
        (tmp_path / "out").open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "everloop", *arguments],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        ) as process,
    ):
        # a trial has reported, so the search is under way
        until = time.monotonic() + 300
        while not list(home.glob("tuning/*/tune/*/*/checkpoint_*")):
            assert process.poll() is None, (tmp_path / "out").read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    again = run_experiment(plan_of(run), home=home)
    outcomes = {stage.stage: stage.outcome for stage in again.record.stages}
    assert outcomes["load_releases"] == "cached"
    assert outcomes["sweep_policies"] == "succeeded"
    assert again.sweep.sweep == table.sweep
    settings = [row.settings for row in again.sweep.trials]
    assert sorted(map(str, settings)) == sorted(str(row.settings) for row in table.trials)
    assert again.training.weights_sha256 == weights


def test_a_night_without_releases_is_refused_before_anything_runs(workspace: Path) -> None:
    place = open_workspace(workspace)
    run = run_daily(small_plan(settings=("privacy.min_people=100000",)), home=workspace)
    with pytest.raises(ShouldCollectMoreData, match="led to no release of stage"):
        run_experiment(plan_of(run), home=workspace)
    assert len(place.runs.runs(None, 10)) == 1
    with pytest.raises(ShouldFixArgument, match="is the start of no run's"):
        command("experiment", "--from", "nothing", "--home", str(workspace))
