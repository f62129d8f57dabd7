"""The synthetic routes: jobs asked for, seen and fetched; what stays inside; and statistics."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from everloop import settings
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import MOST_OPEN_JOBS
from everloop.sdk.synthetic.people import work_on
from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.serving.service import Service
from tests.log_records import DAY, NOON, episode, signal, uuid_of
from tests.made_releases import release_people
from tests.served import new_key
from tests.two_tenants import LOOP

HERE = "/api/ml/synthetic"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    settings.initialise(folder / "home")
    loop = folder / "coach.yaml"
    loop.write_text(LOOP)
    with opened(ServiceConfig(home=folder / "home", loops=(str(loop),), train=False)) as running:
        release_people(running.workspace, running.loops["coach"], folder / "made", day=DAY)
        yield running


class Asking:
    """Requests with a key that may do everything, on one event loop."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        key = new_key(service.workspace.home)
        self._runner = runner
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=create_app(service)),
            base_url="http://everloop",
            headers={"Authorization": f"Bearer {key}"},
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.get(path, **more))

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.post(path, **more))


@pytest.fixture
def client(service: Service) -> Iterator[Asking]:
    with asyncio.Runner() as runner:
        yield Asking(service, runner)
    for job in service.workspace.synthetic_jobs.jobs():
        if job.open:
            finish(service, job.job_id)


def finish(service: Service, job_id: str) -> None:
    workspace = service.workspace
    job = workspace.synthetic_jobs.job(job_id)
    work_on(workspace, service.loops["coach"], job)


def asked(client: Asking, **body: Any) -> dict[str, Any]:
    response = client.post(f"{HERE}/generate", json={"n": 5, "days": 2} | body)
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json()
    return found


def test_people_are_asked_for_made_and_fetched(
    service: Service, client: Asking, tmp_path: Path
) -> None:
    job = asked(client, seed=3, variance=0.5, edge_share=0.2)
    assert (job["kind"], job["state"], job["done"], job["total"]) == ("generate", "queued", 0, 5)
    assert job["parameters"]["n"] == 5
    assert job["parameters"]["start"] == DAY.isoformat()
    assert job["parameters"]["per_person"] is None
    assert {release["stage"] for release in job["releases"]} == {"profiles", "user_model"}
    assert "--no-train" in job["note"]
    early = client.get(f"{HERE}/jobs/{job['job_id']}/file")
    assert early.status_code == 409
    assert "queued" in early.json()["detail"]

    finish(service, job["job_id"])
    seen = client.get(f"{HERE}/jobs/{job['job_id']}").json()
    assert (seen["state"], seen["done"], seen["error"], seen["note"]) == ("succeeded", 5, "", "")
    (file,) = seen["files"]
    assert (file["name"], file["rows"]) == ("profiles.parquet", 5)
    answer = client.get(file["href"])
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert 'filename="coach-profiles.parquet"' in answer.headers["content-disposition"]
    assert answer.headers["x-everloop-sha256"] == file["sha256"]
    assert len(answer.content) == file["size"]
    path = tmp_path / "p.parquet"
    path.write_bytes(answer.content)
    table = pq.read_table(path)
    assert set(table["source"].to_pylist()) == {"generated"}
    assert sum(table["edge"].to_pylist()) == 1
    told = service.workspace.audit.entries("default", 0, 1000)[-1]
    assert (told.action, told.resource, told.rows) == ("synthetic.download", job["job_id"], 5)
    listed = client.get(f"{HERE}/jobs", params={"loop": "coach", "limit": 1}).json()["jobs"]
    assert [one["job_id"] for one in listed] == [job["job_id"]]


def test_json_lines(service: Service, client: Asking) -> None:
    job = asked(client, format="json")
    finish(service, job["job_id"])
    answer = client.get(f"{HERE}/jobs/{job['job_id']}/file")
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 5
    assert all(len(row["persona_vector"]) == 512 and row["interaction_history"] for row in rows)


