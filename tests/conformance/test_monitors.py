"""What every monitor does: files in the workspace, and Google's services as the fakes play them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.monitoring import (
    DriftMonitor,
    DriftStatus,
    ExperimentLog,
    FieldCounts,
    FieldKind,
    InputHistograms,
    Measurement,
    MetricSink,
    RunSummary,
)
from everloop.monitoring.folder import FolderDriftMonitor, FolderExperimentLog, FolderMetricSink
from everloop.monitoring.google.cloud_monitoring import PREFIX, CloudMonitoringSink
from everloop.monitoring.google.vertex_drift import VertexDriftMonitor
from everloop.monitoring.google.vertex_experiments import VertexExperimentLog
from tests.fake_cloud_monitoring import fake_cloud_monitoring
from tests.fake_vertex import fake_vertex

NOW = datetime(2026, 3, 29, 2, tzinfo=UTC)
DAY = date(2026, 3, 28)
Stored = Callable[[], set[tuple[str, datetime, float]]]


@pytest.fixture(params=["folder", "cloud_monitoring"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[MetricSink, Stored]]:
    if request.param == "folder":
        folder = FolderMetricSink(tmp_path)

        def on_disk() -> set[tuple[str, datetime, float]]:
            days = (DAY + timedelta(days=n) for n in range(-40, 3))
            return {(m.name, m.at, m.value) for day in days for m in folder.measurements(day)}

        yield folder, on_disk
        return
    with fake_cloud_monitoring(NOW) as (fake, client):

        def in_the_cloud() -> set[tuple[str, datetime, float]]:
            return {
                (name.removeprefix(PREFIX), at, value)
                for (name, _), points in fake.points.items()
                for at, value in points
            }

        yield CloudMonitoringSink(client, "project-1", lambda: NOW), in_the_cloud


@pytest.fixture(params=["folder", "vertex"])
def experiments(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExperimentLog]:
    if request.param == "folder":
        yield FolderExperimentLog(tmp_path)
        return
    with fake_vertex() as (_, metadata, _):
        yield VertexExperimentLog(metadata, "project-1", "europe-west4")


@pytest.fixture(params=["folder", "vertex"])
def monitor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DriftMonitor]:
    if request.param == "folder":
        yield FolderDriftMonitor(tmp_path)
        return
    with fake_vertex() as (fake, _, clients):
        yield VertexDriftMonitor(clients, fake.objects, "project-1", "europe-west4")


def measurement(name: str, value: float, hours: int = 2, **labels: str) -> Measurement:
    return Measurement(name, value, NOW - timedelta(hours=hours), labels)


def test_measurements_are_stored(sink: tuple[MetricSink, Stored]) -> None:
    told = sink[0].publish(
        [measurement("reward_mean", 0.25, loop="a"), measurement("reward_mean", 0.5, loop="b")]
    )
    assert (told.stored, told.left_out) == (2, 0)
    assert {(name, value) for name, _, value in sink[1]()} == {
        ("reward_mean", 0.25),
        ("reward_mean", 0.5),
    }


def test_a_repetition_changes_nothing(sink: tuple[MetricSink, Stored]) -> None:
    first = [measurement("reward_mean", 0.25), measurement("episodes", 100.0)]
    sink[0].publish(first)
    before = sink[1]()
    again = sink[0].publish([*first, measurement("episodes", 120.0, hours=1)])
    assert again.stored == 3
    assert sink[1]() == before | {("episodes", NOW - timedelta(hours=1), 120.0)}


def test_more_than_a_request_takes_is_stored(sink: tuple[MetricSink, Stored]) -> None:
    many = [measurement("seconds", float(n), stage=f"s{n}") for n in range(450)]
    assert sink[0].publish(many).stored == 450
    assert len(sink[1]()) == 450


def test_nothing_is_stored_of_nothing(sink: tuple[MetricSink, Stored]) -> None:
    assert sink[0].publish([]).stored == 0
    assert sink[1]() == set()


def run(run_id: str, day: date = DAY, **metrics: float) -> RunSummary:
    return RunSummary(run_id, "open_bandit", "default", day, "hold", {"code": "abc"}, metrics)


def test_runs_are_listed_newest_first(experiments: ExperimentLog) -> None:
    older = run("open_bandit-2026-03-27-x", DAY - timedelta(days=1), reward_mean=0.1)
    newer = run("open_bandit-2026-03-28-x", reward_mean=0.2)
    experiments.record(newer)
    experiments.record(older)
    assert experiments.runs("open_bandit") == (newer, older)


def test_a_run_recorded_again_is_one_row(experiments: ExperimentLog) -> None:
    experiments.record(run("r-1", reward_mean=0.1))
    again = run("r-1", reward_mean=0.3)
    experiments.record(again)
    assert experiments.runs("open_bandit") == (again,)


def test_loops_and_tenants_are_apart(experiments: ExperimentLog) -> None:
    mine = run("r-1")
    experiments.record(mine)
    experiments.record(replace(mine, tenant="acme"))
    experiments.record(replace(mine, loop="open-bandit"))
    assert experiments.runs("open_bandit") == (mine,)
    assert experiments.runs("nobody") == ()


def histograms(
    hours: tuple[int, ...], moods: tuple[int, ...], first: date = DAY, model: str = "m-1"
) -> InputHistograms:
    fields = (
        FieldCounts("hour", FieldKind.NUMBER, ("-0.5", "0.5"), hours),
        FieldCounts("mood now", FieldKind.CATEGORY, ("0", "1", "(absent)"), moods),
    )
    return InputHistograms("companion", "default", model, first, DAY, sum(hours), fields)


def test_drift_is_what_the_formulas_say(monitor: DriftMonitor) -> None:
    """Shares (.5, .5) and (.9, .1): JS = H(.7, .3) - (H(.5, .5) + H(.9, .1)) / 2 = .8813 - .7345."""
    monitor.set_baseline(histograms((200, 200), (300, 80, 20), DAY - timedelta(days=27)))
    monitor.observe(histograms((270, 30), (228, 57, 15)))
    figures = monitor.figures("companion", "m-1", DAY, DAY)
    assert figures is not None
    hour, mood = figures.fields
    assert hour.distance == pytest.approx(0.1468, abs=1e-4)
    assert hour.status is DriftStatus.DRIFTED
    assert mood.distance == pytest.approx(0.76 - 0.75, abs=1e-4)
    assert mood.status is DriftStatus.STEADY
    assert (mood.baseline_n, mood.observed_n) == (400, 300)
    assert figures.drifted == ("hour",)


def test_few_episodes_tell_nothing(monitor: DriftMonitor) -> None:
    monitor.set_baseline(histograms((200, 200), (300, 80, 20), DAY - timedelta(days=27)))
    monitor.observe(histograms((199, 0), (199, 0, 0)))
    figures = monitor.figures("companion", "m-1", DAY, DAY)
    if isinstance(monitor, VertexDriftMonitor):
        assert figures is None
    else:
        assert figures is not None
        assert {each.status for each in figures.fields} == {DriftStatus.INSUFFICIENT}


def test_an_observation_of_the_same_days_replaces_the_earlier_one(monitor: DriftMonitor) -> None:
    monitor.set_baseline(histograms((200, 200), (300, 80, 20), DAY - timedelta(days=27)))
    monitor.observe(histograms((270, 30), (228, 57, 15)))
    monitor.observe(histograms((150, 150), (228, 57, 15)))
    figures = monitor.figures("companion", "m-1", DAY, DAY)
    assert figures is not None
    assert figures.drifted == ()


def test_a_model_has_one_baseline(monitor: DriftMonitor) -> None:
    baseline = histograms((200, 200), (300, 80, 20))
    monitor.set_baseline(baseline)
    monitor.set_baseline(baseline)
    with pytest.raises(ShouldResolveConflict):
        monitor.set_baseline(histograms((201, 200), (300, 80, 21)))


def test_without_a_baseline_nothing_is_compared(monitor: DriftMonitor) -> None:
    with pytest.raises(ShouldNameKnownId):
        monitor.observe(histograms((1, 1), (1, 1, 0)))
    assert monitor.figures("companion", "m-1", DAY, DAY) is None
    monitor.set_baseline(histograms((200, 200), (300, 80, 20)))
    assert monitor.figures("companion", "m-1", DAY, DAY) is None
