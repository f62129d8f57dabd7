"""Cloud Run jobs through version 2 of its API: made or replaced, run, looked at, cancelled.

The one module of the SDK that knows Google: who trains there needs no client library of Cloud Run's, only
credentials. They are Application Default Credentials, so no key file.
"""

from __future__ import annotations

from typing import Any, Protocol

import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixPlatform,
    ShouldProvideEngine,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.contracts.placements import CloudRun
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.placements.progress import JobState

ENDPOINT = "https://run.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_S = (10.0, 60.0)
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TOLD = 300
_FAILURES = (requests.RequestException, GoogleAuthError)


class Session(Protocol):
    """What of ``AuthorizedSession`` is used."""

    def request(self, method: str, url: str, **rest: Any) -> requests.Response: ...


class CloudRunJobs:
    """The Cloud Run jobs of one project and region.

    Args:
        placement: names both.
        session: sends requests with credentials; by default with Application Default Credentials.
        endpoint: of the API.
        attempts: how often a call is made.

    Raises:
        ShouldProvideKey: there are no credentials.
    """

    def __init__(
        self,
        placement: CloudRun,
        session: Session | None = None,
        endpoint: str = ENDPOINT,
        attempts: Attempts | None = None,
    ) -> None:
        self._root = f"{endpoint}/v2"
        self._parent = f"projects/{placement.project}/locations/{placement.location}"
        self._endpoint = endpoint
        self._attempts = attempts or Attempts()
        self._session = session or _session()

    def submit(self, name: str, job: dict[str, Any]) -> str:
        """Make or replace a job, run it, and give the execution's full name.

        A job of that name is replaced: its name is that of the question, and an execution that runs already
        keeps the terms that it was started with.

        Raises:
            ShouldAskForScope, ShouldAuthenticate: who asks may not.
            ShouldFixPlatform: the job is refused.
            ShouldRetryLater: the API could not be reached.
        """
        path = f"{self._parent}/jobs/{name}"
        running = self._running(path)
        if running:
            return running
        if self._call("GET", path, f"Looking for the job {name}", missing=True) is None:
            what = f"Making the job {name}"
            made = self._call("POST", f"{self._parent}/jobs?jobId={name}", what, job)
        else:
            made = self._call("PATCH", path, f"Replacing the job {name}", job)
        self._finish(made or {}, f"Making the job {name}")
        started = self._call("POST", f"{path}:run", f"Running the job {name}", {}) or {}
        execution = str((started.get("metadata") or {}).get("name", ""))
        if not execution:
            raise ShouldRetryLater(
                f"Running the job {name}: {self._endpoint} named no execution.",
                "Look at it in the console, then try again.",
            )
        return execution

    def state(self, execution: str) -> JobState:
        """An execution as it is now."""
        found = self._call("GET", execution, f"Looking at {execution.rpartition('/')[2]}") or {}
        return state_of(found)

    def cancel(self, execution: str) -> None:
        """End an execution; one that has ended stays as it is."""
        if not self.state(execution).ended:
            self._call("POST", f"{execution}:cancel", f"Ending {execution.rpartition('/')[2]}", {})

    def _running(self, path: str) -> str:
        """The newest execution that has not ended; "" where there is none."""
        what = f"Looking for executions of {path.rpartition('/')[2]}"
        found = self._call("GET", f"{path}/executions?pageSize=10", what, missing=True) or {}
        for execution in found.get("executions", ()):
            if not state_of(execution).ended:
                return str(execution["name"])
        return ""

    def _finish(self, operation: dict[str, Any], what: str) -> None:
        """Wait for a long-running operation; ``ShouldFixPlatform`` where it ended in an error."""
        for attempt in range(60):
            if operation.get("done") or not operation.get("name"):
                break
            self._attempts.sleep(min(2.0, 0.25 * 2**attempt))
            operation = self._call("GET", str(operation["name"]), what) or {}
        else:
            raise ShouldRetryLater(f"{what}: it is not done.", "Repeat the command.", 30.0)
        error = operation.get("error")
        if error:
            raise ShouldFixPlatform(
                f"{what}: {str(error.get('message', error)).strip().rstrip('.')[:_TOLD]}.",
                "Correct the placement's file.",
            )

    def _call(
        self,
        method: str,
        path: str,
        what: str,
        body: dict[str, Any] | None = None,
        missing: bool = False,
    ) -> dict[str, Any] | None:
        """An answer as JSON; None where ``missing`` is allowed and nothing is there.

        Running a job twice would train twice, so what may have been accepted is not sent again.
        """
        repeatable = method != "POST"
        for attempt in range(self._attempts.most):
            last = attempt + 1 == self._attempts.most
            try:
                answer = self._session.request(
                    method, f"{self._root}/{path}", json=body, timeout=TIMEOUT_S
                )
            except _FAILURES as problem:
                refused = isinstance(problem, GoogleAuthError)
                if refused or last or not repeatable:
                    raise self._unreached(problem, what) from None
            else:
                if answer.status_code < 300:
                    return dict(answer.json())
                if answer.status_code == 404 and missing:
                    return None
                full = answer.status_code in (429, 503)  # nothing was done
                again = answer.status_code in _AGAIN and (repeatable or full)
                if last or not again:
                    raise self._answered(answer, what)
            self._attempts.pause(attempt)
        raise AssertionError  # most >= 1

    def _unreached(self, problem: Exception, what: str) -> EverloopError:
        if isinstance(problem, RefreshError):
            return ShouldAuthenticate(
                f"{what}: Google took the credentials for expired ({str(problem)[:_TOLD]}).",
                "Run gcloud auth application-default login, or see to the workload's identity.",
            )
        return ShouldRetryLater(
            f"{what}: {self._endpoint} cannot be reached ({type(problem).__name__}).",
            "Check the network; if the job is there, the same command goes on with it.",
            30.0,
        )

    def _answered(self, answer: requests.Response, what: str) -> EverloopError:
        try:
            said = str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = answer.reason or "no reason given"
        told = f"{what}: {self._endpoint} answers {answer.status_code}: {said.strip().rstrip('.')[:_TOLD]}."
        kinds: dict[int, tuple[type[EverloopError], str]] = {
            400: (ShouldFixPlatform, "Correct the placement's file."),
            401: (ShouldAuthenticate, "Run gcloud auth application-default login."),
            403: (
                ShouldAskForScope,
                "Ask for roles/run.developer on the project, and roles/iam.serviceAccountUser on the "
                "job's service account; see that run.googleapis.com is enabled.",
            ),
            404: (ShouldProvideEngine, "Check project and location in the placement's file."),
            409: (ShouldResolveConflict, "Somebody changes the same job: try again."),
        }
        kind, remedy = kinds.get(answer.status_code, (ShouldRetryLater, "Try again later."))
        return kind(told, remedy)


def state_of(execution: dict[str, Any]) -> JobState:
    """What an execution says of itself: ended once it has a completion time."""
    conditions = {str(c.get("type", "")): c for c in execution.get("conditions", ())}
    completed = conditions.get("Completed", {})
    told = str(completed.get("message", "")).strip()
    told = told.splitlines()[0][:_TOLD] if told else ""
    if execution.get("completionTime"):
        failed = int(execution.get("failedCount", 0)) + int(execution.get("cancelledCount", 0))
        done = int(execution.get("succeededCount", 0))
        return JobState("succeeded" if done and not failed else "failed", told)
    return JobState("running" if int(execution.get("runningCount", 0)) else "waiting", told)


def _session() -> Session:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as problem:
        raise ShouldProvideKey(
            f"There are no credentials of Google's ({str(problem)[:_TOLD]}).",
            "Run gcloud auth application-default login, or give the workload an identity.",
        ) from None
    session: Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return session
