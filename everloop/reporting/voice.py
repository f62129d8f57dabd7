"""The report of a voice's run: what it learned from, what changed, what the sandbox saw, what was decided.

One self-contained HTML file, as the daily report: every value is escaped, nothing is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from everloop.contracts.evaluation import CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.sandboxes import RunStatus, SandboxReport, Suite
from everloop.contracts.voices import (
    AdapterFigures,
    CategoryShare,
    DataFigures,
    SampleAnswer,
    StrategyChoice,
    VoiceComparison,
)
from everloop.reporting.charts import Forest, forest
from everloop.reporting.plots import Series, lines
from everloop.reporting.report import Tile, filled
from everloop.reporting.svg import Caption
from everloop.reporting.wording import evidence, interval, number, plural

SAMPLES_SHOWN = 12
TASKS = {
    "sft": "own texts and corrections",
    "preference": "chosen answers of pairs",
    "thumb": "answers that were liked",
}
"""Task of learning -> what held-out people wanted of it."""
UNSCORED = "held-out examples left out: too long for the base"
"""What a count of them is called; it is told where there are any."""
_TONES = ("main", "third", "baseline")
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class VoiceEvidence:
    """Everything that the report shows, as far as the run came; None where a stage was not reached.

    ``refused``: why nothing was trained though the strategy chose to, in words. ``reward_model``: what was
    measured of the scorer, name -> figure in words. ``lineage``: name -> id.
    """

    spec: LoopSpec
    run_id: str
    logical_date: str
    choice: StrategyChoice | None = None
    data: DataFigures | None = None
    training: AdapterFigures | None = None
    placebo: AdapterFigures | None = None
    comparison: VoiceComparison | None = None
    sandbox: SandboxReport | None = None
    verdict: Verdict | None = None
    checkpoint: ModelCheckpoint | None = None
    rollout: RolloutRecord | None = None
    reward_model: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """A suite's scenarios: how many passed with the candidate and with the active voice."""

    suite: str
    scenarios: int
    candidate: int
    active: int
    skipped: int
    failures: tuple[tuple[str, str, str], ...]
    """(scenario, what was said, why it failed)."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What was learned from one kind of feedback, and how held-out people judge it; None: nobody does."""

    task: str
    learned: int
    effect: Estimate | None


def render_voice(found: VoiceEvidence) -> str:
    """The report as one HTML document; the same evidence gives the same bytes."""
    values = {
        "v": found,
        "word": word_of(found),
        "sentence": sentence_of(found),
        "tiles": _tiles(found),
        "ordered_checks": _ordered(found.verdict),
        "ranges": () if found.data is None else tuple(_range(c) for c in found.data.categories),
        "effects": None if found.comparison is None else effects_forest(found.comparison),
        "categories": None if found.comparison is None else category_forest(found.comparison),
        "by_task": task_rows(found.training, found.comparison),
        "losses": "" if found.training is None else loss_curves(found.training, found.placebo),
        "rates": "" if found.training is None else rate_curve(found.training),
        "suites": () if found.sandbox is None else suite_rows(found.sandbox),
        "samples": _samples(found.comparison),
        "unscored": UNSCORED,
    }
    return filled("voice.html.j2", values)


def word_of(found: VoiceEvidence) -> str:
    """The run's answer in a word or two."""
    if found.refused:
        return "Not trained"
    if found.verdict is None:
        return "Nothing to train" if found.choice is not None else "Nothing learned"
    return "Ships" if found.verdict.decision is Decision.CONTINUE else "Refused"


def sentence_of(found: VoiceEvidence) -> str:
    """Why, in a sentence."""
    if found.verdict is not None:
        return found.verdict.reasons[0] if found.verdict.reasons else "No check was made."
    if found.refused:
        return f"No adapter was trained. {found.refused}"
    if found.choice is None:
        return "The run ended before there was anything to choose from."
    why = "; ".join(
        f"{name.replace('_', ' ')}: {told}" for name, told in found.choice.skipped.items()
    )
    return f"No adapter was trained. {why}."


def effects_forest(found: VoiceComparison) -> Forest:
    """The effect that counts, the same at equal length, and beside what serves."""
    rows = [
        (f"candidate {_MINUS} placebo", "main", found.effect),
        ("the same at equal length", "third", found.length_adjusted),
        (f"candidate {_MINUS} active voice", "baseline", found.over_active),
    ]
    return forest(rows, reference=0.0, signed=True)


def category_forest(found: VoiceComparison) -> Forest | None:
    """Candidate - placebo by category; None where nobody's feedback was held out."""
    rows = [(e.name, "main", e) for e in found.by_category]
    return forest(rows, reference=0.0, signed=True) if rows else None


def task_rows(
    training: AdapterFigures | None, compared: VoiceComparison | None
) -> tuple[TaskRow, ...]:
    """One row for each task that was learned from or judged; none where no task is known."""
    if compared is None:
        return ()
    learned = {} if training is None else training.rows_by_task
    judged = {estimate.name: estimate for estimate in compared.by_task}
    return tuple(
        TaskRow(TASKS[name], learned.get(name, 0), judged.get(name))
        for name in TASKS
        if name in judged or learned.get(name)
    )


