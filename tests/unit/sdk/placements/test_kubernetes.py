"""RayJobs are made once, waited for and deleted; what goes wrong is told with its fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldFixPlatform,
    ShouldProvideEngine,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.placements.kuberay import ray_job
from everloop.sdk.placements.kubernetes import DIGEST, RayJobs, state_of
from everloop.sdk.placements.progress import JobState, Patience, wait_for
from tests.unit.sdk.placements.servers import FakeKubernetes, serving
from tests.unit.sdk.placements.terms import a_kuberay

NAME = "everloop-companion-ppo-0123456789ab"
MANIFEST = ray_job(a_kuberay(), NAME, ("everloop", "train"))
COMPLETE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {
    "jobDeploymentStatus": "Failed",
    "jobStatus": "FAILED",
    "reason": "AppFailed",
    "message": "error: nothing to learn from\nTraceback",
}


@pytest.fixture
def cluster() -> Iterator[FakeKubernetes]:
    with serving(FakeKubernetes()) as fake:
        assert isinstance(fake, FakeKubernetes)
        yield fake


@pytest.fixture
def kubeconfig(cluster: FakeKubernetes, tmp_path: Path) -> Path:
    return written(tmp_path, cluster.address)


def written(folder: Path, server: str) -> Path:
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "a-token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(json.dumps(document))
    return file


def jobs_of(kubeconfig: Path, most: int = 4) -> RayJobs:
    return RayJobs("everloop", kubeconfig, attempts=Attempts(most, 0.0, 0.0))


def test_a_job_is_made_and_waited_for(cluster: FakeKubernetes, kubeconfig: Path) -> None:
    cluster.steps = [
        {"jobDeploymentStatus": "Initializing"},
        {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
        {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
        COMPLETE,
    ]
    jobs = jobs_of(kubeconfig)
    assert jobs.submit(MANIFEST) is True
    (asked,) = cluster.asked
    assert (asked.method, asked.authorization) == ("POST", "Bearer a-token")
    assert asked.path == "/apis/ray.io/v1/namespaces/everloop/rayjobs"
    assert asked.body["spec"] == MANIFEST["spec"]
    assert len(asked.body["metadata"]["annotations"][DIGEST]) == 32
    heard: list[JobState] = []
    ended = wait_for(NAME, lambda: jobs.state(NAME), Patience(60, 0), heard.append)
    assert ended.phase == "succeeded"
    assert [state.phase for state in heard] == ["waiting", "running", "succeeded"]


def test_the_same_job_is_found_and_another_of_its_name_is_not_touched(
    cluster: FakeKubernetes, kubeconfig: Path
) -> None:
    jobs = jobs_of(kubeconfig)
    jobs.submit(MANIFEST)
    assert jobs.submit(MANIFEST) is False
    other = ray_job(a_kuberay(runners=2), NAME, ("everloop", "train", "else"))
    with pytest.raises(ShouldResolveConflict, match=f"RayJob {NAME} with other terms.*kubectl"):
        jobs.submit(other)
    assert list(cluster.jobs) == [NAME]
    assert cluster.jobs[NAME]["spec"] == MANIFEST["spec"]
    cluster.steps = [FAILED]
    with pytest.raises(ShouldResolveConflict, match=r"failed before .AppFailed: error: nothing"):
        jobs.submit(MANIFEST)


@pytest.mark.parametrize("failure", [0, 503])
def test_an_answer_that_was_lost_makes_no_second_job(
    cluster: FakeKubernetes, kubeconfig: Path, failure: int
) -> None:
    jobs = jobs_of(kubeconfig)
    cluster.failures = [failure]
    assert jobs.submit(MANIFEST) is True
    assert cluster.methods() == ["POST", "POST"]
    cluster.failures = [failure, failure]
    assert jobs.submit(MANIFEST) is False
    assert jobs.state(NAME) == JobState("waiting")


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, ShouldAuthenticate, "Log in"),
        (403, ShouldAskForScope, "create, get and delete of rayjobs.ray.io in everloop"),
        (404, ShouldProvideEngine, "Install KubeRay's operator"),
        (422, ShouldFixPlatform, "placement's file"),
        (500, ShouldRetryLater, "later"),
    ],
)
def test_refusals_name_the_fix(
    cluster: FakeKubernetes, kubeconfig: Path, status: int, kind: type[EverloopError], said: str
) -> None:
    cluster.failures = [status] * 4
    with pytest.raises(kind, match=rf"RayJob {NAME}: {cluster.address} answers {status}") as found:
        jobs_of(kubeconfig).submit(MANIFEST)
    assert said in str(found.value)
    assert len(cluster.asked) == (4 if status == 500 else 1)


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShouldRetryLater, match=r"127\.0\.0\.1:9 cannot be reached"):
        jobs_of(written(tmp_path, "http://127.0.0.1:9"), 2).submit(MANIFEST)
    with pytest.raises(ShouldProvideKey, match="Nothing says which Kubernetes cluster"):
        RayJobs("everloop", tmp_path / "no-such-file")


def test_a_job_is_deleted_once(cluster: FakeKubernetes, kubeconfig: Path) -> None:
    jobs = jobs_of(kubeconfig)
    jobs.submit(MANIFEST)
    jobs.delete(NAME)
    assert cluster.jobs == {}
    jobs.delete(NAME)


def test_waiting_ends(cluster: FakeKubernetes, kubeconfig: Path) -> None:
    jobs = jobs_of(kubeconfig)
    jobs.submit(MANIFEST)
    cluster.steps = [{"jobDeploymentStatus": "Running"}]
    now = iter(range(100))
    patience = Patience(3, 0, clock=lambda: float(next(now)))
    with pytest.raises(ShouldRetryLater, match="has not ended after 3 s: it is running"):
        wait_for(NAME, lambda: jobs.state(NAME), patience)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, JobState("waiting")),
        ({"jobDeploymentStatus": "Retrying"}, JobState("waiting", "Retrying")),
        (
            {"jobDeploymentStatus": "Complete", "jobStatus": "FAILED"},
            JobState("failed", "Complete"),
        ),
        (FAILED, JobState("failed", "AppFailed: error: nothing to learn from")),
        (
            {"jobDeploymentStatus": "ValidationFailed", "message": "name too long"},
            JobState("failed", "name too long"),
        ),
    ],
)
def test_a_status_is_read_as_the_operator_means_it(status: dict[str, str], state: JobState) -> None:
    assert state_of({"status": status}) == state


def test_a_file_that_is_no_kubeconfig_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "passwd"
    wrong.write_text("root:x:0:0:root:/root:/bin/bash\n")
    with pytest.raises((ShouldFixArgument, ShouldProvideKey)):
        RayJobs("team", wrong)
