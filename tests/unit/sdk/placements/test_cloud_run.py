"""Cloud Run jobs: both forms say the same, and the API is driven to the end of an execution."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixPlatform,
    ShouldRetryLater,
)
from everloop.contracts.placements import CloudRun, KubeRay
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.placements.cloud_run import cloud_run_job, cloud_run_manifest
from everloop.sdk.placements.file import load_placement
from everloop.sdk.placements.google import CloudRunJobs, state_of
from everloop.sdk.placements.progress import JobState, Patience, wait_for
from pipelines.platform_file import load_platform
from tests.unit.sdk.placements.servers import ENDED, FakeCloudRun, serving
from tests.unit.sdk.placements.terms import IMAGE, a_cloud_run

NAME = "everloop-companion-ppo-0123456789ab"
COMMAND = ("everloop", "train", "policy", "--from", "run-1", "--publish")
JOB = cloud_run_job(a_cloud_run(), COMMAND)
DONE = {"succeededCount": 1, "runningCount": 0, **ENDED}
PARENT = "/v2/projects/a-project/locations/europe-west4"


@pytest.fixture
def cloud() -> Iterator[FakeCloudRun]:
    with serving(FakeCloudRun()) as fake:
        assert isinstance(fake, FakeCloudRun)
        yield fake


@pytest.fixture
def jobs(cloud: FakeCloudRun) -> Iterator[CloudRunJobs]:
    with requests.Session() as session:
        yield CloudRunJobs(
            a_cloud_run(), session, cloud.address, Attempts(3, 0.0, 0.0, sleep=lambda _: None)
        )


def test_both_forms_say_the_same() -> None:
    task = JOB["template"]["template"]
    manifest = cloud_run_manifest(a_cloud_run(), NAME, COMMAND)
    assert (manifest["apiVersion"], manifest["kind"]) == ("run.googleapis.com/v1", "Job")
    assert manifest["metadata"]["labels"]["cloud.googleapis.com/location"] == "europe-west4"
    execution = manifest["spec"]["template"]
    spec = execution["spec"]["template"]["spec"]
    assert (spec["maxRetries"], task["maxRetries"]) == (2, 2)
    assert (spec["timeoutSeconds"], task["timeout"]) == ("1800", "1800s")
    assert spec["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert task["nodeSelector"] == {"accelerator": "nvidia-l4"}
    assert task["gpuZonalRedundancyDisabled"] is True
    assert execution["metadata"]["annotations"] == {
        "run.googleapis.com/execution-environment": "gen2",
        "run.googleapis.com/gpu-zonal-redundancy-disabled": "true",
    }
    account = "training@a-project.iam.gserviceaccount.com"
    assert spec["serviceAccountName"] == task["serviceAccount"] == account
    (ours,), (theirs,) = spec["containers"], task["containers"]
    for name in ("image", "command", "args", "resources"):
        assert ours[name] == theirs[name]
    assert ours["image"] == IMAGE
    assert [*ours["command"], *ours["args"]] == list(COMMAND)
    limits = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert ours["resources"]["limits"] == limits
    plain = [
        {"name": "EVERLOOP_HOME", "value": "/workspace"},
        {"name": "EVERLOOP_STORAGE_URL", "value": "gs://bucket/everloop"},
        {"name": "OMP_NUM_THREADS", "value": "1"},
    ]
    assert ours["env"] == [
        *plain,
        {
            "name": "EVERLOOP_DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": "database-url", "key": "latest"}},
        },
    ]
    assert theirs["env"] == [
        *plain,
        {
            "name": "EVERLOOP_DATABASE_URL",
            "valueSource": {"secretKeyRef": {"secret": "database-url", "version": "latest"}},
        },
    ]


def test_a_private_database_is_reached_and_its_certificate_is_a_file() -> None:
    path = "/etc/everloop/database/server-ca.pem"
    placement = a_cloud_run(
        network="net", subnet="nodes", files={path: {"secret": "database-ca", "key": "3"}}
    )
    task = cloud_run_job(placement, COMMAND)["template"]["template"]
    execution = cloud_run_manifest(placement, NAME, COMMAND)["spec"]["template"]
    spec = execution["spec"]["template"]["spec"]
    assert task["vpcAccess"] == {
        "networkInterfaces": [{"network": "net", "subnetwork": "nodes"}],
        "egress": "PRIVATE_RANGES_ONLY",
    }
    annotations = execution["metadata"]["annotations"]
    assert json.loads(annotations["run.googleapis.com/network-interfaces"]) == [
        {"network": "net", "subnetwork": "nodes"}
    ]
    assert annotations["run.googleapis.com/vpc-access-egress"] == "private-ranges-only"
    mounts = [{"name": "file-1", "mountPath": "/etc/everloop/database"}]
    assert task["containers"][0]["volumeMounts"] == spec["containers"][0]["volumeMounts"] == mounts
    file = "server-ca.pem"
    secret = {"secret": "database-ca", "items": [{"path": file, "version": "3"}]}
    assert task["volumes"] == [{"name": "file-1", "secret": secret}]
    shown = {"secretName": "database-ca", "items": [{"key": "3", "path": file}]}
    assert spec["volumes"] == [{"name": "file-1", "secret": shown}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "net"}, "network and subnet belong together"),
        (
            {"files": {f"/a/{n}": {"secret": "s", "key": "1"} for n in "xy"}},
            "a folder of its own",
        ),
        ({"files": {"/x": {"secret": "s", "key": "1"}}}, "a folder of its own"),
    ],
)
def test_a_network_and_files_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        a_cloud_run(**changes)


def test_the_examples_mount_the_certificate_that_terraforms_url_names() -> None:
    root = Path(__file__).parents[4] / "infra"
    found = re.search(
        r'database_certificate_path = "([^"]+)"', (root / "terraform" / "secrets.tf").read_text()
    )
    assert found is not None
    cloud_run = load_placement(root / "ray" / "cloud_run.yaml")
    assert isinstance(cloud_run, CloudRun)
    assert found[1] in cloud_run.files
    kuberay = load_placement(root / "ray" / "kuberay.yaml")
    assert isinstance(kuberay, KubeRay)
    steps = load_platform(root / "kubeflow" / "platform.yaml").needs_of("gate")
    for needs in (kuberay.head_needs, kuberay.worker_needs, steps):
        folders = [volume.mount_path for volume in needs.volumes if volume.secret]
        assert str(Path(found[1]).parent) in folders


def test_without_a_gpu_nothing_speaks_of_one() -> None:
    needs: dict[str, Any] = {
        "image": IMAGE,
        "cpu": {"limit": 2},
        "memory": {"limit": "2Gi"},
        "env": {"EVERLOOP_STORAGE_URL": "gs://b/p"},
        "secrets": {"EVERLOOP_DATABASE_URL": {"secret": "d", "key": "1"}},
    }
    placement = a_cloud_run(gpu_type="", needs=needs, deadline="5h")
    shown = str(cloud_run_job(placement, COMMAND)) + str(
        cloud_run_manifest(placement, NAME, COMMAND)
    )
    assert "gpu" not in shown.lower()
    assert "ccelerator" not in shown


def test_a_job_is_made_run_and_waited_for(cloud: FakeCloudRun, jobs: CloudRunJobs) -> None:
    cloud.steps = [{}, {"runningCount": 1}, {"runningCount": 1}, DONE]
    execution = jobs.submit(NAME, JOB)
    told = [(asked.method, asked.path.removeprefix(PARENT)) for asked in cloud.asked]
    assert told == [
        ("GET", f"/jobs/{NAME}/executions?pageSize=10"),
        ("GET", f"/jobs/{NAME}"),
        ("POST", f"/jobs?jobId={NAME}"),
        ("GET", "/operations/make"),
        ("GET", "/operations/make"),
        ("POST", f"/jobs/{NAME}:run"),
    ]
    assert cloud.asked[2].body == JOB
    heard: list[JobState] = []
    assert wait_for(NAME, lambda: jobs.state(execution), Patience(9, 0), heard.append).ended
    assert [state.phase for state in heard] == ["waiting", "running", "succeeded"]


def test_a_job_that_is_there_is_replaced_and_one_that_runs_is_left_alone(
    cloud: FakeCloudRun, jobs: CloudRunJobs
) -> None:
    cloud.steps = [{"runningCount": 1}]
    first = jobs.submit(NAME, JOB)
    assert jobs.submit(NAME, JOB) == first
    assert cloud.methods().count("POST") == 2
    cloud.executions[first] |= DONE
    cloud.looks = 0
    again = cloud_run_job(a_cloud_run(retries=0), COMMAND)
    jobs.submit(NAME, again)
    assert cloud.methods().count("PATCH") == 1
    assert cloud.jobs[NAME] == again


def test_an_execution_that_runs_is_cancelled(cloud: FakeCloudRun, jobs: CloudRunJobs) -> None:
    execution = jobs.submit(NAME, JOB)
    jobs.cancel(execution)
    assert jobs.state(execution).phase == "failed"
    before = len(cloud.asked)
    jobs.cancel(execution)
    assert [asked.method for asked in cloud.asked[before:]] == ["GET"]


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, ShouldFixPlatform, "placement's file"),
        (401, ShouldAuthenticate, "gcloud auth"),
        (403, ShouldAskForScope, "roles/run.developer"),
        (500, ShouldRetryLater, "later"),
    ],
)
def test_refusals_name_the_fix(
    cloud: FakeCloudRun, jobs: CloudRunJobs, status: int, kind: type[EverloopError], said: str
) -> None:
    cloud.failures = [status] * 3
    with pytest.raises(kind, match=rf"answers {status}: made to fail") as found:
        jobs.submit(NAME, JOB)
    assert said in str(found.value)
    assert len(cloud.asked) == (3 if status == 500 else 1)


def test_a_question_is_repeated_and_an_order_is_not_given_twice(
    cloud: FakeCloudRun, jobs: CloudRunJobs
) -> None:
    cloud.failures = [503, 0]
    jobs.submit(NAME, JOB)
    assert cloud.methods()[:3] == ["GET", "GET", "GET"]
    cloud.asked.clear()
    cloud.executions.clear()
    cloud.looks = 0
    # the run's own answer is lost: whether it was taken is unknown, so it is not sent again
    cloud.failures = [-1, -1, -1, -1, -1, 0]
    with pytest.raises(ShouldRetryLater, match=r"Running the job .* cannot be reached"):
        jobs.submit(NAME, JOB)
    assert [asked.path for asked in cloud.asked].count(f"{PARENT}/jobs/{NAME}:run") == 1


def test_a_refused_job_is_told(cloud: FakeCloudRun, jobs: CloudRunJobs) -> None:
    cloud.refusal = "quota of nvidia-l4 exceeded"
    with pytest.raises(ShouldFixPlatform, match=r"Making the job .*quota of nvidia-l4 exceeded"):
        jobs.submit(NAME, JOB)


@pytest.mark.parametrize(
    ("execution", "state"),
    [
        ({}, JobState("waiting")),
        ({"runningCount": 1}, JobState("running")),
        (DONE, JobState("succeeded")),
        (
            {
                "failedCount": 1,
                **ENDED,
                "conditions": [{"type": "Completed", "message": "Task failed.\nmore"}],
            },
            JobState("failed", "Task failed."),
        ),
        ({"cancelledCount": 1, **ENDED}, JobState("failed")),
        (ENDED, JobState("failed")),
    ],
)
def test_an_execution_is_read_as_it_is_meant(execution: dict[str, Any], state: JobState) -> None:
    assert state_of(execution) == state
