"""A small Kubeflow Pipelines: its v2beta1 REST API on a loopback port, with a memory and planned failures.

It answers as the API server of 2.17 does for what everloop uses: names are unique where Kubeflow's are,
bodies must be what ``kfp_server_api`` models say, a run's parameters must be the graph's, and lists are
filtered and paged.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from ruamel.yaml import YAML

Document = dict[str, Any]
_ROOT = "/apis/v2beta1"
_SECONDS = "%Y-%m-%dT%H:%M:%SZ"


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Failure:
    """Something goes wrong with the next ``times`` requests that match.

    ``how``: an HTTP status; ``drop`` closes the connection before the request is looked at; ``lose`` after
    it was carried out; ``slow`` carries it out and answers after ``seconds``.
    """

    method: str
    path: re.Pattern[str]
    how: int | str
    times: int = 1
    seconds: float = 0.0


@dataclass
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str


@dataclass
class FakeKubeflow:
    """The state. ``token``: what a request must carry, if anything; ``multi_user``: as healthz says."""

    token: str = ""
    multi_user: bool = False
    release: str = "2.17.0"
    page_size: int = 3
    url: str = ""
    experiments: list[Document] = field(default_factory=list)
    pipelines: list[Document] = field(default_factory=list)
    versions: list[Document] = field(default_factory=list)
    runs: list[Document] = field(default_factory=list)
    recurring: list[Document] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    moves: list[Document] = field(default_factory=list)
    """What each next look at a run brings it to first; see ``move``."""
    one_second: bool = False
    """Whether all is made within one second, in which Kubeflow's dates do not differ."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail(
        self, method: str, path: str, how: int | str, times: int = 1, seconds: float = 0.0
    ) -> None:
        """Plan a failure of requests whose path matches."""
        self.failures.append(Failure(method, re.compile(path), how, times, seconds))

    def seen(self, method: str, path: str) -> list[Request]:
        """The requests that came in, those that failed, too."""
        return [r for r in self.requests if r.method == method and re.search(path, r.path)]

    def move(self, run_id: str, state: str, error: str = "", **tasks: str) -> None:
        """Bring a run to a state, and its tasks to theirs."""
        with self.lock:
            run = _one(self.runs, "run_id", run_id)
            run["state"] = state
            if error:
                run["error"] = {"code": 2, "message": error}
            now = _now()
            run["run_details"] = {
                "task_details": [
                    {
                        "run_id": run_id,
                        "display_name": name.replace("_", "-"),
                        "state": how,
                        "start_time": now,
                        "end_time": now,
                    }
                    for name, how in tasks.items()
                ]
            }

    def planned(self, method: str, path: str) -> Failure | None:
        for failure in self.failures:
            if failure.times and failure.method == method and failure.path.search(path):
                failure.times -= 1
                return failure
        return None

    def answer(self, request: Request) -> Document:
        if self.token and request.authorization != f"Bearer {self.token}":
            raise Refused(401, "the token is not valid")
        path = request.path.removeprefix(_ROOT)
        for method, pattern, handle in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                with self.lock:
                    return handle(self, request, *found.groups())
        raise Refused(404, f"no route {request.method} {request.path}")

    def listed(self, request: Request, items: list[Document], name: str) -> Document:
        for predicate in json.loads(request.query.get("filter") or '{"predicates": []}')[
            "predicates"
        ]:
            if predicate["operation"] != 1 or predicate["key"] != "display_name":
                raise Refused(400, f"this fake cannot filter by {predicate}")
            items = [i for i in items if i["display_name"] == predicate["stringValue"]]
        if request.query.get("sort_by") == "created_at desc":
            items = items[::-1]
        start = int(request.query.get("page_token") or 0)
        size = min(self.page_size, int(request.query.get("page_size") or 10))
        page: Document = {name: items[start : start + size], "total_size": len(items)}
        if start + size < len(items):
            page["next_page_token"] = str(start + size)
        return page


def healthz(fake: FakeKubeflow, request: Request) -> Document:
    return {"multi_user": fake.multi_user, "tag_name": fake.release}


def list_experiments(fake: FakeKubeflow, request: Request) -> Document:
    namespace = request.query.get("namespace", "")
    if fake.multi_user and not namespace:
        raise Refused(400, "Namespace is empty in multi-user mode")
    mine = [e for e in fake.experiments if e.get("namespace", "") == namespace]
    return fake.listed(request, mine, "experiments")


def create_experiment(fake: FakeKubeflow, request: Request) -> Document:
    body = modelled(request.body, kfp_server_api.V2beta1Experiment)
    _unique(fake.experiments, body)
    return _stored(fake, fake.experiments, body, "experiment_id")