def test_the_same_request_is_the_same_job(service: Service, client: Asking) -> None:
    name = str(uuid.uuid4())
    first = asked(client, seed=11, job_id=name)
    assert first["job_id"] == name
    assert asked(client, seed=11, job_id=name.upper()) == first
    assert asked(client, seed=11)["job_id"] == name, "while it is open"
    clash = client.post(f"{HERE}/generate", json={"n": 6, "days": 2, "seed": 11, "job_id": name})
    assert clash.status_code == 409
    assert "other parameters" in clash.json()["detail"]
    finish(service, name)
    assert asked(client, seed=11, job_id=name)["state"] == "succeeded"
    assert asked(client, seed=11)["job_id"] != name


def test_an_augmentation_is_never_given_away(service: Service, client: Asking) -> None:
    workspace = service.workspace
    for number in range(1, 5):
        workspace.log.append_episodes(
            [
                episode(
                    number,
                    NOON - timedelta(days=4),
                    loop="coach",
                    user_id=f"{number:02x}" * 32,
                    context_snapshot={"x": 0.5},
                    action_taken="walk",
                    valid_actions=("wait", "walk", "music"),
                )
            ]
        )
        workspace.log.append_signals([signal(number, number, signal_type="engagement")])
    response = client.post(f"{HERE}/augment", json={"per_person": 2, "date": DAY.isoformat()})
    assert response.status_code == 202
    job = response.json()
    assert (job["kind"], job["files"], job["parameters"]["per_person"]) == ("augment", [], 2)
    finish(service, job["job_id"])
    seen = client.get(f"{HERE}/jobs/{job['job_id']}").json()
    assert (seen["state"], seen["files"]) == ("succeeded", [])
    fetched = client.get(f"{HERE}/jobs/{job['job_id']}/file")
    assert fetched.status_code == 409
    assert fetched.json()["title"] == "ShouldStayInside"
    assert "stays inside" in fetched.json()["detail"]

    inside = {
        profile.profile_id
        for profile in workspace.profiles.profiles("coach")
        if profile.source.value != "generated"
    }
    assert inside
    made = asked(client, seed=21, format="json")
    finish(service, made["job_id"])
    given = client.get(f"{HERE}/jobs/{made['job_id']}/file").text
    everything = [
        given,
        client.get(f"{HERE}/jobs").text,
        client.get(f"{HERE}/stats").text,
    ]
    assert not [name for name in inside for text in everything if name in text]


def test_real_people_are_not_counted_for_anybody_outside(service: Service, client: Asking) -> None:
    store = service.workspace.synthetic_jobs
    response = client.post(f"{HERE}/augment", json={"date": DAY.isoformat(), "seed": 5})
    job = response.json()
    assert (job["done"], job["total"]) == (None, None)
    held = store.claim("w", NOON, 60.0, job_id=job["job_id"])
    assert held is not None
    assert store.progress(job["job_id"], "w", 8, 16, NOON)
    left = replace(held, state=JobState.SUCCEEDED, done=16, total=16, finished_at=NOON)
    assert store.finish(left, "w")
    shown = [client.get(f"{HERE}/jobs/{job['job_id']}").json()]
    shown += [one for one in client.get(f"{HERE}/jobs").json()["jobs"] if one["kind"] == "augment"]
    assert {(one["done"], one["total"]) for one in shown} == {(None, None)}

    person = SyntheticProfile("p", (0.0,) * 512, {}, (), ProfileSource.REAL, "")
    service.workspace.profiles.append([person], "coach")
    finish(service, asked(client, seed=51)["job_id"])
    found = client.get(f"{HERE}/stats").json()
    assert found["profiles"]["generated"] > 0
    assert (found["profiles"]["real"], found["profiles"]["augmented"]) == (None, None)
    assert {one["source"] for one in found["by_release"]} == {"generated"}


