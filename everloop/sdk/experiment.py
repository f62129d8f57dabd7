"""Search for settings on a finished night's releases, and put the best policy before the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.figures import QualityFigures, TrainingFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import RunRecord
from everloop.contracts.privacy import ReleaseNote
from everloop.contracts.sweeps import SweepTable
from everloop.loops import load
from everloop.loops.sections import override, split
from everloop.sdk.daily import verdict_line
from everloop.sdk.graph_runs import EventSink, GraphRun, run_graph, silent
from everloop.sdk.opened import OpenedRun
from everloop.sdk.policies.source import Asked, asked_of
from everloop.sdk.standing import standing
from everloop.sdk.synthetic.sources import STAGES as RELEASED
from everloop.wiring import Workspace, open_workspace
from pipelines.experiment import NAME, SPACE, STAGES
from pipelines.local_run import exclusive
from pipelines.source import code_sha256

if TYPE_CHECKING:  # they bring Kubeflow's client, which a run on this machine does without
    from everloop.contracts.platform import Platform
    from everloop.sdk.kubeflow.records import ClusterRun

Scheduler = Literal["asha", "pbt"]
BETWEEN = "; "
DEFAULT_SPACE = tuple(text.strip() for text in SPACE.split(";"))


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """What is searched, and on which night's releases.

    Attributes:
        named: id of a run or of a dataset version, or the start of one; "" on a cluster.
        space: what varies, as ``training.learning_rate=loguniform(1e-4,1e-2)``; see ``rl.tune.space``.
        trials, scheduler, cpus, seed: see ``rl.tune.plan.SweepPlan``.
        loop, settings: see ``everloop.sdk.policies.source.asked_of``; what every trial has in common.
    """

    named: str = ""
    space: tuple[str, ...] = DEFAULT_SPACE
    trials: int = 8
    scheduler: Scheduler = "asha"
    cpus: int = 1
    seed: int = 0
    loop: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedExperiment(OpenedRun):
    """A finished experiment: everything that a daily run has, with the search in place of one training."""

    @property
    def user_model_release(self) -> ReleaseNote:
        return self._document(ReleaseNote, "load_releases", "user_model", "note.json")

    @property
    def profiles_release(self) -> ReleaseNote:
        return self._document(ReleaseNote, "load_releases", "profiles", "note.json")

    @property
    def quality(self) -> QualityFigures:
        return self._document(QualityFigures, "load_releases", "quality")

    @property
    def training(self) -> TrainingFigures:
        """The best trial's."""
        return self._document(TrainingFigures, "sweep_policies", "policy", "figures.json")

    @property
    def sweep(self) -> SweepTable:
        """Every trial, the best first."""
        return self._document(SweepTable, "sweep_policies", "sweep")


def run_experiment(
    asked: str | ExperimentPlan,
    *,
    home: Path | str | None = None,
    on_event: EventSink = silent,
) -> OpenedExperiment:
    """Run the experiment graph on this machine and open the finished run.

    The winner is evaluated off-policy, asked about by the gate and registered like every night's candidate;
    it goes on trial where the verdict is continue, and a hold stays one. Nothing is spent. A run that was
    killed continues where it was, its search from the trials' last checkpoints; the same question is the
    same run.

    Args:
        asked: a run's or dataset version's id, or a whole ``ExperimentPlan``.
        home: the workspace; ``EVERLOOP_HOME`` or ``.everloop`` by default.
        on_event: called as stages start, progress and end.

    Raises:
        ShouldFixArgument, ShouldFixLoopSpec, ShouldCollectMoreData: nothing was started.
        ShouldResolveConflict: another process experiments on this loop and date.
    """
    plan = asked if isinstance(asked, ExperimentPlan) else ExperimentPlan(asked)
    workspace = open_workspace(home)
    of = asked_of(workspace, plan.named, plan.loop, plan.settings)
    graph = GraphRun(
        graph=NAME,
        stages=STAGES,
        report="report",
        loop=of.spec.name,
        logical_date=of.logical_date.isoformat(),
        tenant=of.tenant,
        arguments=arguments(workspace, plan, of),
        verdict=verdict_line,
        name=NAME,
    )
    folder = (
        workspace.home / "runs" / of.spec.name / of.tenant / f"{NAME}-{of.logical_date.isoformat()}"
    )
    with exclusive(folder):
        return OpenedExperiment(run_graph(workspace, graph, folder, on_event))


