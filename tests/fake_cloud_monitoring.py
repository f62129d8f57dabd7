"""Cloud Monitoring's ``CreateTimeSeries`` over gRPC, as strict about time as the service."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.protobuf import empty_pb2

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class FakeCloudMonitoring:
    """What was stored, and how the next calls fail."""

    now: datetime
    points: dict[Series, list[tuple[datetime, float]]] = field(default_factory=dict)
    failures: list[grpc.StatusCode] = field(default_factory=list)
    requests: list[monitoring_v3.CreateTimeSeriesRequest] = field(default_factory=list)

    def create(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = monitoring_v3.CreateTimeSeriesRequest.deserialize(request)
        self.requests.append(asked)
        if self.failures:
            context.abort(self.failures.pop(0), "as the test asks")
        if len(asked.time_series) > 200:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "more than 200 time series")
        refused = [why for each in asked.time_series if (why := self._take(each))]
        if refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, refused[0])
        return bytes(empty_pb2.Empty().SerializeToString())

    def _take(self, series: monitoring_v3.TimeSeries) -> str:
        key = (series.metric.type, tuple(sorted(series.metric.labels.items())))
        (point,) = series.points
        at = datetime.fromtimestamp(point.interval.end_time.timestamp(), UTC)
        if at < self.now - timedelta(hours=25) or at > self.now + timedelta(minutes=5):
            return "Data points cannot be written more than 25h in the past"
        stored = self.points.setdefault(key, [])
        if stored and at <= stored[-1][0]:
            return "Points must be written in order; one of them had an older end time"
        stored.append((at, point.value.double_value))
        return ""


@contextmanager
def fake_cloud_monitoring(
    now: datetime,
) -> Iterator[tuple[FakeCloudMonitoring, monitoring_v3.MetricServiceClient]]:
    """The fake on a free loopback port, and a client of it."""
    fake = FakeCloudMonitoring(now)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"CreateTimeSeries": grpc.unary_unary_rpc_method_handler(fake.create)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    transport = MetricServiceGrpcTransport(channel=channel, credentials=AnonymousCredentials())
    try:
        yield fake, monitoring_v3.MetricServiceClient(transport=transport)
    finally:
        channel.close()
        server.stop(None).wait()
