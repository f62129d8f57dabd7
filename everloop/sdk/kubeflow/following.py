"""A run on a cluster, followed to its end and told as a local run is."""

from __future__ import annotations

from threading import Event

from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRetryLater
from everloop.sdk.graph_runs import EventSink, silent
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.records import ClusterRun, ClusterTask, RunState
from pipelines.compile import STAGES
from pipelines.local_run import StageEvent, stage_of

POLL_S = 10.0
_SILENCES = 30
_KINDS = {
    RunState.RUNNING: "started",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
}


class Teller:
    """Turns what a run's tasks have come to into stage events, each once."""

    def __init__(self, on_event: EventSink) -> None:
        self._on_event = on_event
        self._told: set[tuple[str, str]] = set()
        self._stages = {stage for stages in STAGES.values() for stage in stages}

    def tell(self, run: ClusterRun) -> None:
        """Tell what is new; tasks that are Kubeflow's own (drivers, branches) are not stages."""
        for task in run.tasks:
            stage = stage_of(task.name)
            if stage in self._stages:
                self._event(stage, task)

    def _event(self, stage: str, task: ClusterTask) -> None:
        kind = _KINDS.get(task.state)
        if kind is None or (task.name, kind) in self._told:
            return
        self._told.add((task.name, kind))
        if kind == "started":
            self._on_event(StageEvent(stage, "started"))
        elif kind == "succeeded":
            self._on_event(StageEvent(stage, "succeeded", task.seconds))
        else:
            self._on_event(StageEvent(stage, "failed", task.seconds, task.error))


def follow(
    cluster: Kubeflow,
    run_id: str,
    on_event: EventSink = silent,
    *,
    poll_s: float = POLL_S,
    stop: Event | None = None,
    known: ClusterRun | None = None,
) -> ClusterRun:
    """Look at a run until it has ended; the run goes on whoever looks.

    Once a run is known, a look that fails says nothing of it: a token may have run out, or an answer have
    been lost. It is looked at again, many times.

    Args:
        on_event: called as its stages start and end.
        poll_s: seconds between two looks, > 0.
        stop: ends the looking early; the run as it was last seen is returned then.
        known: the run as it was submitted.

    Raises:
        ShouldNameKnownId: there is no such run.
        ShouldRetryLater: many looks in a row failed; the last one's reason and fix.
    """
    if not poll_s > 0:
        raise ShouldFixArgument(f"poll_s={poll_s} is not above 0.", "Give seconds.")
    teller, silences, halted, found = Teller(on_event), 0, stop or Event(), known
    while True:
        try:
            found, silences = cluster.run(run_id), 0
            teller.tell(found)
        except EverloopError as problem:
            silences += 1
            if found is None:
                raise
            if silences >= _SILENCES:
                raise ShouldRetryLater(
                    f"Nothing is heard of the run {run_id}, which goes on: {problem.message}",
                    problem.remedy,
                    30.0,
                ) from None
        if found.state.ended or halted.is_set():
            return found
        halted.wait(poll_s)