def loss_curves(training: AdapterFigures, placebo: AdapterFigures | None) -> Markup:
    """Training loss by step; never a sign of success, since the placebo's falls too."""
    named = [("candidate", training), *([("placebo", placebo)] if placebo else [])]
    curves = [
        (
            Series(
                name,
                [float(i + 1) for i in range(len(figures.steps))],
                [step.loss for step in figures.steps],
            ),
            tone,
        )
        for (name, figures), tone in zip(named, _TONES, strict=False)
        if figures.steps
    ]
    if not curves:
        return Markup("")
    told = "Loss of each step's examples. That it falls is no success: the placebo's falls as well."
    return lines(Caption("plot-loss", "Training loss", told), curves, x_name="step")


def rate_curve(training: AdapterFigures) -> Markup:
    """Learning rates as they were used, phase after phase."""
    if not training.steps:
        return Markup("")
    steps = [float(i + 1) for i in range(len(training.steps))]
    series = Series("rate", steps, [step.learning_rate for step in training.steps])
    names = ", ".join(phase.phase for phase in training.phases)
    told = f"Learning rate of every step as it was used, through {names}."
    return lines(
        Caption("plot-rate", "Learning rate", told),
        ((series, "main"),),
        x_name="step",
        zero=True,
        keys=False,
    )


def suite_rows(found: SandboxReport) -> tuple[SuiteRow, ...]:
    """One row a suite, in the order of ``Suite``; suites without a scenario are left out."""
    rows = []
    for suite in Suite:
        own = [run for run in found.runs if run.suite is suite]
        if not own:
            continue
        other = [run for run in found.active_runs if run.suite is suite]
        failures = tuple(
            (
                run.scenario_id,
                run.outputs[-1] if run.outputs else "",
                "; ".join(
                    [c.reason for c in run.criteria if c.status is RunStatus.FAILED]
                    or list(run.errors)
                    or ["no reason was given"]
                ),
            )
            for run in own
            if run.status in (RunStatus.FAILED, RunStatus.ERROR)
        )
        rows.append(
            SuiteRow(
                suite.value.replace("_", " "),
                len(own),
                sum(run.status is RunStatus.PASSED for run in own),
                sum(run.status is RunStatus.PASSED for run in other),
                sum(run.status is RunStatus.SKIPPED for run in own),
                failures,
            )
        )
    return tuple(rows)


def _ordered(verdict: Verdict | None) -> tuple[object, ...]:
    order = (CheckStatus.FAILED, CheckStatus.INSUFFICIENT, CheckStatus.PASSED)
    found = () if verdict is None else verdict.checks
    return tuple(sorted(found, key=lambda check: order.index(check.status)))


def _range(found: CategoryShare) -> tuple[str, str, str, str, bool]:
    return (
        found.category.value,
        f"{found.rows:,}",
        f"{found.share:.1%}",
        f"{found.low:.0%} to {found.high:.0%}",
        found.within,
    )


def _samples(found: VoiceComparison | None) -> Sequence[SampleAnswer]:
    return () if found is None else found.samples[:SAMPLES_SHOWN]


def _tiles(found: VoiceEvidence) -> tuple[Tile, ...]:
    absent = "\N{EM DASH}"
    data, compared, sandbox = found.data, found.comparison, found.sandbox
    if data is None:
        learned = Tile("Examples", absent, ("nothing was collected",))
    elif found.training is None:
        told = (f"of {plural(data.rows_in, 'row')}", "nothing was trained")
        learned = Tile("Examples", f"{data.rows_out:,}", told)
    else:
        rows, people = found.training.rows, plural(found.training.people, "person", "people")
        learned = Tile("Learned from", f"{rows:,}", (f"of {plural(data.rows_in, 'row')}", people))
    if compared is None:
        effect = Tile(f"Candidate {_MINUS} placebo", absent, ("not measured",))
        golden = Tile("Forgetting", absent, ("not measured",))
    else:
        effect = _estimate(f"Candidate {_MINUS} placebo", compared.effect)
        golden = _estimate("Forgetting", compared.golden)
    if sandbox is None:
        tried = Tile("Scenarios", absent, ("not run",))
    else:
        good = sum(run.status is RunStatus.PASSED for run in sandbox.runs)
        active = sum(run.status is RunStatus.PASSED for run in sandbox.active_runs)
        tried = Tile(
            "Scenarios passed",
            f"{good} of {len(sandbox.runs)}",
            (f"the active voice {active}", f"in {number(sandbox.seconds)} s"),
        )
    return (learned, effect, golden, tried)


def _estimate(name: str, estimate: Estimate) -> Tile:
    if math.isnan(estimate.value):
        return Tile(name, "\N{EM DASH}", ("not measured",))
    value, _, ends = interval(estimate, signed=True).partition(" ")
    return Tile(name, value, (f"{ends} nats a token", evidence(estimate)))
