"""``DriftMonitor`` on Vertex AI Model Monitoring: a model monitor for each model, a job for each look.

Vertex computes the distances itself, from two CSV files in the bucket (see ``marginals``), so an
observation's figures are there minutes later. What goes there holds no small cell (``small_cells``), and
of days or baselines with few episodes nothing goes. The service is in preview (``v1beta1``). Models are
registered by name alone, as reference models that are served elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from google.cloud import aiplatform_v1beta1 as vertex

from everloop.contracts import documents
from everloop.contracts.errors import (
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.monitoring import (
    DriftFigures,
    DriftStatus,
    FieldDrift,
    InputHistograms,
)
from everloop.monitoring.drift import FEWEST, LIMIT
from everloop.monitoring.google.calls import RETRY, TIMEOUT_S, finished, found, made, told
from everloop.monitoring.google.marginals import column_of, data_type, table
from everloop.monitoring.google.small_cells import told as without_small_cells
from everloop.monitoring.google.vertex_experiments import identifier

PERMISSION = "roles/aiplatform.user, and roles/storage.objectUser on the bucket"
_SERVICE = "Vertex AI Model Monitoring"
_LONG_S = 300.0


class Records(Protocol):
    """Records of a bucket under a folder of their own, written once."""

    @property
    def address(self) -> str:
        """``gs://…`` of the folder."""

    def write(self, name: str, data: bytes) -> None:
        """Nothing changes where the name has the same bytes; others are ``ShouldResolveConflict``."""

    def read(self, name: str) -> bytes:
        """``ShouldRestoreArtefact`` when there is none of that name."""


@dataclass(frozen=True, slots=True)
class VertexClients:
    """The services that a monitor needs, all of one location."""

    models: vertex.ModelServiceClient
    monitors: vertex.ModelMonitoringServiceClient