def submit_experiment(
    plan: ExperimentPlan,
    logical_date: str | date | None = None,
    *,
    tenant: str = "default",
    platform: Platform | str | Path | None = None,
    wait: bool = False,
    on_event: EventSink = silent,
    poll_s: float = 10.0,
) -> ClusterRun:
    """Run the experiment graph on Kubeflow, on the releases of a night that is over there.

    The same question is the same run, as with every graph: one that is under way is found and followed.

    Args:
        plan: names a loop; the night is the cluster's own, so no run or dataset version of this machine.
        logical_date: the night; the last day that has ended (UTC) by default.
        tenant: whose rows.
        platform, wait, on_event, poll_s: see ``everloop.sdk.kubeflow.submitting.submit``.

    Raises:
        ShouldFixArgument, ShouldFixLoopSpec, ShouldFixPlatform, ShouldProvideKey: nothing was started.
        ShouldAuthenticate, ShouldAskForScope, ShouldNameKnownId, ShouldRetryLater: of Kubeflow.
    """
    from everloop.sdk.kubeflow.submitting import submit

    if plan.named or not plan.loop:
        raise ShouldFixArgument(
            "On a cluster an experiment learns from a night of the cluster's.",
            "Name its loop and day instead of a run: --loop and --date.",
        )
    require_search(plan, override(load(plan.loop), plan.settings))
    return submit(
        plan.loop,
        logical_date,
        platform=platform,
        graph=NAME,
        tenant=tenant,
        settings=plan.settings,
        parameters={
            "space": BETWEEN.join(plan.space),
            "trials": str(plan.trials),
            "scheduler": plan.scheduler,
            "seed": str(plan.seed),
            "cpus": str(plan.cpus),
        },
        wait=wait,
        on_event=on_event,
        poll_s=poll_s,
    )


def require_search(plan: ExperimentPlan, spec: LoopSpec) -> None:
    """``ShouldFixArgument``: the loop cannot be searched so."""
    from rl.tune.plan import SweepPlan
    from rl.tune.space import parse_space

    SweepPlan(parse_space(plan.space, spec), plan.trials, plan.scheduler, plan.cpus, plan.seed)


def arguments(workspace: Workspace, plan: ExperimentPlan, of: Asked) -> dict[str, str | int]:
    """The graph's parameters, once it is known that the search and the night are there.

    Raises:
        ShouldFixArgument: the space or the plan is none.
        ShouldCollectMoreData: the night has no release, so that the graph would end where it begins.
    """
    require_search(plan, of.spec)
    _require_night(workspace, of)
    return {
        **asdict(split(of.spec)),
        "workspace": str(workspace.home),
        "logical_date": of.logical_date.isoformat(),
        "code": code_sha256(),
        "tenant": of.tenant,
        "oversight": standing(workspace, of.spec, of.tenant, datetime.now(UTC).date()),
        "space": BETWEEN.join(plan.space),
        "trials": plan.trials,
        "scheduler": plan.scheduler,
        "seed": plan.seed,
        "cpus": plan.cpus,
    }


def open_experiment(run: RunRecord) -> OpenedExperiment:
    """A recorded experiment as an object; ``ShouldFixArgument`` where the run is of another graph."""
    if run.pipeline != NAME:
        raise ShouldFixArgument(
            f"Run {run.run_id} is of graph {run.pipeline}.", "Open it with everloop.sdk.open_run."
        )
    return OpenedExperiment(run)


def _require_night(workspace: Workspace, of: Asked) -> None:
    for stage in RELEASED:
        if (
            workspace.ledger.latest_release(f"{of.spec.name}/{of.tenant}", stage, of.logical_date)
            is None
        ):
            raise ShouldCollectMoreData(
                f"{of.name} led to no release of stage {stage}, so there is nothing to learn from.",
                f"Run the graph for {of.logical_date} first: everloop run daily.",
            )
