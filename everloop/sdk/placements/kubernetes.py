"""RayJobs on a cluster, through the Kubernetes client: made once, looked at, deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import kubernetes
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

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
from everloop.sdk.kubeflow.failures import Attempts, answer_of
from everloop.sdk.placements.kuberay import API, PLURAL, VERSION
from everloop.sdk.placements.progress import JobState, Phase

T = TypeVar("T")
TIMEOUT_S = (10.0, 30.0)
"""For a connection to open, and for an answer, seconds."""
DIGEST = "everloop.dev/manifest"
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TOLD = 300
_PHASES: dict[str, Phase] = {
    "Complete": "succeeded",
    "Failed": "failed",
    "ValidationFailed": "failed",
    "Running": "running",
}
"""``status.jobDeploymentStatus`` of a RayJob; every other one is before or between."""


class RayJobs:
    """The RayJobs of one namespace.

    Args:
        namespace: of all of them.
        kubeconfig: file and context that say which cluster; by default the pod's own, else kubectl's.
        attempts: how often a call is made.

    Raises:
        ShouldProvideKey: nothing says which cluster.
    """

    def __init__(
        self,
        namespace: str,
        kubeconfig: Path | None = None,
        context: str | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._namespace = namespace
        self._attempts = attempts or Attempts()
        configuration = _configuration(kubeconfig, context)
        configuration.retries = False  # each call is repeated by us alone
        self._host = configuration.host
        self._api = kubernetes.client.CustomObjectsApi(kubernetes.client.ApiClient(configuration))

    def submit(self, manifest: dict[str, Any]) -> bool:
        """Make a RayJob; False where the very same one is there already.

        Raises:
            ShouldResolveConflict: another one has its name, or the same one failed.
            ShouldAskForScope, ShouldAuthenticate: who asks may not.
            ShouldProvideEngine: the cluster knows no RayJobs.
            ShouldRetryLater: it could not be reached.
        """
        name = str(manifest["metadata"]["name"])
        asked = _signed(manifest)
        for attempt in range(self._attempts.most):
            try:
                self._api.create_namespaced_custom_object(
                    *self._place, asked, _request_timeout=TIMEOUT_S
                )
            except (ApiException, HTTPError) as problem:
                taken = isinstance(problem, ApiException) and problem.status == 409
                if not taken and (attempt + 1 == self._attempts.most or not _may_pass(problem)):
                    raise self._explained(problem, f"Making the RayJob {name}") from None
                if taken:
                    # an answer that was lost may have made it: only another one is in the way
                    self._require_same(name, asked)
                    return False
                self._attempts.pause(attempt)
            else:
                return True
        raise AssertionError  # most >= 1

    def state(self, name: str) -> JobState:
        """A RayJob as it is now."""
        return state_of(self._get(name))

    def delete(self, name: str) -> None:
        """Delete a RayJob with its cluster; one that is not there is deleted already."""

        def deleted() -> None:
            try:
                self._api.delete_namespaced_custom_object(
                    *self._place,
                    name,
                    propagation_policy="Background",
                    _request_timeout=TIMEOUT_S,
                )
            except ApiException as problem:
                if problem.status != 404:
                    raise

        self._again(f"Deleting the RayJob {name}", deleted)

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return API, VERSION, self._namespace, PLURAL

    def _get(self, name: str) -> dict[str, Any]:
        return self._again(
            f"Looking at the RayJob {name}",
            lambda: dict(
                self._api.get_namespaced_custom_object(
                    *self._place, name, _request_timeout=TIMEOUT_S
                )
            ),
        )

    def _require_same(self, name: str, asked: dict[str, Any]) -> None:
        there = self._get(name)
        signed = there.get("metadata", {}).get("annotations", {}).get(DIGEST)
        remedy = f"kubectl -n {self._namespace} delete rayjob {name}, then try again."
        if signed != asked["metadata"]["annotations"][DIGEST]:
            raise ShouldResolveConflict(
                f"Namespace {self._namespace} has a RayJob {name} with other terms.",
                f"Wait for it, or: {remedy}",
            )
        state = state_of(there)
        if state.phase == "failed":
            raise ShouldResolveConflict(
                f"The RayJob {name} failed before ({state.told or 'no reason given'}).",
                f"See to that, then: {remedy} It continues from the last checkpoint.",
            )

    def _again(self, what: str, call: Callable[[], T]) -> T:
        for attempt in range(self._attempts.most):
            try:
                return call()
            except (ApiException, HTTPError) as problem:
                if attempt + 1 == self._attempts.most or not _may_pass(problem):
                    raise self._explained(problem, what) from None
                self._attempts.pause(attempt)
        raise AssertionError  # most >= 1

    def _explained(self, problem: Exception, what: str) -> EverloopError:
        if not isinstance(problem, ApiException):
            reason = problem.reason if isinstance(problem, MaxRetryError) else problem
            if isinstance(reason, SSLError):
                return ShouldFixPlatform(
                    f"{what}: the certificate of {self._host} is not trusted.",
                    "Correct certificate-authority in the kubeconfig.",
                )
            return ShouldRetryLater(
                f"{what}: {self._host} cannot be reached ({str(reason).rpartition(': ')[2][:_TOLD]}).",
                "Check the kubeconfig's context, and that this machine may reach the cluster.",
                30.0,
            )
        said = answer_of(problem)
        kinds: dict[int, tuple[type[EverloopError], str]] = {
            400: (ShouldFixArgument, "Correct what it names."),
            401: (ShouldAuthenticate, "Log in to the cluster again."),
            403: (
                ShouldAskForScope,
                f"Ask for create, get and delete of rayjobs.ray.io in {self._namespace}.",
            ),
            404: (
                ShouldProvideEngine,
                f"Install KubeRay's operator, and see that namespace {self._namespace} and the job exist.",
            ),
            422: (ShouldFixPlatform, "Correct the placement's file."),
        }
        if problem.status in kinds:
            kind, remedy = kinds[problem.status]
            return kind(f"{what}: {self._host} answers {problem.status}: {said}.", remedy)
        return ShouldRetryLater(
            f"{what}: {self._host} answers {problem.status}: {said}.", "Try again later.", 30.0
        )


def state_of(job: dict[str, Any]) -> JobState:
    """What a RayJob's status says; one that ended with Ray's job failed, failed."""
    status = job.get("status") or {}
    deployment, ray = str(status.get("jobDeploymentStatus", "")), str(status.get("jobStatus", ""))
    phase: Phase = _PHASES.get(deployment, "waiting")
    if phase == "succeeded" and ray not in ("", "SUCCEEDED"):
        phase = "failed"
    words = [str(status.get(name, "")) for name in ("reason", "message")]
    told = ": ".join(word.strip() for word in words if word.strip()) or deployment
    return JobState(phase, told.splitlines()[0][:_TOLD] if told else "")


def _signed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own digest, so that a job that is there can be told from another one."""

    digest = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]
    metadata = manifest["metadata"]
    annotations = dict(metadata.get("annotations", {})) | {DIGEST: digest}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def _configuration(kubeconfig: Path | None, context: str | None) -> Any:
    configuration = kubernetes.client.Configuration()
    try:
        if kubeconfig is None and context is None:
            try:
                kubernetes.config.load_incluster_config(client_configuration=configuration)
            except ConfigException:
                kubernetes.config.load_kube_config(client_configuration=configuration)
        else:
            kubernetes.config.load_kube_config(
                None if kubeconfig is None else str(kubeconfig),
                context=context,
                client_configuration=configuration,
            )
    except (ConfigException, OSError) as problem:
        raise ShouldProvideKey(
            f"Nothing says which Kubernetes cluster ({str(problem)[:_TOLD]}).",
            "Give --kubeconfig and --context, or log in with kubectl.",
        ) from None
    except (
        Exception
    ) as problem:  # the client reads any file as YAML and stumbles over what it finds
        raise ShouldFixArgument(
            f"{kubeconfig or 'kubectl config'} is no kubeconfig ({type(problem).__name__}).",
            "Give the file that kubectl uses.",
        ) from problem
    return configuration


def _may_pass(problem: Exception) -> bool:
    if isinstance(problem, ApiException):
        return problem.status in _AGAIN
    reason = problem.reason if isinstance(problem, MaxRetryError) else problem
    return not isinstance(reason, SSLError)