class VertexDriftMonitor:
    """``DriftMonitor`` of one project and location.

    Args:
        clients: the services.
        records: where histograms and the tables made of them are kept.
        project, location: where models and monitors are registered.
    """

    def __init__(
        self, clients: VertexClients, records: Records, project: str, location: str
    ) -> None:
        self._clients = clients
        self._records = records
        self._parent = f"projects/{project}/locations/{location}"

    def set_baseline(self, learned_from: InputHistograms) -> None:
        """See ``DriftMonitor``; a baseline of few episodes stays unknown here."""
        exported = without_small_cells(learned_from)
        if exported is not None:
            self._set(exported)

    def _set(self, learned_from: InputHistograms) -> None:
        name = identifier_of(learned_from.loop, learned_from.tenant, learned_from.model_version)
        stored = self._found(_baseline(name))
        if stored is not None and documents.from_json(InputHistograms, stored) != learned_from:
            raise ShouldResolveConflict(
                f"Model {learned_from.model_version} has another baseline.",
                "Give another version to what learned from other data.",
            )
        with told(_SERVICE, PERMISSION):
            self._records.write(f"{name}/baseline.csv", table(learned_from))
            model = self._registered(name, learned_from)
            self._monitored(name, model, learned_from)
        # Last, so that a baseline that is known is a monitor that is there.
        self._records.write(_baseline(name), documents.to_json(learned_from))

    def observe(self, met: InputHistograms) -> None:
        """See ``DriftMonitor``."""
        name = identifier_of(met.loop, met.tenant, met.model_version)
        if self._found(_baseline(name)) is None:
            raise ShouldNameKnownId(
                f"Model {met.model_version} has no baseline.", "Set what it learned from first."
            )
        exported = without_small_cells(met)
        if exported is None:
            return
        text = documents.to_json(exported)
        look = f"{_days(met.first, met.last)} {hashlib.sha256(text).hexdigest()[:16]}"
        with told(_SERVICE, PERMISSION):
            newest = self._job(name, met.first, met.last)
            if newest is not None and newest.display_name == look:
                return
            self._records.write(_kept(name, look, "csv"), table(exported))
            self._records.write(_kept(name, look, "json"), text)
            job = vertex.ModelMonitoringJob(
                display_name=look,
                model_monitoring_spec={
                    "objective_spec": {
                        "tabular_objective": _objective(),
                        "target_dataset": self._source(_kept(name, look, "csv")),
                    }
                },
            )
            self._clients.monitors.create_model_monitoring_job(
                parent=self._monitor(name), model_monitoring_job=job, retry=RETRY, timeout=TIMEOUT_S
            )

    def figures(
        self, loop: str, model_version: str, first: date, last: date, tenant: str = "default"
    ) -> DriftFigures | None:
        """See ``DriftMonitor``."""
        name = identifier_of(loop, tenant, model_version)
        learned_from = self._found(_baseline(name))
        if learned_from is None:
            return None
        with told(_SERVICE, PERMISSION):
            job = self._job(name, first, last)
            if job is None:
                return None
            points = dict(self._points(name, job.name))
        looked_at = self._found(_kept(name, job.display_name, "json"))
        if looked_at is None or not points:
            return None
        baseline = documents.from_json(InputHistograms, learned_from)
        met = documents.from_json(InputHistograms, looked_at)
        before = {each.field: each.total for each in baseline.fields}
        fields = tuple(
            _field(each.field, points[column_of(each.field)], before[each.field], each.total)
            for each in met.fields
            if column_of(each.field) in points and each.field in before
        )
        return DriftFigures(loop, tenant, model_version, first, last, fields)

    def _found(self, name: str) -> bytes | None:
        try:
            return self._records.read(name)
        except ShouldRestoreArtefact:
            return None

    def _registered(self, name: str, baseline: InputHistograms) -> str:
        """Resource name of the reference model."""
        known = f"{self._parent}/models/{name}"
        if found(self._clients.models.get_model, name=known) is None:
            operation = made(
                self._clients.models.upload_model,
                request={
                    "parent": self._parent,
                    "model_id": name,
                    "model": {
                        "display_name": f"everloop {baseline.loop} {baseline.model_version}"[:128]
                    },
                },
            )
            if operation is not None:
                finished(operation, _LONG_S)
        return known

    def _monitored(self, name: str, model: str, baseline: InputHistograms) -> None:
        if found(self._clients.monitors.get_model_monitor, name=self._monitor(name)) is not None:
            return
        monitor = vertex.ModelMonitor(
            display_name=f"everloop {baseline.loop} {baseline.model_version}"[:128],
            model_monitoring_target={"vertex_model": {"model": model, "model_version_id": "1"}},
            training_dataset=self._source(f"{name}/baseline.csv"),
            tabular_objective=_objective(),
            model_monitoring_schema={
                "feature_fields": [
                    {"name": column_of(each.field), "data_type": data_type(each.kind)}
                    for each in baseline.fields
                    if each.total
                ]
            },
        )
        operation = made(
            self._clients.monitors.create_model_monitor,
            request={
                "parent": self._parent,
                "model_monitor": monitor,
                "model_monitor_id": name,
            },
        )
        if operation is not None:
            finished(operation, _LONG_S)

    def _job(self, name: str, first: date, last: date) -> vertex.ModelMonitoringJob | None:
        """The newest look at these days that did not fail."""
        jobs = self._clients.monitors.list_model_monitoring_jobs(
            request={"parent": self._monitor(name)}, retry=RETRY, timeout=TIMEOUT_S
        )
        failed = vertex.JobState.JOB_STATE_FAILED
        alive = [
            job
            for job in jobs
            if job.state != failed and job.display_name.startswith(_days(first, last))
        ]
        return max(alive, key=lambda job: job.create_time.timestamp(), default=None)

    def _points(
        self, name: str, job: str
    ) -> Iterator[tuple[str, vertex.ModelMonitoringStatsDataPoint]]:
        answer = self._clients.monitors.search_model_monitoring_stats(
            request={
                "model_monitor": self._monitor(name),
                "stats_filter": {
                    "tabular_stats_filter": {
                        "objective_type": "raw-feature-drift",
                        "model_monitoring_job": job,
                    }
                },
            },
            retry=RETRY,
            timeout=TIMEOUT_S,
        )
        for stats in answer:
            tabular = stats.tabular_stats
            for point in tabular.data_points:
                if point.model_monitoring_job == job:
                    yield tabular.stats_name, point

    def _source(self, name: str) -> vertex.ModelMonitoringInput:
        kinds = vertex.ModelMonitoringInput.ModelMonitoringDataset.ModelMonitoringGcsSource
        return vertex.ModelMonitoringInput(
            columnized_dataset={
                "gcs_source": {
                    "gcs_uri": f"{self._records.address}/{name}",
                    "format_": kinds.DataFormat.CSV,
                }
            }
        )

    def _monitor(self, name: str) -> str:
        return f"{self._parent}/modelMonitors/{name}"


def identifier_of(loop: str, tenant: str, model_version: str) -> str:
    """Id of a model, and of its monitor, at most 63 characters."""
    return f"everloop-{identifier(f'{loop}/{tenant}/{model_version}')}"


def _objective() -> vertex.ModelMonitoringObjectiveSpec.TabularObjective:
    limit = {"threshold": LIMIT}
    return vertex.ModelMonitoringObjectiveSpec.TabularObjective(
        feature_drift_spec={
            "categorical_metric_type": "l_infinity",
            "numeric_metric_type": "jensen_shannon_divergence",
            "default_categorical_alert_condition": limit,
            "default_numeric_alert_condition": limit,
        }
    )


def _field(
    name: str, point: vertex.ModelMonitoringStatsDataPoint, baseline_n: int, observed_n: int
) -> FieldDrift:
    distance = point.current_stats.distribution_value.distribution_deviation
    status = DriftStatus.DRIFTED if point.has_anomaly else DriftStatus.STEADY
    few = min(baseline_n, observed_n) < FEWEST
    return FieldDrift(
        field=name,
        distance=distance,
        limit=point.threshold_value or LIMIT,
        baseline_n=baseline_n,
        observed_n=observed_n,
        status=DriftStatus.INSUFFICIENT if few else status,
    )


def _baseline(name: str) -> str:
    return f"{name}/baseline.json"


def _days(first: date, last: date) -> str:
    return f"everloop {first} to {last}"


def _kept(name: str, look: str, form: str) -> str:
    """Where a look's table or histograms are; ``look`` is its job's display name."""
    return f"{name}/{look.removeprefix('everloop ').replace(' ', '_')}.{form}"
