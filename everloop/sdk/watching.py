"""Start the watch graph on this machine: one look at the trial of a loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import RunRecord
from everloop.contracts.rollouts import LIVE, RolloutRecord
from everloop.contracts.watching import WatchOutcome
from everloop.loops import load
from everloop.loops.sections import override, split
from everloop.sdk.graph_runs import EventSink, GraphRun, run_graph, silent, stages_of
from everloop.sdk.voice_head import follow_voice
from everloop.sdk.watch_folders import folder_of, make_room
from everloop.wiring import Workspace, open_workspace
from pipelines.local_run import LocalOutcome, exclusive
from pipelines.rollout_watch import NAME, STAGES
from pipelines.source import code_sha256

_WATCH = "watch"
DAYS_BEFORE = 14
"""Days of earlier behaviour that a trial's analysis may use."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A finished look: the run's record and what it came to."""

    record: RunRecord
    outcome: WatchOutcome | None

    @property
    def report(self) -> Path:
        """Path of the HTML page."""
        return Path(self.record.report)


def watch(
    loop: str,
    at: datetime | None = None,
    *,
    home: Path | str | None = None,
    tenant: str = "default",
    settings: tuple[str, ...] = (),
    on_event: EventSink = silent,
) -> Watched:
    """Measure the candidate on trial and act: step up, hold, roll back, end or promote.

    The log is read as it is; what a night learns from is left alone. The same moment asked again finds
    every step done and acts once, while it is among the newest looks (``watch_folders.KEPT``): what older
    ones left on disk is deleted.

    Args:
        loop: a shipped loop's name, or the path of a YAML file.
        at: the moment of the look, with a time zone; now by default.
        settings: ``section.key=value`` overrides of the specification.

    Raises:
        ShouldInitWorkspace, ShouldFixLoopSpec, ShouldFixArgument: nothing was started; the last one also
            for a moment before the trial that is live began.
        ShouldResolveConflict: another process watches this loop.
    """
    now = datetime.now(UTC)
    moment = now if at is None else at
    if moment.tzinfo is None:
        raise ShouldFixArgument(f"at={moment.isoformat()} has no time zone.", "Give it in UTC.")
    if moment > now:
        raise ShouldFixArgument(
            f"at={moment.isoformat()} is ahead: it is {now.isoformat(timespec='seconds')}.",
            "Give a moment that has passed.",
        )
    moment = moment.astimezone(UTC)
    workspace = open_workspace(home)
    spec = override(load(loop), settings)
    _require_begun(workspace.deployments.head(spec.name, tenant).trial, moment)
    day = moment.date()
    place = workspace.home / "runs" / spec.name / tenant / _WATCH
    folder = folder_of(place, moment)
    wide = widened(spec)
    sections = asdict(split(wide))
    arguments = {name: sections[name] for name in ("product", "thresholds", "terms")} | {
        "workspace": str(workspace.home),
        "logical_date": day.isoformat(),
        "at": moment.isoformat(),
        "code": code_sha256(),
        "tenant": tenant,
    }
    asked = GraphRun(
        graph=NAME,
        stages=STAGES,
        report=STAGES[-1],
        loop=spec.name,
        logical_date=day.isoformat(),
        tenant=tenant,
        arguments=arguments,
        verdict=_sentence,
        name=_WATCH,
    )
    with exclusive(place):
        make_room(workspace.datasets, place, folder)
        record = run_graph(workspace, asked, folder, on_event)
        _follow_voice(workspace, spec, tenant)
    return Watched(record, outcome_of(record))


def _follow_voice(workspace: Workspace, spec: LoopSpec, tenant: str) -> None:
    """Let the versions of the loop's voice say whether they serve; what the service's guard does too."""
    head = workspace.deployments.head(spec.name, tenant)
    follow_voice(workspace, spec, head, workspace.rollouts.rollouts(spec.name, tenant))


def _require_begun(trial: RolloutRecord | None, moment: datetime) -> None:
    if trial is None:
        return
    live = (stay.entered_at for stay in trial.history if stay.state in LIVE)
    begun = next(live, trial.recorded_at)
    if moment < begun:
        raise ShouldFixArgument(
            f"The trial of candidate {trial.candidate} began at {begun:%Y-%m-%d %H:%M:%S} UTC: "
            f"{moment:%Y-%m-%d %H:%M:%S} is before it, and what is done about it is done now.",
            "Give a later moment, or none to look at it as it is.",
        )


def widened(spec: LoopSpec) -> LoopSpec:
    """The loop with a window that holds a whole trial and what its people did before."""
    days = max(spec.thresholds.window_days, spec.rollout.max_days + DAYS_BEFORE)
    thresholds = spec.thresholds.model_copy(update={"window_days": days})
    return spec.model_copy(update={"thresholds": thresholds})


def outcome_of(record: RunRecord) -> WatchOutcome | None:
    """What a kept run of the watch came to; None where it did not get there."""
    found = {stage.stage: stage for stage in record.stages}.get("act_on_trial")
    if found is None or "outcome" not in found.artefacts:
        return None
    return read(WatchOutcome, found.artefacts["outcome"])


def _sentence(outcome: LocalOutcome) -> str:
    return read(WatchOutcome, stages_of(outcome)["act_on_trial"].artefacts["outcome"]).sentence
