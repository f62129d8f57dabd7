"""The part of Vertex AI's REST interface that everloop calls: metadata, models and model monitors.

Distances are computed as the service says that it does, from the CSV files that it is pointed at.
"""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1, aiplatform_v1beta1
from google.cloud.aiplatform_v1.services.metadata_service.transports import (
    MetadataServiceRestTransport,
)
from google.cloud.aiplatform_v1beta1.services.model_monitoring_service.transports import (
    ModelMonitoringServiceRestTransport,
)
from google.cloud.aiplatform_v1beta1.services.model_service.transports import (
    ModelServiceRestTransport,
)

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.monitoring.google.vertex_drift import VertexClients

Answer = tuple[int, Mapping[str, Any]]
_LONG = {"metadataStores": "v1.MetadataStore", "modelMonitors": "v1beta1.ModelMonitor"}
_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,126}[a-z0-9])?")


class MemoryRecords:
    """``Records`` in memory."""

    address = "gs://bucket/monitoring"

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        if self.stored.setdefault(name, data) != data:
            raise ShouldResolveConflict(f"{name} has other content.", "Write another.")

    def read(self, name: str) -> bytes:
        if name not in self.stored:
            raise ShouldRestoreArtefact(f"There is no {name}.", "Restore it.")
        return self.stored[name]


