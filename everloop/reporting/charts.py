"""The report's plots: from what a stage measured to a picture with a caption that says it too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.evaluation import Estimate, GroupValue, PolicyEvaluation
from everloop.contracts.figures import RewardFigures, TrainingFigures, TrainingPoint
from everloop.contracts.privacy import ReleaseNote
from everloop.reporting.comparisons import (
    Pair,
    Segment,
    Whisker,
    forest_axis,
    forest_ticks,
    gauge,
    pairs,
    whisker,
)
from everloop.reporting.plots import Series, bars, histogram, line, whiskers
from everloop.reporting.svg import Caption
from everloop.reporting.wording import (
    decimals_for,
    evidence,
    interval,
    number,
    percent,
    plural,
    short_day,
    words,
)

_ACTIONS_SHOWN = 12


def episodes_per_day(manifest: DatasetManifest) -> Markup:
    """Episodes of each day of the window, empty days included; nothing when all are empty."""
    days = sorted(manifest.episodes_per_day.items())
    if not sum(count for _, count in days):
        return Markup("")
    counts = [count for _, count in days]
    empty = counts.count(0)
    description = (
        f"{plural(len(days), 'day')}, {min(counts):,} to {max(counts):,} episodes a day"
        f"{f', {empty} without any' if empty else ''}."
    )
    labels = [short_day(date.fromisoformat(name)) for name, _ in days]
    return bars(Caption("plot-episodes", "Episodes per day", description), labels, counts)


def reward_histogram(rewards: RewardFigures) -> Markup:
    """How the rewards are spread; nothing where no episode was rewarded."""
    if not sum(rewards.histogram_counts):
        return Markup("")
    description = (
        f"{rewards.rewarded:,} rewarded episodes; "
        f"{percent(rewards.positive_share)} of them above 0."
    )
    return histogram(
        Caption("plot-rewards", "Distribution of rewards", description),
        rewards.histogram_edges,
        rewards.histogram_counts,
        x_name="reward",
    )


def daily_reward(rewards: RewardFigures) -> Markup:
    """Mean reward of each day with its interval."""
    measured = [day for day in rewards.daily if not math.isnan(day.mean)]
    if not measured:
        return Markup("")
    least, most = min(d.mean for d in measured), max(d.mean for d in measured)
    description = (
        f"Daily means with their intervals over {plural(len(measured), 'day')}: "
        f"{number(least)} to {number(most)}."
    )
    series = Series(
        "mean reward",
        [float(i) for i in range(len(rewards.daily))],
        [day.mean for day in rewards.daily],
        [day.low for day in rewards.daily],
        [day.high for day in rewards.daily],
    )
    labels = [short_day(day.date) for day in rewards.daily]
    return whiskers(Caption("plot-daily", "Mean reward per day", description), labels, series)


def budget_gauge(notes: Sequence[ReleaseNote]) -> Markup:
    """Share of the period's mu^2 that is gone; mu^2 adds up exactly over releases, epsilon doesn't."""
    if not notes:
        return Markup("")
    budget = max(
        (note.budget for note in notes), key=lambda b: (b.mu_squared_period, b.epsilon_tonight)
    )
    whole = budget.mu_squared_budget
    if not whole > 0:
        return Markup("")
    used = budget.mu_squared_period / whole
    new = [note for note in notes if note.released]
    # quality is paid for by held-out people, the others by those who were learned from
    measured = sum(note.mu_squared for note in new if note.stage == "quality")
    tonight = min(used, max(measured, sum(n.mu_squared for n in new) - measured) / whole)
    left = max(0.0, 1.0 - used)
    description = (
        f"Of the person who has spent most: {percent(used)} of the {budget.period_days}-day "
        f"budget is used, at most {percent(tonight)} by this run. Measured in μ², which adds up over "
        "releases."
    )
    segments = [
        Segment("spent before", used - tonight, "baseline"),
        Segment("this run", tonight, "main"),
        Segment("left", left, "empty"),
    ]
    return gauge(Caption("plot-budget", "Privacy budget of the period", description), segments)


def _curve(
    training: TrainingFigures, title: str, name: str, ident: str, pick: str, tone: str
) -> Markup:
    values = [float(getattr(point, pick)) for point in training.curve]
    steps = [float(point.steps) for point in training.curve]
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return Markup("")
    description = f"From {number(known[0])} to {number(known[-1])} {name}."
    return line(
        Caption(ident, title, description), Series(title, steps, values), x_name="steps", tone=tone
    )


def learning_curve(training: TrainingFigures) -> Markup:
    """Mean simulated reward by environment steps, with its interval."""
    points: tuple[TrainingPoint, ...] = training.curve
    if not points:
        return Markup("")
    series = Series(
        "mean reward",
        [float(p.steps) for p in points],
        [p.reward for p in points],
        [p.low for p in points],
        [p.high for p in points],
    )
    description = (
        f"Simulated reward per decision with its interval, from {number(training.first_reward)} "
        f"to {number(training.last_reward)} in {training.steps:,} steps."
    )
    caption = Caption("plot-learning", "Learning curve", description)
    return line(caption, series, x_name="environment steps")


def divergence_curve(training: TrainingFigures) -> Markup:
    """KL divergence per iteration: how far each update moved the policy."""
    title = "Policy change per update"
    return _curve(training, title, "nats of KL divergence", "plot-kl", "kl", "third")


def entropy_curve(training: TrainingFigures) -> Markup:
    """Entropy per iteration: how undecided the policy still is."""
    return _curve(training, "Entropy", "nats", "plot-entropy", "entropy", "third")


def action_shares(logged: Mapping[str, float], evaluation: PolicyEvaluation) -> Markup:
    """Logged against the candidate's actions, the largest first; the rest is one row."""
    candidate = evaluation.action_share
    if not candidate or not logged:
        return Markup("")
    names = sorted(
        {*logged, *candidate},
        key=lambda n: (-max(logged.get(n, 0.0), candidate.get(n, 0.0)), n),
    )
    rows = [Pair(n, logged.get(n, 0.0), candidate.get(n, 0.0)) for n in names[:_ACTIONS_SHOWN]]
    rest = names[_ACTIONS_SHOWN:]
    others = ""
    if rest:
        before, after = (
            percent(sum(side.get(n, 0.0) for n in rest)) for side in (logged, candidate)
        )
        others = f"{plural(len(rest), 'other action')}: {before} logged, {after} by the candidate"
    moved = max(names, key=lambda n: abs(candidate.get(n, 0.0) - logged.get(n, 0.0)))
    description = (
        f"Share of decisions on the held-out episodes. It changes most for {moved}: "
        f"{percent(logged.get(moved, 0.0))} to {percent(candidate.get(moved, 0.0))}."
    )
    return pairs(Caption("plot-actions", "What would be decided", description), rows, others)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A row of a forest plot as a table shows it: name, picture, number, evidence and method."""

    name: str
    tone: str
    plot: Markup
    number: str
    evidence: str
    method: str
    share: float


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest plot: rows on one axis, and the axis itself."""

    rows: tuple[ForestRow, ...]
    axis: Markup


