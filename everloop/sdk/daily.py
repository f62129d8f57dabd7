"""Start the daily graph on this machine, for one date or for a range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from everloop.contracts.documents import read, write_atomically
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.serving import EARLIEST_DAY
from everloop.loops import load
from everloop.loops.sections import override, split
from everloop.sdk.graph_runs import EventSink, GraphRun, run_graph, silent, stages_of
from everloop.sdk.notifying import budget_notice, tell
from everloop.sdk.opened import OpenedRun
from everloop.sdk.standing import standing
from everloop.settings import Containers
from everloop.wiring import Workspace, open_workspace
from pipelines.daily_learning import NAME, STAGES
from pipelines.local_run import LocalOutcome, exclusive
from pipelines.source import code_sha256

_INTRADAY = "intraday "


@dataclass(frozen=True, slots=True)
class DailyPlan:
    """What to run: a loop, a date and how.

    ``settings`` are ``section.key=value`` overrides of the specification. ``from_stage`` repeats
    that stage and all that follow it; ``refresh`` extracts the date anew. ``reading`` names a reading
    of the log: its first run refreshes, later ones continue it. ``intraday`` allows today: what has
    happened so far is learned from; the first run of the date without it reads the whole day.
    """

    loop: str
    logical_date: date
    tenant: str = "default"
    settings: tuple[str, ...] = ()
    from_stage: str | None = None
    refresh: bool = False
    intraday: bool = False
    reading: str = ""

    def __post_init__(self) -> None:
        if self.from_stage is not None and self.from_stage not in STAGES:
            raise ShouldFixArgument(
                f"There is no stage {self.from_stage!r}.", f"Stages: {', '.join(STAGES)}."
            )
        if not self.tenant or "/" in self.tenant or self.tenant.startswith("."):
            raise ShouldFixArgument(
                f"Tenant {self.tenant!r} is no name.", "Use letters, digits and dashes."
            )


def run_daily(
    loop: str | DailyPlan,
    logical_date: str | date | None = None,
    *,
    home: Path | str | None = None,
    on_event: EventSink = silent,
    in_containers: Containers | None = None,
) -> OpenedRun:
    """Run the daily graph for one date and open the finished run.

    A run that was killed continues where it was; a rerun of the same date and parameters finds
    every stage done and spends no privacy budget.

    Args:
        loop: a shipped loop's name, the path of a YAML file, or a whole ``DailyPlan``.
        logical_date: the day to learn for (with a name or path only).
        home: the workspace; ``EVERLOOP_HOME`` or ``.everloop`` by default.
        on_event: called as stages start, progress and end.
        in_containers: how each stage's container is started; None does as the environment says.

    Raises:
        ShouldInitWorkspace, ShouldFixLoopSpec, ShouldFixArgument: nothing was started.
        ShouldProvideEngine: containers were asked for, and the engine or the image isn't there.
        ShouldResolveConflict: another process runs this loop and date.
    """
    plan = loop if isinstance(loop, DailyPlan) else DailyPlan(loop, _day(logical_date))
    workspace = open_workspace(home)
    spec = override(load(plan.loop), plan.settings)
    folder = workspace.home / "runs" / spec.name / plan.tenant / plan.logical_date.isoformat()
    _check_date(plan, datetime.now(UTC).date())
    with exclusive(folder):
        asked = GraphRun(
            graph=NAME,
            stages=STAGES,
            report="report",
            loop=spec.name,
            logical_date=plan.logical_date.isoformat(),
            tenant=plan.tenant,
            arguments=_arguments(workspace, spec, plan, folder),
            verdict=verdict_line,
            repeat=STAGES[STAGES.index(plan.from_stage) :] if plan.from_stage else (),
            in_containers=in_containers,
        )
        run = OpenedRun(run_graph(workspace, asked, folder, on_event))
    tell(workspace, budget_notice(workspace, spec, plan.logical_date, plan.tenant))
    return run


def run_range(
    plan: DailyPlan,
    until: date,
    *,
    home: Path | str | None = None,
    on_event: EventSink = silent,
    in_containers: Containers | None = None,
) -> Iterator[OpenedRun]:
    """Backfill: run the plan's date and every later one through ``until``, oldest first.

    Each date is a night of its own in the ledger; a date that was run before is not paid again.
    """
    if until < plan.logical_date:
        raise ShouldFixArgument(
            f"The range ends on {until}, before it starts on {plan.logical_date}.",
            "Give --from before --to.",
        )
    for offset in range((until - plan.logical_date).days + 1):
        night = asdict(plan) | {"logical_date": plan.logical_date + timedelta(days=offset)}
        yield run_daily(
            DailyPlan(**night), home=home, on_event=on_event, in_containers=in_containers
        )


def _day(value: str | date | None) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(value or "")
    except ValueError:
        raise ShouldFixArgument(f"{value!r} is no date.", "Give it as YYYY-MM-DD.") from None


def _check_date(plan: DailyPlan, today: date) -> None:
    if plan.logical_date < EARLIEST_DAY:
        raise ShouldFixArgument(
            f"{plan.logical_date} is before {EARLIEST_DAY}.",
            "Choose a day that has logged decisions.",
        )
    if plan.logical_date > today:
        raise ShouldFixArgument(
            f"{plan.logical_date} has not begun: today is {today} (UTC).", "Choose an earlier date."
        )
    if plan.logical_date == today and not plan.intraday:
        raise ShouldFixArgument(
            f"{plan.logical_date} has not ended: today is {today} (UTC).",
            "Run a day once it is over, or cut it off now with --intraday.",
        )


def _reading(folder: Path, plan: DailyPlan) -> str:
    """Token of the reading of the log that a run works on; another one extracts the date anew."""
    token = folder / "refresh.token"
    known = token.read_text() if token.exists() else ""
    name = plan.reading or datetime.now(UTC).isoformat()
    wanted = f"{_INTRADAY if plan.intraday else ''}{name}"
    if plan.reading:
        new = known != wanted
    elif plan.intraday:
        new = plan.refresh or not known
    else:
        new = plan.refresh or known.startswith(_INTRADAY)
    if new:
        write_atomically(wanted.encode(), token)
    return wanted if new else known


def _arguments(
    workspace: Workspace, spec: LoopSpec, plan: DailyPlan, folder: Path
) -> dict[str, str]:
    return asdict(split(spec)) | {
        "workspace": str(workspace.home),
        "logical_date": plan.logical_date.isoformat(),
        "code": code_sha256(),
        "tenant": plan.tenant,
        "refresh": _reading(folder, plan),
        "oversight": standing(workspace, spec, plan.tenant, datetime.now(UTC).date()),
    }


def verdict_line(outcome: LocalOutcome) -> str:
    """What a finished run says in a line: the gate's decision and first reason, or where it ended."""
    stages = stages_of(outcome)
    if "gate" in stages:
        verdict = read(Verdict, stages["gate"].artefacts["verdict"])
        return f"{verdict.decision}: {verdict.reasons[0]}"
    last = [stage for stage in outcome.stages if stage.stage != "report"][-1]
    return f"hold: the run ended at {last.stage} ({last.summary})"