def test_without_releases_the_fix_is_told(service: Service, client: Asking) -> None:
    key = new_key(service.workspace.home, "other")
    for route, body in (("generate", {"n": 5}), ("augment", {})):
        response = client.post(
            f"{HERE}/{route}", json=body, headers={"Authorization": f"Bearer {key}"}
        )
        assert response.status_code == 409
        problem = response.json()
        assert problem["title"] == "ShouldCollectMoreData"
        assert "daily graph" in problem["remedy"]


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("generate", {}, "n"),
        ("generate", {"n": 0}, "n"),
        ("generate", {"n": 1_000_001}, "n"),
        ("generate", {"n": True}, "n"),
        ("generate", {"n": 5, "days": True}, "days"),
        ("generate", {"n": 5, "seed": False}, "seed"),
        ("generate", {"n": 5, "edge_share": True}, "edge_share"),
        ("generate", {"n": 5, "variance": True}, "variance"),
        ("augment", {"per_person": True}, "per_person"),
        ("augment", {"seed": True}, "seed"),
        ("generate", {"n": 5, "variance": 0}, "variance"),
        ("generate", {"n": 5, "edge_share": 2}, "edge_share"),
        ("generate", {"n": 5, "days": 400}, "days"),
        ("generate", {"n": 5, "format": "csv"}, "format"),
        ("generate", {"n": 5, "seed": -1}, "seed"),
        ("generate", {"n": 5, "copies": 1}, "copies"),
        ("augment", {"per_person": 0}, "per_person"),
        ("augment", {"per_person": 101}, "per_person"),
    ],
)
def test_what_is_out_of_range_is_refused(
    client: Asking, route: str, body: dict[str, Any], field: str
) -> None:
    response = client.post(f"{HERE}/{route}", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert field in {error["field"].split(".")[-1] for error in response.json()["errors"]}


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("generate", {"n": 5, "days": 366, "start": "9999-12-31"}, "start=9999-12-31"),
        ("generate", {"n": 5, "start": "0001-01-01"}, "start=0001-01-01"),
        ("generate", {"n": 5, "days": 31, "start": "2999-12-01"}, "days=31"),
        ("augment", {"date": "9999-12-31"}, "logical_date=9999-12-31"),
    ],
)
def test_days_outside_the_calendar_are_refused(
    client: Asking, route: str, body: dict[str, Any], named: str
) -> None:
    response = client.post(f"{HERE}/{route}", json=body)
    assert response.status_code == 422, response.text
    assert named in response.json()["detail"]


def test_why_a_job_failed_is_told_without_places_of_the_server(
    service: Service, client: Asking
) -> None:
    store = service.workspace.synthetic_jobs
    for seed, error, told in (
        (71, "/srv/everloop/blobs/ab/model.npz is damaged.", "model.npz is damaged."),
        (72, "Traceback (most recent call last)\n File '/srv/x.py'", "It failed unexpectedly"),
        (73, "n=3 of 1/2 is not within 1..2. Ask again.", "n=3 of 1/2 is not within 1..2."),
    ):
        job = asked(client, seed=seed)
        held = store.claim("w", NOON, 60.0, job_id=job["job_id"])
        assert held is not None
        failed = replace(held, state=JobState.FAILED, error=error, finished_at=NOON)
        assert store.finish(failed, "w")
        seen = client.get(f"{HERE}/jobs/{job['job_id']}").json()
        assert seen["error"].startswith(told)
        assert "/srv" not in seen["error"]


def test_ids_that_name_nothing(client: Asking) -> None:
    for name in ("no-uuid", uuid_of(1, "nothing")):
        assert client.get(f"{HERE}/jobs/{name}").status_code == 404
        assert client.get(f"{HERE}/jobs/{name}/file").status_code == 404
    response = client.post(f"{HERE}/generate", json={"n": 5, "job_id": "x" * 36})
    assert response.status_code == 422
    assert client.get(f"{HERE}/stats", params={"loop": "nope"}).status_code == 404


def test_a_full_queue_asks_to_wait(service: Service, client: Asking) -> None:
    for seed in range(MOST_OPEN_JOBS):
        asked(client, n=1, seed=100 + seed)
    response = client.post(f"{HERE}/generate", json={"n": 1, "days": 2, "seed": 99})
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1


def test_statistics(service: Service, client: Asking) -> None:
    finish(service, asked(client, seed=31)["job_id"])
    found = client.get(f"{HERE}/stats").json()
    assert found["loop"] == "coach"
    assert found["profiles"]["generated"] >= 5
    assert {release["stage"] for release in found["releases"]} == {"profiles", "user_model"}
    budget = found["budget"]
    assert (budget["epsilon_budget"], budget["delta"], budget["period_days"]) == (1.0, 1e-5, 365)
    assert found["quality"] == []
