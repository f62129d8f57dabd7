"""Teach a voice on this machine: the graph ``persona-adaptation`` for one date, opened as an object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

from everloop.contracts.documents import read, write_atomically
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Verdict
from everloop.contracts.models import RunRecord
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.sandboxes import SandboxReport
from everloop.contracts.serving import EARLIEST_DAY
from everloop.contracts.voices import (
    AdapterFigures,
    DataFigures,
    StrategyChoice,
    VoiceComparison,
)
from everloop.loops import load
from everloop.loops.sections import override, split, voice_of, voice_text
from everloop.sdk.graph_runs import EventSink, GraphRun, run_graph, silent, stages_of
from everloop.settings import Containers
from everloop.wiring import open_workspace
from pipelines.local_run import LocalOutcome, exclusive
from pipelines.persona_adaptation import NAME, STAGES
from pipelines.source import code_sha256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VoicePlan:
    """What to run: a loop with a voice, a date and how.

    ``settings`` are ``section.key=value`` overrides of the specification, such as
    ``voice.preset=large_corpus``. ``from_stage`` repeats that stage and all that follow it; ``refresh``
    reads what people said anew.
    """

    loop: str
    logical_date: date
    tenant: str = "default"
    settings: tuple[str, ...] = ()
    from_stage: str | None = None
    refresh: bool = False

    def __post_init__(self) -> None:
        if self.from_stage is not None and self.from_stage not in STAGES:
            raise ShouldFixArgument(
                f"There is no stage {self.from_stage!r}.", f"Stages: {', '.join(STAGES)}."
            )
        if not self.tenant or "/" in self.tenant or self.tenant.startswith("."):
            raise ShouldFixArgument(
                f"Tenant {self.tenant!r} is no name.", "Use letters, digits and dashes."
            )


@dataclass(frozen=True, slots=True)
class VoiceRun:
    """A finished run. Properties load a stage's output; None where the run ended before."""

    record: RunRecord

    @property
    def report(self) -> Path:
        """Path of the HTML report."""
        return Path(self.record.report)

    def artefact(self, stage: str, name: str) -> Path | None:
        """Where a stage's output lies."""
        found = {s.stage: s.artefacts for s in self.record.stages}.get(stage, {}).get(name)
        return None if found is None else Path(found)

    def _document(self, kind: type[T], stage: str, name: str, file: str = "") -> T | None:
        path = self.artefact(stage, name)
        return None if path is None else read(kind, path / file if file else path)

    @property
    def data(self) -> DataFigures | None:
        return self._document(DataFigures, "build_training_data", "data", "figures.json")

    @property
    def strategy(self) -> StrategyChoice | None:
        return self._document(StrategyChoice, "choose_strategy", "strategy")

    @property
    def training(self) -> AdapterFigures | None:
        folder = self.artefact("train_adapter", "adapter")
        file = None if folder is None else folder / "figures.json"
        return None if file is None or not file.exists() else read(AdapterFigures, file)

    @property
    def comparison(self) -> VoiceComparison | None:
        return self._document(VoiceComparison, "measure_voice", "measure")

    @property
    def sandbox(self) -> SandboxReport | None:
        return self._document(SandboxReport, "run_sandbox", "findings")

    @property
    def verdict(self) -> Verdict | None:
        return self._document(Verdict, "voice_gate", "verdict")

    @property
    def rollout(self) -> RolloutRecord | None:
        return self._document(RolloutRecord, "start_voice_rollout", "rollout")


def run_voice(
    loop: str | VoicePlan,
    logical_date: str | date | None = None,
    *,
    home: Path | str | None = None,
    on_event: EventSink = silent,
    in_containers: Containers | None = None,
) -> VoiceRun:
    """Teach a loop's voice what people said of it, and try it.

    A run that was killed continues where it was; a rerun of the same date and parameters finds every
    stage done and spends nothing.

    Args:
        loop: a shipped loop's name, the path of a YAML file, or a whole ``VoicePlan``.
        logical_date: the day to learn for (with a name or path only); today (UTC) by default.
        home: the workspace; ``EVERLOOP_HOME`` or ``.everloop`` by default.
        on_event: called as stages start, progress and end.
        in_containers: how each stage's container is started; None does as the environment says.

    Raises:
        ShouldInitWorkspace, ShouldFixLoopSpec, ShouldFixArgument: nothing was started.
        ShouldResolveConflict: another process teaches this voice for this date.
    """
    plan = loop if isinstance(loop, VoicePlan) else VoicePlan(loop, _day(logical_date))
    workspace = open_workspace(home)
    spec = override(load(plan.loop), plan.settings)
    voice_of(spec)
    _check(plan.logical_date)
    day = plan.logical_date.isoformat()
    folder = workspace.home / "runs" / spec.name / plan.tenant / f"voice-{day}"
    sections = asdict(split(spec))
    with exclusive(folder):
        asked = GraphRun(
            graph=NAME,
            stages=STAGES,
            report=STAGES[-1],
            loop=spec.name,
            logical_date=day,
            tenant=plan.tenant,
            arguments={name: sections[name] for name in ("product", "privacy", "terms")}
            | {
                "voice": voice_text(spec),
                "workspace": str(workspace.home),
                "logical_date": day,
                "code": code_sha256(),
                "tenant": plan.tenant,
                "refresh": _reading(folder, plan.refresh),
                "oversight": "",
            },
            verdict=verdict_line,
            repeat=STAGES[STAGES.index(plan.from_stage) :] if plan.from_stage else (),
            in_containers=in_containers,
            name="voice",
        )
        return VoiceRun(run_graph(workspace, asked, folder, on_event))


def verdict_line(outcome: LocalOutcome) -> str:
    """What a finished run says in a line: the gate's answer, or which ways of learning were enough."""
    stages = stages_of(outcome)
    if "voice_gate" in stages:
        verdict = read(Verdict, stages["voice_gate"].artefacts["verdict"])
        return f"{verdict.decision}: {verdict.reasons[0]}"
    ended = stages.get("train_adapter", stages["choose_strategy"])
    return f"hold: no adapter was trained ({ended.summary})"


def _day(value: str | date | None) -> date:
    if not value:
        return datetime.now(UTC).date()
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except ValueError:
        raise ShouldFixArgument(f"{value!r} is no date.", "Give it as YYYY-MM-DD.") from None


def _check(day: date) -> None:
    today = datetime.now(UTC).date()
    if not EARLIEST_DAY <= day <= today:
        raise ShouldFixArgument(
            f"{day} is not between {EARLIEST_DAY} and today, {today} (UTC).", "Choose such a date."
        )


def _reading(folder: Path, refresh: bool) -> str:
    """Token of the reading of the log that a run works on; another one reads it anew."""
    token = folder / "refresh.token"
    if refresh:
        write_atomically(datetime.now(UTC).isoformat().encode(), token)
    return token.read_text() if token.exists() else ""
