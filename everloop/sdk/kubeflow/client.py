"""A cluster's Kubeflow Pipelines: versions, runs and recurring runs, each made at most once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import kfp_server_api

from everloop.contracts.platform import Platform
from everloop.sdk.kubeflow.connection import connect, links_aside
from everloop.sdk.kubeflow.failures import Attempts, Caller
from everloop.sdk.kubeflow.records import (
    ClusterRun,
    ClusterTask,
    RunRequest,
    RunState,
    UploadedVersion,
)

T = TypeVar("T")
_PAGE = 100
_EQUALS = 1
SETTLE_S = 1.1
"""After so many seconds every run of the same moment is listed: Kubeflow dates them to the second."""


class Kubeflow:
    """Calls the Kubeflow Pipelines that a platform names, through the real ``kfp.Client``.

    Questions are repeated while a failure may pass. What is made (a version, a run, a recurring run) is
    looked up by its name before a lost answer is taken for a lost request, so nothing is made twice.

    Args:
        platform: where it is.
        attempts: how often a call is made.
        timeout_s: how long a connection, and an answer, may take, seconds.

    Raises:
        ShouldProvideKey: the token's file cannot be read.
    """

    def __init__(
        self,
        platform: Platform,
        attempts: Attempts | None = None,
        timeout_s: tuple[float, float] = (10.0, 60.0),
    ) -> None:
        self.platform = platform
        self._client = connect(platform, timeout_s)
        self._caller = Caller(platform.host, attempts or Attempts())
        self._experiment = ""
        self._release = ""

    @property
    def api(self) -> Any:
        """The ``kfp.Client``; call it through ``ask`` or ``make`` so that failures become ours."""
        return self._client

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """A question, or an order that may be repeated; failures become ours, naming ``what``."""
        with links_aside():
            return self._caller.again(what, call)

    def make(self, what: str, look: Callable[[], T | None], call: Callable[[], T]) -> T:
        """Make what must not be made twice; ``look`` finds what an earlier attempt has made."""
        with links_aside():
            return self._caller.once(what, look, call)

    def rest(self, seconds: float) -> None:
        """Wait."""
        self._caller.rest(seconds)

    def experiment(self) -> str:
        """Id of the platform's experiment, which is made when it is not there."""
        if not self._experiment:
            name = self.platform.experiment
            what = f"Finding the experiment {name!r}"
            self._release = self.ask(what, self._client.check)
            made = self.ask(what, lambda: self._experiment_named(name)) or self.make(
                f"Making the experiment {name!r}",
                lambda: self._experiment_named(name),
                lambda: (
                    self._client.create_experiment(
                        name, namespace=self.platform.namespace or None
                    ).experiment_id
                ),
            )
            self._experiment = made
        return self._experiment

    @property
    def release(self) -> str:
        """Which release of Kubeflow answers, such as ``2.17.0``; "" where it does not say."""
        self.experiment()
        return self._release

    def upload(self, graph: str, package: str, version: str) -> UploadedVersion:
        """A compiled graph as a version of its pipeline; one of that name is found, not sent again."""
        pipeline = self._pipeline(graph)

        def known() -> UploadedVersion | None:
            found = self._client.list_pipeline_versions(
                pipeline, page_size=_PAGE, filter=_named(version)
            )
            versions = found.pipeline_versions or ()
            return next(
                (
                    UploadedVersion(pipeline, v.pipeline_version_id, version, False)
                    for v in versions
                ),
                None,
            )

        def sent() -> UploadedVersion:
            made = self._client.upload_pipeline_version(package, version, pipeline_id=pipeline)
            return UploadedVersion(pipeline, made.pipeline_version_id, version, True)

        return self.ask(f"Looking for version {version} of {graph}", known) or self.make(
            f"Uploading version {version} of {graph}", known, sent
        )

    def submit(self, request: RunRequest) -> ClusterRun:
        """Start a run, once: one of the same name that did not fail is found instead.

        After one that failed or was cancelled the next attempt is named ``<name>-2``, and so on; a job's
        run that was cancelled stays its end. Of runs that several clients made at once the oldest goes on.
        """
        name = request.name
        for attempt in range(2, 1000):
            found = self.latest(name)
            if found is None:
                break
            ended_for_good = request.job and found.state is not RunState.FAILED
            if not found.state.failed or ended_for_good:
                return replace(found, new=False)
            name = f"{request.name}-{attempt}"
        version = self.upload(request.graph, str(request.package), request.version)
        experiment = self.experiment()

        def started() -> ClusterRun:
            return self._run(
                self._client.run_pipeline(
                    experiment_id=experiment,
                    job_name=name,
                    params=dict(request.parameters),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    pipeline_root=self.platform.pipeline_root or None,
                    service_account=self.platform.service_account or None,
                )
            )

        made = self.make(f"Submitting the run {name}", lambda: self._latest(name), started)
        return self._alone(made)

    def _alone(self, made: ClusterRun) -> ClusterRun:
        self.rest(SETTLE_S)
        same = self.ask(f"Looking for the run {made.name}", lambda: self._runs_named(made.name))
        standing = [run for run in same if not run.state.failed]
        if not standing:
            return made
        first = min(standing, key=_age)
        for other in standing:
            if other.run_id != first.run_id:
                self.terminate(other.run_id)
        return first if first.run_id == made.run_id else replace(first, new=False)

    def run(self, run_id: str) -> ClusterRun:
        """A run as it is now; ``ShouldNameKnownId`` where there is none of that id."""
        return self.ask(
            f"Looking at the run {run_id}", lambda: self._run(self._client.get_run(run_id))
        )

    def latest(self, name: str) -> ClusterRun | None:
        """The run of exactly that name in the platform's experiment, if there is one.

        The oldest, rather one that did not fail: younger ones were made at once by others, and are ended.
        """
        self.experiment()
        return self.ask(f"Looking for the run {name}", lambda: self._latest(name))

    def terminate(self, run_id: str) -> None:
        """End a run; one that has ended stays as it is."""
        if not self.run(run_id).state.ended:
            self.ask(f"Ending the run {run_id}", lambda: self._client.terminate_run(run_id))

    def recurring(self, name: str = "") -> tuple[Any, ...]:
        """The experiment's recurring runs as ``V2beta1RecurringRun``, of one name if given."""
        experiment = self.experiment()
        asked = {"experiment_id": experiment, "page_size": _PAGE}
        if name:
            asked["filter"] = _named(name)
        return tuple(
            self.ask(
                "Listing the schedules",
                lambda: list(_pages(self._client.list_recurring_runs, "recurring_runs", asked)),
            )
        )

    def _latest(self, name: str) -> ClusterRun | None:
        found = self._runs_named(name)
        standing = [run for run in found if not run.state.failed]
        return min(standing or found, key=_age, default=None)

    def _runs_named(self, name: str) -> list[ClusterRun]:
        asked = {
            "experiment_id": self._experiment,
            "page_size": _PAGE,
            "filter": _named(name),
        }
        return [self._run(found) for found in _pages(self._client.list_runs, "runs", asked)]

    def _experiment_named(self, name: str) -> str:
        found = self._client.list_experiments(
            page_size=_PAGE, namespace=self.platform.namespace or None, filter=_named(name)
        )
        return str(found.experiments[0].experiment_id) if found.experiments else ""

    def _pipeline(self, graph: str) -> str:
        namespace = self.platform.namespace or None

        def known() -> str | None:
            found = self._client.list_pipelines(
                page_size=_PAGE, namespace=namespace, filter=_named(graph)
            )
            return str(found.pipelines[0].pipeline_id) if found.pipelines else None

        def made() -> str:
            # kfp's upload_pipeline would add a version of its own beside ours.
            wanted = kfp_server_api.V2beta1Pipeline(
                display_name=graph, name=graph, namespace=namespace
            )
            answer = self._client.pipelines.pipeline_service_create_pipeline(wanted)
            return str(answer.pipeline_id)

        what = f"the pipeline {graph}"
        return self.ask(f"Looking for {what}", known) or self.make(f"Making {what}", known, made)

    def _run(self, found: Any) -> ClusterRun:
        details = found.run_details.task_details if found.run_details else None
        config = found.runtime_config
        return ClusterRun(
            run_id=found.run_id,
            name=found.display_name,
            state=RunState.of(found.state),
            url=f"{self.platform.host.rstrip('/')}/#/runs/details/{found.run_id}",
            created_at=found.created_at,
            finished_at=found.finished_at,
            error=found.error.message or "" if found.error else "",
            tasks=tuple(_task(task) for task in details or ()),
            parameters=dict(config.parameters or {}) if config else {},
        )


def _age(run: ClusterRun) -> tuple[str, str]:
    return str(run.created_at), run.run_id


def _task(found: Any) -> ClusterTask:
    seconds = 0.0
    if found.start_time and found.end_time:
        seconds = max(0.0, (found.end_time - found.start_time).total_seconds())
    error = found.error.message or "" if found.error else ""
    return ClusterTask(str(found.display_name or ""), RunState.of(found.state), seconds, error)


def _named(name: str) -> str:
    predicate = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _pages(call: Callable[..., Any], items: str, asked: dict[str, Any]) -> Iterator[Any]:
    token = ""
    while True:
        page = call(page_token=token, **asked)
        yield from getattr(page, items) or ()
        token = page.next_page_token or ""
        if not token:
            return