def forest(
    estimates: Sequence[tuple[str, str, Estimate]],
    *,
    reference: float = math.nan,
    signed: bool = False,
) -> Forest:
    """Rows of (name, tone, estimate) on one axis, with a rule at ``reference``."""
    marks = [Whisker(e.value, e.low, e.high, tone) for _, tone, e in estimates]
    axis = forest_axis(marks, include=(reference,))
    decimals = max(
        (decimals_for(e.value, e.low, e.high) for _, _, e in estimates if not math.isnan(e.value)),
        default=0,
    )
    rows = []
    for (name, tone, estimate), mark in zip(estimates, marks, strict=True):
        numbers = interval(estimate, signed=signed, decimals=decimals)
        plot = whisker(mark, axis, f"{name}: {numbers}", reference=reference)
        rows.append(
            ForestRow(
                name, tone, plot, numbers, evidence(estimate), estimate.method, estimate.confidence
            )
        )
    return Forest(tuple(rows), forest_ticks(axis))


def values_forest(evaluation: PolicyEvaluation) -> Forest:
    """The candidate by every estimator, the baseline and, where logged, the comparison policy."""
    rows = [(e.name, "main", e) for e in evaluation.estimates]
    rows.append((f"baseline: {evaluation.baseline_name}", "baseline", evaluation.baseline))
    if evaluation.comparison is not None:
        rows.append(("comparison policy", "third", evaluation.comparison))
    return forest(rows, reference=evaluation.baseline.value)


def difference_forest(evaluation: PolicyEvaluation) -> Forest:
    """Candidate - baseline around 0."""
    row = ("candidate − baseline", "main", evaluation.difference)
    return forest([row], reference=0.0, signed=True)


def groups_forest(evaluation: PolicyEvaluation) -> Forest:
    """Each protected group under the candidate and, beneath it, under the baseline.

    Values are shares of the attainable range, 0..1.
    """

    def label(group: GroupValue) -> str:
        name = f"{words(group.attribute)}: {words(group.group)}"
        if group.people == group.estimate.clusters:
            return name
        return f"{name}, {plural(group.people, 'person', 'people')}"

    baseline = {(g.attribute, g.group): g for g in evaluation.baseline_groups}
    rows: list[tuple[str, str, Estimate]] = []
    for group in evaluation.groups:
        rows.append((label(group), "main", group.estimate))
        other = baseline.pop((group.attribute, group.group), None)
        if other is not None:
            rows.append(("baseline", "baseline", other.estimate))
    rows += [(f"{label(g)}, baseline", "baseline", g.estimate) for g in baseline.values()]
    return forest(rows)
