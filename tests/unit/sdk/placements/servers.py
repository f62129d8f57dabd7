"""Small servers that answer as Kubernetes' and Cloud Run's APIs do, and keep what they were asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    body: Any
    authorization: str


@dataclass
class Fake:
    """A server's memory. ``failures`` are answered first, one a request: a status, or 0 to hang up."""

    asked: list[Asked] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    address: str = ""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """(status, document) of a request."""
        raise NotImplementedError

    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Answer on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            asked = Asked(
                self.command,
                self.path,
                json.loads(text) if text else None,
                self.headers.get("Authorization", ""),
            )
            fake.asked.append(asked)
            status = fake.failures.pop(0) if fake.failures else -1
            if status == 0:
                self.close_connection = True
                return
            document: Any = {"message": "made to fail", "error": {"message": "made to fail"}}
            if status < 0:
                status, document = fake.answer(asked)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 — the handler's own names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    fake.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class FakeKubernetes(Fake):
    """Holds RayJobs; each look at one moves it a step along ``steps`` (its status, in order)."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, str]] = field(default_factory=list)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        root = "/apis/ray.io/v1/namespaces/everloop/rayjobs"
        path = asked.path.partition("?")[0]
        if path == root and asked.method == "POST":
            name = asked.body["metadata"]["name"]
            if name in self.jobs:
                return 409, {"message": f'rayjobs.ray.io "{name}" already exists'}
            self.jobs[name] = asked.body
            return 201, asked.body
        name = path.removeprefix(f"{root}/")
        if name not in self.jobs:
            return 404, {"message": f'rayjobs.ray.io "{name}" not found'}
        if asked.method == "DELETE":
            return 200, self.jobs.pop(name)
        if self.steps:
            status = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
            self.jobs[name] = self.jobs[name] | {"status": status}
        return 200, self.jobs[name]


@dataclass
class FakeCloudRun(Fake):
    """Holds jobs, operations and executions; each look at an execution moves it along ``steps``."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    looks: int = 0

    def answer(self, asked: Asked) -> tuple[int, Any]:
        parent = "/v2/projects/a-project/locations/europe-west4"
        path, _, query = asked.path.partition("?")
        rest = path.removeprefix(parent)
        if rest == "/operations/make":
            self.looks += 1
            done: dict[str, Any] = {"name": path.removeprefix("/v2/"), "done": self.looks > 1}
            return 200, done | ({"error": {"message": self.refusal}} if self.refusal else {})
        if rest == "/jobs":
            return self._made(query.removeprefix("jobId="), asked)
        name = rest.removeprefix("/jobs/").partition("/")[0].partition(":")[0]
        if name not in self.jobs:
            return 404, {"error": {"message": "not found"}}
        if asked.method == "PATCH":
            return self._made(name, asked)
        return self._of_job(name, path.removeprefix("/v2/"))

    def _of_job(self, name: str, path: str) -> tuple[int, Any]:
        if path.endswith(":run"):
            execution = f"{path.removesuffix(':run')}/executions/{name}-1"
            self.executions[execution] = {"name": execution}
            return 200, {"name": "operations/run", "metadata": {"name": execution}}
        if path.endswith("/executions"):
            return 200, {"executions": list(self.executions.values())}
        if "/executions/" in path:
            return self._execution(path)
        return 200, self.jobs[name]

    def _made(self, name: str, asked: Asked) -> tuple[int, Any]:
        self.jobs[name] = asked.body
        return 200, {"name": "projects/a-project/locations/europe-west4/operations/make"}

    def _execution(self, name: str) -> tuple[int, Any]:
        if name.endswith(":cancel"):
            self.executions[name.removesuffix(":cancel")] |= {"cancelledCount": 1, **ENDED}
            return 200, {"name": "operations/cancel"}
        if self.steps:
            self.executions[name] |= self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return 200, self.executions[name]


ENDED = {"completionTime": "2026-01-01T00:00:00Z"}