@dataclass
class FakeVertex:
    """Resources by name."""

    objects: MemoryRecords = field(default_factory=MemoryRecords)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    unfinished: bool = False
    """Jobs run on and have no figures yet."""
    clock: datetime = datetime(2026, 3, 29, tzinfo=UTC)

    def answer(self, method: str, url: str, body: dict[str, Any]) -> Answer:
        path = unquote(urlsplit(url).path).split("/", 2)[2]
        query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        self.asked.append(f"{method} {path}")
        if self.failures:
            code = self.failures.pop(0)
            return code, {"error": {"code": code, "message": "as the test asks"}}
        name, _, verb = path.partition(":")
        if verb:
            return self._custom(name, verb, body)
        if method == "GET":
            return self._get(name, query)
        if method == "PATCH":
            self.resources[name] |= body
            return 200, self.resources[name]
        return self._create(name, query, body)

    def _get(self, name: str, query: Mapping[str, str]) -> Answer:
        if name in self.resources:
            return 200, self.resources[name]
        kind = name.rsplit("/", 1)[1]
        if kind == "modelMonitoringJobs":
            jobs = [v for k, v in self.resources.items() if k.startswith(f"{name}/")]
            return 200, {"modelMonitoringJobs": jobs}
        if kind == "contexts":
            wanted = re.search(r'in_context\("([^"]+)"\)', query["filter"])
            assert wanted is not None
            rows = [self.resources[child] for child in self.children.get(wanted[1], [])]
            return 200, {"contexts": rows}
        return _error(404, f"{name} is not there")

    def _create(self, parent: str, query: Mapping[str, str], body: dict[str, Any]) -> Answer:
        kind = parent.rsplit("/", 1)[1]
        given = next((v for k, v in query.items() if k.endswith("Id")), "")
        name = f"{parent}/{given or len(self.resources)}"
        if given and _ID.fullmatch(given) is None:
            return _error(400, f"{given} is no id")
        if name in self.resources:
            return _error(409, f"{name} is there")
        self.clock += timedelta(seconds=1)
        self.resources[name] = body | {"name": name, "createTime": self.clock.isoformat()}
        if kind in _LONG:
            return 200, _done(_LONG[kind], self.resources[name])
        if kind == "modelMonitoringJobs":
            self.resources[name]["state"] = "JOB_STATE_SUCCEEDED"
        return 200, self.resources[name]

    def _custom(self, name: str, verb: str, body: dict[str, Any]) -> Answer:
        if verb == "addContextChildren":
            known = self.children.setdefault(name, [])
            known += [child for child in body["childContexts"] if child not in known]
            return 200, {}
        if verb == "upload":
            model = f"{name}/{body['modelId']}"
            if model in self.resources:
                return _error(409, f"{model} is there")
            self.resources[model] = body["model"] | {"name": model}
            return 200, _done("v1beta1.UploadModelResponse", {"model": model})
        assert verb == "searchModelMonitoringStats"
        return 200, {"monitoringStats": [] if self.unfinished else self._stats(name, body)}

    def _stats(self, monitor: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        job = body["statsFilter"]["tabularStatsFilter"]["modelMonitoringJob"]
        spec = self.resources[monitor]
        objective = self.resources[job]["modelMonitoringSpec"]["objectiveSpec"]
        before = self._columns(spec["trainingDataset"])
        after = self._columns(objective["targetDataset"])
        drift = objective["tabularObjective"]["featureDriftSpec"]
        found = []
        for each in spec["modelMonitoringSchema"]["featureFields"]:
            numeric = each["dataType"] == "float"
            limit = drift[f"default{'Numeric' if numeric else 'Categorical'}AlertCondition"]
            distance = _distance(before[each["name"]], after[each["name"]], numeric)
            point = {
                "currentStats": {"distributionValue": {"distributionDeviation": distance}},
                "thresholdValue": limit["threshold"],
                "hasAnomaly": distance > limit["threshold"],
                "modelMonitoringJob": job,
            }
            found.append({"tabularStats": {"statsName": each["name"], "dataPoints": [point]}})
        return found

    def _columns(self, dataset: Mapping[str, Any]) -> dict[str, list[str]]:
        source = dataset["columnizedDataset"]["gcsSource"]
        assert source["format"] in {"CSV", 1}
        name = source["gcsUri"].removeprefix(f"{self.objects.address}/")
        header, *rows = csv.reader(self.objects.stored[name].decode().splitlines())
        return {column: [row[i] for row in rows] for i, column in enumerate(header)}


def _distance(before: list[str], after: list[str], numeric: bool) -> float:
    values = sorted({*before, *after})
    p, q = (np.array([side.count(v) / len(side) for v in values]) for side in (before, after))
    if not numeric:
        return float(np.abs(p - q).max())
    middle = (p + q) / 2

    def relative(shares: Any) -> float:
        kept = shares > 0
        return float((shares[kept] * np.log2(shares[kept] / middle[kept])).sum())

    return (relative(p) + relative(q)) / 2


def _done(kind: str, response: Mapping[str, Any]) -> Mapping[str, Any]:
    typed = {"@type": f"type.googleapis.com/google.cloud.aiplatform.{kind}", **response}
    return {"name": "operations/1", "done": True, "response": typed}


def _error(code: int, message: str) -> Answer:
    status = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}[code]
    return code, {"error": {"code": code, "message": message, "status": status}}


@contextmanager
def fake_vertex() -> Iterator[
    tuple[FakeVertex, aiplatform_v1.MetadataServiceClient, VertexClients]
]:
    """The fake on a free loopback port, and clients of it."""
    fake = FakeVertex()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            code, answer = fake.answer(self.command, self.path, body)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    there: dict[str, Any] = {
        "host": f"127.0.0.1:{server.server_port}",
        "url_scheme": "http",
        "credentials": AnonymousCredentials(),
    }
    metadata = aiplatform_v1.MetadataServiceClient(transport=MetadataServiceRestTransport(**there))
    clients = VertexClients(
        aiplatform_v1beta1.ModelServiceClient(transport=ModelServiceRestTransport(**there)),
        aiplatform_v1beta1.ModelMonitoringServiceClient(
            transport=ModelMonitoringServiceRestTransport(**there)
        ),
    )
    try:
        yield fake, metadata, clients
    finally:
        for client in (metadata, clients.models, clients.monitors):
            client.transport.close()
        server.shutdown()
        server.server_close()
        thread.join()
