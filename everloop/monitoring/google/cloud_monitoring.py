"""``MetricSink`` on Cloud Monitoring: custom metrics ``custom.googleapis.com/everloop/<name>``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from google.api_core import exceptions
from google.cloud import monitoring_v3

from everloop.contracts.monitoring import Measurement, Published
from everloop.monitoring.google.calls import RETRY, TIMEOUT_S, told

PREFIX = "custom.googleapis.com/everloop/"
OLDEST = timedelta(hours=24)
"""Cloud Monitoring takes points of the last 25 hours; an hour is left for the way."""
NEWEST = timedelta(minutes=5)
AT_ONCE = 200
"""Time series in a request, the service's own limit."""
PERMISSION = "roles/monitoring.metricWriter"


class CloudMonitoringSink:
    """``MetricSink`` of one project.

    A series takes its points in order of time and each once: what is older than the newest stored point
    counts as stored, since a repetition is all that sends it. Points older than a day, as a backfill
    makes them, can't be taken.

    Args:
        client: the service's.
        project: id of the project that the figures go to.
        now: the present moment, UTC.
    """

    def __init__(
        self,
        client: monitoring_v3.MetricServiceClient,
        project: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._name = f"projects/{project}"
        self._project = project
        self._now = now

    def publish(self, measurements: Sequence[Measurement]) -> Published:
        """See ``MetricSink``."""
        now = self._now()
        taken = [m for m in measurements if now - OLDEST <= m.at <= now + NEWEST]
        left = len(measurements) - len(taken)
        for batch in _batches(taken):
            self._send(batch)
        why = "Cloud Monitoring takes no points that are older than a day or ahead." if left else ""
        return Published(len(taken), left, why)

    def _send(self, batch: Sequence[Measurement]) -> None:
        series = [self._series(each) for each in batch]
        with told("Cloud Monitoring", PERMISSION):
            try:
                self._client.create_time_series(
                    name=self._name, time_series=series, retry=RETRY, timeout=TIMEOUT_S
                )
            except exceptions.InvalidArgument as problem:
                # Some points of a batch may be stored before others are refused.
                if not _is_repetition(problem):
                    raise

    def _series(self, measurement: Measurement) -> monitoring_v3.TimeSeries:
        return monitoring_v3.TimeSeries(
            metric={"type": f"{PREFIX}{measurement.name}", "labels": dict(measurement.labels)},
            resource={"type": "global", "labels": {"project_id": self._project}},
            metric_kind="GAUGE",
            value_type="DOUBLE",
            points=[
                {
                    "interval": {"end_time": measurement.at},
                    "value": {"double_value": measurement.value},
                }
            ],
        )


def _batches(measurements: Sequence[Measurement]) -> Iterator[list[Measurement]]:
    """At most ``AT_ONCE`` series a request and one point a series, oldest first."""
    ordered = sorted(measurements, key=lambda m: m.at)
    for _, same_moment in groupby(ordered, key=lambda m: m.at):
        unique = list({m.series: m for m in same_moment}.values())
        for start in range(0, len(unique), AT_ONCE):
            yield unique[start : start + AT_ONCE]


def _is_repetition(problem: exceptions.InvalidArgument) -> bool:
    text = str(problem).lower()
    return "in order" in text or "more frequently" in text or "older than" in text