def list_pipelines(fake: FakeKubeflow, request: Request) -> Document:
    return fake.listed(request, fake.pipelines, "pipelines")


def create_pipeline(fake: FakeKubeflow, request: Request) -> Document:
    body = modelled(request.body, kfp_server_api.V2beta1Pipeline)
    _unique(fake.pipelines, body)
    return _stored(fake, fake.pipelines, body, "pipeline_id")


def list_versions(fake: FakeKubeflow, request: Request, pipeline: str) -> Document:
    _one(fake.pipelines, "pipeline_id", pipeline)
    mine = [v for v in fake.versions if v["pipeline_id"] == pipeline]
    return fake.listed(request, mine, "pipeline_versions")


def upload_version(fake: FakeKubeflow, request: Request) -> Document:
    pipeline, name = request.query["pipelineid"], request.query["name"]
    _one(fake.pipelines, "pipeline_id", pipeline)
    _unique([v for v in fake.versions if v["pipeline_id"] == pipeline], {"display_name": name})
    stored = _stored(
        fake, fake.versions, {"pipeline_id": pipeline, "display_name": name}, "pipeline_version_id"
    )
    fake.packages[stored["pipeline_version_id"]] = request.body
    return stored


def create_run(fake: FakeKubeflow, request: Request) -> Document:
    body = modelled(request.body, kfp_server_api.V2beta1Run)
    _one(fake.experiments, "experiment_id", body["experiment_id"])
    _fitting(fake, body)
    return _stored(fake, fake.runs, body | {"state": "PENDING"}, "run_id")


def list_runs(fake: FakeKubeflow, request: Request) -> Document:
    mine = [r for r in fake.runs if r["experiment_id"] == request.query["experiment_id"]]
    return fake.listed(request, mine, "runs")


def get_run(fake: FakeKubeflow, request: Request, run_id: str) -> Document:
    if fake.moves:
        fake.move(run_id, **fake.moves.pop(0))
    return _one(fake.runs, "run_id", run_id)


def terminate_run(fake: FakeKubeflow, request: Request, run_id: str) -> Document:
    _one(fake.runs, "run_id", run_id)["state"] = "CANCELING"
    return {}


def create_recurring(fake: FakeKubeflow, request: Request) -> Document:
    body = modelled(request.body, kfp_server_api.V2beta1RecurringRun)
    _one(fake.experiments, "experiment_id", body["experiment_id"])
    _fitting(fake, body)
    fields = body["trigger"]["cron_schedule"]["cron"].split()
    if len(fields) != 6:
        raise Refused(400, f"Expected exactly 6 fields, found {len(fields)}")
    if not 1 <= int(body["max_concurrency"]) <= 10:
        raise Refused(400, "The max concurrency of the recurring run must be between 1 and 10")
    status = "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"
    return _stored(fake, fake.recurring, body | {"status": status}, "recurring_run_id")


def list_recurring(fake: FakeKubeflow, request: Request) -> Document:
    mine = [r for r in fake.recurring if r["experiment_id"] == request.query["experiment_id"]]
    return fake.listed(request, mine, "recurringRuns")


def get_recurring(fake: FakeKubeflow, request: Request, found: str) -> Document:
    return _one(fake.recurring, "recurring_run_id", found)


def switch_recurring(fake: FakeKubeflow, request: Request, found: str, verb: str) -> Document:
    on = verb == "enable"
    _one(fake.recurring, "recurring_run_id", found).update(
        mode="ENABLE" if on else "DISABLE", status="ENABLED" if on else "DISABLED"
    )
    return {}


def delete_recurring(fake: FakeKubeflow, request: Request, found: str) -> Document:
    fake.recurring.remove(_one(fake.recurring, "recurring_run_id", found))
    return {}


_ROUTES: list[tuple[str, str, Callable[..., Document]]] = [
    ("GET", "/healthz", healthz),
    ("GET", "/experiments", list_experiments),
    ("POST", "/experiments", create_experiment),
    ("GET", "/pipelines", list_pipelines),
    ("POST", "/pipelines", create_pipeline),
    ("POST", "/pipelines/upload_version", upload_version),
    ("GET", "/pipelines/([^/]+)/versions", list_versions),
    ("POST", "/runs", create_run),
    ("GET", "/runs", list_runs),
    ("GET", "/runs/([^/:]+)", get_run),
    ("POST", "/runs/([^/:]+):terminate", terminate_run),
    ("POST", "/recurringruns", create_recurring),
    ("GET", "/recurringruns", list_recurring),
    ("GET", "/recurringruns/([^/:]+)", get_recurring),
    ("POST", "/recurringruns/([^/:]+):(enable|disable)", switch_recurring),
    ("DELETE", "/recurringruns/([^/:]+)", delete_recurring),
]


