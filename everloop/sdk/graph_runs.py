"""A run of a compiled graph on this machine: started, kept as a run, and its report kept beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import RunRecord, StageRecord
from everloop.sdk.notifying import configured, tell_of_run
from everloop.settings import Containers, containers
from everloop.wiring import Workspace
from pipelines.compile import compile_graph
from pipelines.local_run import LocalOutcome, StageEvent, run_locally

EARLIER = " — an earlier attempt succeeded: "
EventSink = Callable[[StageEvent], None]


def silent(_: StageEvent) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class GraphRun:
    """A question to a graph.

    Attributes:
        graph: its name; ``stages`` in the order they run, ``report`` the one whose page is kept.
        arguments: the graph's parameters.
        verdict: what a finished run says in a line.
        repeat: stages that are run although their results are kept.
    """

    graph: str
    stages: tuple[str, ...]
    report: str
    loop: str
    logical_date: str
    tenant: str
    arguments: Mapping[str, str | int]
    verdict: Callable[[LocalOutcome], str]
    repeat: Collection[str] = ()
    in_containers: Containers | None = None
    """How each step's container is started; None does as the environment says."""
    name: str = ""
    """Between the loop and the date in the run's id; empty for the daily graph."""

    @property
    def run_id(self) -> str:
        """Readable and derived from the parameters: the same question is the same run."""
        asked = {name: value for name, value in self.arguments.items() if name != "workspace"}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
        tenant = "" if self.tenant == "default" else f"-{self.tenant}"
        name = f"-{self.name}" if self.name else ""
        return f"{self.loop}{tenant}{name}-{self.logical_date}-{digest}"


def run_graph(
    workspace: Workspace, asked: GraphRun, folder: Path, on_event: EventSink = silent
) -> RunRecord:
    """Run a graph, keep the run, however it ends, and tell people of it where channels are configured.

    The caller holds ``exclusive(folder)``. ``ShouldFixArgument``, ``ShouldProvideKey``: a channel lacks
    what it needs; nothing was started.
    """
    configured()
    record = RunRecord(
        run_id=asked.run_id,
        pipeline=asked.graph,
        loop=asked.loop,
        logical_date=asked.logical_date,
        started_at=datetime.now(UTC),
        finished_at=None,
        status="running",
        verdict="",
        parameters=dict(asked.arguments),
        stages=(),
        report="",
        tenant=asked.tenant,
    )
    before = _succeeded_before(workspace, record.run_id)
    graph = compile_graph(asked.graph, folder / "graph.yaml")
    workspace.runs.save(record)
    in_containers = asked.in_containers or containers()
    try:
        outcome = run_locally(
            graph,
            asked.arguments,
            folder,
            on_event,
            asked.repeat,
            in_containers,
            mounted=workspace.home,
        )
    except BaseException as problem:
        interrupted = LocalOutcome((), f"interrupted by {type(problem).__name__}")
        workspace.runs.save(_ended(asked, record, interrupted, "", before))
        raise
    report = _kept_report(workspace, asked, outcome)
    record = _ended(asked, record, outcome, report, before)
    workspace.runs.save(record)
    tell_of_run(workspace, record)
    return record


def stages_of(outcome: LocalOutcome) -> dict[str, StageRecord]:
    """The stages of a run by name."""
    return {stage.stage: stage for stage in outcome.stages}


def _succeeded_before(workspace: Workspace, run_id: str) -> RunRecord | None:
    """The same run's earlier success, if it had one: a failed repetition does not hide it."""
    try:
        known = workspace.runs.run(run_id)
    except ShouldFixArgument:
        return None
    return known if known.report else None


def _ended(
    asked: GraphRun,
    record: RunRecord,
    outcome: LocalOutcome,
    report: str,
    before: RunRecord | None,
) -> RunRecord:
    failed = bool(outcome.error)
    verdict = outcome.error if failed else asked.verdict(outcome)
    if failed and before is not None:
        earlier = before.verdict.partition(EARLIER)[2] or before.verdict
        verdict, report = f"{outcome.error}{EARLIER}{earlier}", before.report
    return replace(
        record,
        finished_at=datetime.now(UTC),
        status="failed" if failed else "succeeded",
        verdict=verdict,
        # kfp orders steps that do not wait for each other differently from run to run.
        stages=tuple(sorted(outcome.stages, key=lambda stage: asked.stages.index(stage.stage))),
        report=report,
    )


def _kept_report(workspace: Workspace, asked: GraphRun, outcome: LocalOutcome) -> str:
    page = stages_of(outcome).get(asked.report)
    if page is None or page.outcome == "failed":
        return ""
    kept = workspace.home / "reports" / f"{asked.run_id}.html"
    kept.parent.mkdir(exist_ok=True)
    shutil.copyfile(page.artefacts["page"], kept)
    return str(kept)
