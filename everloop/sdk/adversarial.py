"""Attack the model that serves, on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from everloop.contracts.adversarial import AdversarialReview
from everloop.contracts.documents import read
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import RunRecord
from everloop.loops import load
from everloop.loops.sections import override, split
from everloop.registry.loading import ACTIVE
from everloop.sdk.graph_runs import EventSink, GraphRun, run_graph, silent, stages_of
from everloop.wiring import open_workspace
from pipelines.adversarial_review import NAME, STAGES
from pipelines.local_run import LocalOutcome, exclusive
from pipelines.source import code_sha256

_NAME = "adversarial"


@dataclass(frozen=True, slots=True)
class ReviewedModel:
    """A finished attack: its run, and what was found; None where the run failed before."""

    record: RunRecord
    review: AdversarialReview | None

    @property
    def passed(self) -> bool:
        """Whether the model withstood every attack."""
        return self.review is not None and self.review.passed


def run_adversarial(
    loop: str,
    logical_date: str | date | None = None,
    *,
    tenant: str = "default",
    settings: tuple[str, ...] = (),
    home: Path | str | None = None,
    on_event: EventSink = silent,
) -> ReviewedModel:
    """Attack the active model with the decisions logged until a date, and record what it gave way to.

    A rerun for the same date and model finds every stage done and records nothing anew.

    Args:
        loop: a shipped loop's name, or the path of a YAML file.
        logical_date: a day that is over; yesterday (UTC) by default.
        tenant: whose model.
        settings: ``section.key=value`` overrides of the specification.
        home: the workspace; ``EVERLOOP_HOME`` or ``.everloop`` by default.
        on_event: called as stages start, progress and end.

    Raises:
        ShouldFixArgument: no model is active, or the date is none or not over.
        ShouldInitWorkspace, ShouldFixLoopSpec: nothing was started.
        ShouldResolveConflict: another process attacks for this loop and date.
    """
    workspace = open_workspace(home)
    spec = override(load(loop), settings)
    day = _day(logical_date)
    model, _ = workspace.registry.alias(spec.name, ACTIVE, tenant)
    if model is None:
        raise ShouldFixArgument(
            f"Loop {spec.name!r} of tenant {tenant!r} has no active model to attack.",
            "Promote a candidate first: see everloop rollout status.",
        )
    sections = asdict(split(spec))
    arguments = {name: sections[name] for name in ("product", "thresholds")} | {
        "workspace": str(workspace.home),
        "logical_date": day.isoformat(),
        "code": code_sha256(),
        "model": model,
        "tenant": tenant,
        "refresh": "",
    }
    folder = workspace.home / "runs" / spec.name / tenant / f"{_NAME}-{day.isoformat()}"
    asked = GraphRun(
        graph=NAME,
        stages=STAGES,
        report=STAGES[-1],
        loop=spec.name,
        logical_date=day.isoformat(),
        tenant=tenant,
        arguments=arguments,
        verdict=_verdict,
        name=_NAME,
    )
    with exclusive(folder):
        record = run_graph(workspace, asked, folder, on_event)
    return ReviewedModel(record, _found(record))


def _found(record: RunRecord) -> AdversarialReview | None:
    stages = {stage.stage: stage for stage in record.stages}
    made = stages.get("adversarial_attack")
    if made is None or "findings" not in made.artefacts:
        return None
    return read(AdversarialReview, made.artefacts["findings"])


def _day(value: str | date | None) -> date:
    today = datetime.now(UTC).date()
    if value is None or value == "":
        return today - timedelta(days=1)
    try:
        day = value if isinstance(value, date) else date.fromisoformat(value)
    except ValueError:
        raise ShouldFixArgument(f"{value!r} is no date.", "Give it as YYYY-MM-DD.") from None
    if day >= today:
        raise ShouldFixArgument(
            f"{day} is not over: today is {today} (UTC).", "Choose an earlier date."
        )
    return day


def _verdict(outcome: LocalOutcome) -> str:
    findings = stages_of(outcome)["adversarial_attack"].artefacts["findings"]
    review = read(AdversarialReview, findings)
    return f"{review.verdict}: {review.reason}"
