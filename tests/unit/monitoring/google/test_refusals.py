"""What Google's services refuse, and what a monitor makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import grpc
import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldProvideKey,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.monitoring import FieldCounts, FieldKind, InputHistograms, Measurement
from everloop.contracts.monitoring import RunSummary as Run
from everloop.monitoring.google import calls
from everloop.monitoring.google.calls import told
from everloop.monitoring.google.cloud_monitoring import CloudMonitoringSink
from everloop.monitoring.google.vertex_drift import VertexDriftMonitor
from everloop.monitoring.google.vertex_experiments import VertexExperimentLog, identifier
from tests.fake_cloud_monitoring import FakeCloudMonitoring, fake_cloud_monitoring
from tests.fake_vertex import FakeVertex, fake_vertex

NOW = datetime(2026, 3, 29, 2, tzinfo=UTC)
DAY = date(2026, 3, 28)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as bounded as they are, and shorter."""
    monkeypatch.setattr(calls.RETRY, "_initial", 0.001)
    monkeypatch.setattr(calls.RETRY, "_maximum", 0.002)


@pytest.fixture
def monitoring() -> Iterator[tuple[FakeCloudMonitoring, CloudMonitoringSink]]:
    with fake_cloud_monitoring(NOW) as (fake, client):
        yield fake, CloudMonitoringSink(client, "project-1", lambda: NOW)


@pytest.fixture
def vertex() -> Iterator[tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor]]:
    with fake_vertex() as (fake, metadata, clients):
        where = ("project-1", "europe-west4")
        yield (
            fake,
            VertexExperimentLog(metadata, *where),
            VertexDriftMonitor(clients, fake.objects, *where),
        )


def test_what_is_sent(monitoring: tuple[FakeCloudMonitoring, CloudMonitoringSink]) -> None:
    fake, sink = monitoring
    sink.publish([Measurement("reward_mean", 0.25, NOW, {"loop": "a"})])
    (request,) = fake.requests
    (series,) = request.time_series
    assert request.name == "projects/project-1"
    assert series.metric.type == "custom.googleapis.com/everloop/reward_mean"
    assert dict(series.metric.labels) == {"loop": "a"}
    assert series.resource.type == "global"
    assert series.points[0].value.double_value == 0.25


def test_a_backfill_is_left_out_and_said(
    monitoring: tuple[FakeCloudMonitoring, CloudMonitoringSink],
) -> None:
    told_of = monitoring[1].publish(
        [Measurement("a", 1.0, NOW - timedelta(hours=h)) for h in (1, 24, 25, 200)]
    )
    assert (told_of.stored, told_of.left_out) == (2, 2)
    assert "older than a day" in told_of.why


def test_a_service_that_recovers_is_asked_again(
    monitoring: tuple[FakeCloudMonitoring, CloudMonitoringSink],
) -> None:
    fake, sink = monitoring
    fake.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]
    assert sink.publish([Measurement("a", 1.0, NOW)]).stored == 1
    assert len(fake.requests) == 3


def test_a_missing_role_is_named(
    monitoring: tuple[FakeCloudMonitoring, CloudMonitoringSink],
) -> None:
    monitoring[0].failures = [grpc.StatusCode.PERMISSION_DENIED]
    with pytest.raises(ShouldProvideKey, match="as the test asks") as refusal:
        monitoring[1].publish([Measurement("a", 1.0, NOW)])
    assert "roles/monitoring.metricWriter" in refusal.value.remedy


def test_another_refusal_is_no_repetition(
    monitoring: tuple[FakeCloudMonitoring, CloudMonitoringSink],
) -> None:
    monitoring[0].failures = [grpc.StatusCode.INVALID_ARGUMENT]
    with pytest.raises(ShouldFixArgument):
        monitoring[1].publish([Measurement("a", 1.0, NOW)])


def test_vertex_that_recovers_has_one_row(
    vertex: tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor],
) -> None:
    fake, log, _ = vertex
    row = Run("r-1", "loop", "default", DAY, "hold", {}, {"a": 1.0})
    fake.failures = [503, 503]
    log.record(row)
    assert log.runs("loop") == (row,)


def test_vertex_that_is_away_is_retried_later(
    vertex: tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls.RETRY, "_timeout", 0.05)
    vertex[0].failures = list(itertools.repeat(503, 10_000))
    with pytest.raises(ShouldRetryLater):
        vertex[1].runs("loop")


def test_a_row_of_another_writer_is_refused(
    vertex: tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor],
) -> None:
    fake, log, _ = vertex
    log.record(Run("r-1", "loop", "default", DAY, "hold", {}, {"a": 1.0}))
    row = next(v for k, v in fake.resources.items() if k.endswith("-r-1"))
    row["metadata"] = {"_params": {"mine": "x"}, "_metrics": {}}
    with pytest.raises(ShouldRestoreArtefact, match="not written by everloop"):
        log.runs("loop")


def test_a_baseline_that_was_cut_short_is_finished(
    vertex: tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor],
) -> None:
    fake, _, monitor = vertex
    counts = FieldCounts("f", FieldKind.CATEGORY, ("a", "b"), (300, 100))
    learned = InputHistograms("loop", "default", "m", DAY, DAY, 400, (counts,))
    fake.failures = [200, 403]  # the model is known by then, its monitor is not
    with pytest.raises((ShouldProvideKey, ShouldFixArgument)):
        monitor.set_baseline(learned)
    monitor.set_baseline(learned)
    monitor.observe(learned)
    figures = monitor.figures("loop", "m", DAY, DAY)
    assert figures is not None
    assert figures.fields[0].distance == 0.0


def test_a_look_that_is_not_computed_yet_has_no_figures(
    vertex: tuple[FakeVertex, VertexExperimentLog, VertexDriftMonitor],
) -> None:
    fake, _, monitor = vertex
    counts = FieldCounts("f", FieldKind.CATEGORY, ("a", "b"), (300, 100))
    learned = InputHistograms("loop", "default", "m", DAY, DAY, 400, (counts,))
    monitor.set_baseline(learned)
    fake.unfinished = True
    monitor.observe(learned)
    assert monitor.figures("loop", "m", DAY, DAY) is None
    fake.unfinished = False
    assert monitor.figures("loop", "m", DAY, DAY) is not None


def test_no_credentials_is_said() -> None:
    with pytest.raises(ShouldProvideKey, match="no credentials"), told("A service", "a role"):
        raise DefaultCredentialsError("none here")


def test_a_race_is_no_repetition() -> None:
    def call(**_: object) -> None:
        raise exceptions.Aborted("another write")

    with pytest.raises(exceptions.Aborted):
        calls.made(call)


def test_different_names_have_different_ids() -> None:
    names = ("open_bandit", "open-bandit", "Open-Bandit", "ünï", "x" * 300, "x" * 301)
    assert len({identifier(name) for name in names}) == len(names)
    assert all(len(identifier(name)) <= 50 for name in names)