def modelled(body: Any, model: Any) -> Document:
    """A body that is what a model of ``kfp_server_api`` says, all the way down."""
    if not isinstance(body, dict):
        raise Refused(400, f"{model.__name__} is no object")
    names = {wire: attribute for attribute, wire in model.attribute_map.items()}
    for key, value in body.items():
        if key not in names:
            raise Refused(400, f"unknown field {key!r} of {model.__name__}")
        _typed(value, model.openapi_types[names[key]], f"{model.__name__}.{key}")
    return dict(body)


def _typed(value: Any, kind: str, where: str) -> None:
    plain: dict[str, type | tuple[type, ...]] = {
        "str": (str, int),  # 64-bit numbers are strings in the model, and either on the wire
        "int": int,
        "bool": bool,
        "object": object,
        "datetime": str,
    }
    model = getattr(kfp_server_api, kind, None)
    if kind.startswith("dict("):
        wanted: type | tuple[type, ...] = dict
    elif kind.startswith("list["):
        wanted = list
    elif model is not None and getattr(model, "allowable_values", None):
        if value not in model.allowable_values:
            raise Refused(400, f"{where}: {value!r} is not one of {model.allowable_values}")
        return
    elif model is not None:
        modelled(value, model)
        return
    else:
        wanted = plain[kind]
    if not isinstance(value, wanted):
        raise Refused(400, f"{where}: {value!r} is no {kind}")


def _fitting(fake: FakeKubeflow, body: Document) -> None:
    """As validatePipelineJobInputs: no parameter too many, none that is needed too few."""
    reference = body["pipeline_version_reference"]
    version = _one(fake.versions, "pipeline_version_id", reference["pipeline_version_id"])
    if version["pipeline_id"] != reference["pipeline_id"]:
        raise Refused(400, "the version is another pipeline's")
    spec = next(iter(YAML(typ="safe").load_all(fake.packages[version["pipeline_version_id"]])))
    wanted = spec["root"]["inputDefinitions"]["parameters"]
    given = body["runtime_config"].get("parameters", {})
    for name in set(given) - set(wanted):
        raise Refused(400, f"parameter {name} is not in the pipeline's inputs")
    for name, value in wanted.items():
        if name not in given and not value.get("isOptional"):
            raise Refused(
                400, f"parameter {name} is not optional, yet has neither default nor value"
            )


def _now() -> str:
    return datetime.now(UTC).strftime(_SECONDS)


def _one(items: list[Document], key: str, value: str) -> Document:
    for item in items:
        if item[key] == value:
            return item
    raise Refused(404, f"{key} {value} not found")


def _unique(items: list[Document], body: Document) -> None:
    key = (body["display_name"], body.get("namespace", ""))
    if key in {(i["display_name"], i.get("namespace", "")) for i in items}:
        raise Refused(409, f"The name {key[0]} already exists. Please specify a new name")


def _stored(fake: FakeKubeflow, items: list[Document], body: Document, key: str) -> Document:
    made = datetime.now(UTC)
    if items and not fake.one_second:
        made = max(made, datetime.fromisoformat(items[-1]["created_at"]) + timedelta(seconds=1))
    elif items:
        made = datetime.fromisoformat(items[-1]["created_at"])
    stored = body | {key: str(uuid.uuid4()), "created_at": made.strftime(_SECONDS)}
    items.append(stored)
    return stored


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeKubeflow

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        request = self._request()
        self.fake.requests.append(request)
        failure = self.fake.planned(request.method, request.path)
        how = failure.how if failure else ""
        if how == "drop":
            self._gone()
            return
        if isinstance(how, int):
            self._send(how, {"code": 2, "message": "planned failure"})
            return
        try:
            status, answer = 200, self.fake.answer(request)
        except Refused as problem:
            status, answer = problem.status, {"code": 3, "message": problem.message}
        if how == "lose":
            self._gone()
            return
        if failure is not None and how == "slow":
            time.sleep(failure.seconds)
        self._send(status, answer)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815

    def _gone(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            message = BytesParser(policy=HTTP).parsebytes(head + raw)
            (part,) = message.iter_parts()
            body: Any = part.get_payload(decode=True).decode()
        else:
            body = json.loads(raw) if raw and raw != b"null" else None
        path = parts.path.removeprefix("/pipeline")
        return Request(self.command, path, query, body, self.headers.get("authorization", ""))

    def _send(self, status: int, answer: Any) -> None:
        raw = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except OSError:
            self.close_connection = True  # the client has waited long enough


@contextmanager
def kubeflow(**options: Any) -> Iterator[FakeKubeflow]:
    """A fake on a free loopback port, stopped at the end."""
    fake = FakeKubeflow(**options)
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}/pipeline"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
