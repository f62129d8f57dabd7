"""The report's plots of privacy and synthetic quality: what was spent, what it cost, what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from everloop.contracts.evaluation import CheckStatus, Estimate
from everloop.contracts.figures import QualityFigures, SpendingDay
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.models import Provenance
from everloop.reporting.charts import Forest, ForestRow, forest
from everloop.reporting.comparisons import Whisker, forest_axis, whisker
from everloop.reporting.evidence import RunEvidence
from everloop.reporting.plots import Series, lines
from everloop.reporting.svg import Caption
from everloop.reporting.wording import evidence, interval, number, plural, words

_MEASURED_BY: Mapping[str, str] = {"remembered_people": "nearer_training"}
"""Check -> the estimate that it asks about, where their names differ."""
_IN_WORDS: Mapping[str, str] = {
    "distribution_distance": "distance from real people, nats",
    "diversity": "diversity within clusters, of the real",
    "least_diverse_cluster": "diversity where it is least",
    "two_sample_auc": "how well a classifier tells them apart",
    "remembered_people": "nearer to people who were learned from",
    "near_copies": "much nearer to people who were learned from",
    "tstr_share": "what they teach, tested on real people",
    "user_model_skill": "how well responses are foreseen",
}
_COMPARED = (("auc_private", "private", "main"), ("auc_without_noise", "without noise", "baseline"))


def spending_curve(days: Sequence[SpendingDay], budget: float) -> Markup:
    """epsilon over the period, beside a pipeline that takes the whole budget every night.

    Nothing for a single day: its figures stand beside, and one point is no curve.
    """
    if len(days) < 2:
        return Markup("")
    last, at = days[-1], [float(i + 1) for i in range(len(days))]
    description = (
        f"Of a person who took part in everything: ε = {number(last.epsilon)} of {number(budget)} after "
        f"{plural(len(days), 'day')}. A pipeline that takes ε = {number(budget)} every night would stand "
        f"at {number(last.every_night)}."
    )
    spent = Series("this loop", at, [day.epsilon for day in days])
    nightly = Series(f"ε = {number(budget)} every night", at, [day.every_night for day in days])
    caption = Caption("plot-spending", "Privacy spent over the period", description)
    return lines(caption, ((spent, "main"), (nightly, "third")), x_name="day", zero=True)


def noise_forest(quality: QualityFigures) -> Forest | None:
    """AUC of the private user model and of the same model without noise; None where not measured."""
    found = {estimate.name: estimate for estimate in quality.estimates}
    rows = [
        (name, tone, found[key])
        for key, name, tone in _COMPARED
        if key in found and math.isfinite(found[key].value)
    ]
    return forest(rows) if len(rows) == len(_COMPARED) else None


def threshold_forest(quality: QualityFigures) -> Forest:
    """Each check's figure with its interval and a rule at its threshold, each on an axis of its own."""
    estimates: dict[str, Estimate] = {e.name: e for e in quality.estimates}
    rows = []
    for check in quality.checks:
        found = estimates.get(_MEASURED_BY.get(check.name, check.name))
        if found is None or check.threshold is None or not math.isfinite(found.value):
            continue
        tone = "main" if check.status is CheckStatus.PASSED else "third"
        mark = Whisker(found.value, found.low, found.high, tone)
        axis = forest_axis([mark], include=(check.threshold,))
        name = _IN_WORDS.get(check.name, words(check.name))
        numbers = interval(found)
        title = f"{name}: {numbers}, threshold {number(check.threshold)}"
        plot = whisker(mark, axis, title, reference=check.threshold)
        told = f"threshold {number(check.threshold)}; {evidence(found)}"
        rows.append(ForestRow(name, tone, plot, numbers, told, found.method, found.confidence))
    return Forest(tuple(rows), Markup(""))


GROUPS_SHOWN = 12
_NEVER = "inside the boundary: never published"
_COMPUTED = "computed from releases alone, so it adds nothing to what they cost"


def largest_groups(patterns: Sequence[GroupPattern]) -> tuple[GroupPattern, ...]:
    """The groups that the report shows: the largest first."""
    return tuple(sorted(patterns, key=lambda p: (-p.people, p.fields, p.values))[:GROUPS_SHOWN])


def boundary(run: RunEvidence) -> tuple[tuple[str, str, str], ...]:
    """(artefact, whether it may leave, under which guarantee), of a run; words for a privacy officer."""
    released = {
        name: f"ε = {number(note.epsilon)} at δ = {number(note.delta, 2)} per person"
        for name, note in run.releases
    }
    card = run.checkpoint
    private = card is None or card.provenance is Provenance.PRIVATE_RELEASE
    may = [(name, "may leave", guarantee) for name, guarantee in released.items()]
    return (
        *may,
        ("simulated journeys", "may leave", _COMPUTED),
        ("policy", "may leave", _COMPUTED)
        if private
        else ("policy", _NEVER, "learned from the raw log"),
        ("public model card", "may leave", "shows releases and published figures alone"),
        ("rollout's yes or no", "leaves", "none: a documented, accepted leak of one bit a night"),
        ("comparison with held-out people, evaluation, gate", _NEVER, "reads the raw log"),
        ("user model without noise", _NEVER, "fitted to the raw log and thrown away"),
        ("this report, and who or how many took part", _NEVER, "for operators"),
    )
